"""Concept labels as codes: one number per position that stands for all its labels together.

The label maps of an image (material, part, object ...) mostly change together, so an image of a hundred thousand labels has some
dozens of combinations. Counting combinations costs one increment per position, whatever the number of label maps and concepts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt

from microtome.capture.scratch import scratch_array

IGNORED = np.uint16(65_535)


@dataclass(frozen=True, slots=True)
class LabelCodes:
    """Labels of consecutive examples.

    ``codes`` uint16 or uint32 [n, h, w]: 0 where the position is ignored, else k for row ``offsets[i] + k - 1`` of ``members``
    uint16 [total, L], whose entries are labels: 0 for none, concept + 1 otherwise. ``offsets`` int64 [n + 1].
    """

    codes: npt.NDArray
    members: npt.NDArray[np.uint16]
    offsets: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.codes)

    def areas(self, concepts: int) -> npt.NDArray[np.int64]:
        """Positions of every label, int64 [concepts + 1]; the last entry of the sum over all is kept by the caller."""
        out = np.zeros(concepts + 1, np.int64)
        for i, codes in enumerate(self.codes):
            rows = self.members[self.offsets[i] : self.offsets[i + 1]]
            counts = np.bincount(codes.reshape(-1), minlength=len(rows) + 1)[1:]
            for column in rows.T:
                np.add.at(out, column, counts)
        return out

    @property
    def positions(self) -> int:
        """Positions that are not ignored."""
        return int(np.count_nonzero(self.codes))


class LabelStore:
    """Codes of many examples, added in order, in scratch files: what is kept must not grow in memory with the examples.

    (Many small arrays kept between the large ones of each batch would also keep the memory allocator from using theirs again.)
    """

    def __init__(self, examples: int, size: tuple[int, int]) -> None:
        self._codes = scratch_array((examples, *size), code_dtype(size))
        self._offsets = np.zeros(examples + 1, np.int64)
        self._members: npt.NDArray[np.uint16] = np.empty((0, 0), np.uint16)

    def put(self, start: int, labels: npt.NDArray[np.uint16]) -> None:
        """Labels uint16 [n, L, h, w] of the examples from ``start`` on; all earlier ones must be there."""
        found = encode(labels)
        first, last = self._offsets[start], self._offsets[start] + len(found.members)
        if last > len(self._members) or labels.shape[1] > self._members.shape[1]:
            rows, layers = max(4096, 2 * int(last), len(self._members)), max(labels.shape[1], self._members.shape[1])
            larger = scratch_array((rows, layers), np.uint16)
            if first:
                larger[:first] = 0
                larger[:first, : self._members.shape[1]] = self._members[:first]
            self._members = larger
        self._codes[start : start + len(labels)] = found.codes
        self._members[first:last] = 0
        self._members[first:last, : labels.shape[1]] = found.members
        self._offsets[start + 1 : start + len(labels) + 1] = first + found.offsets[1:]

    def get(self, start: int, stop: int) -> LabelCodes:
        first, last = self._offsets[start], self._offsets[stop]
        offsets = self._offsets[start : stop + 1] - first
        return LabelCodes(self._codes[start:stop], self._members[first:last], offsets)


def code_dtype(size: tuple[int, int]) -> type[np.uint16] | type[np.uint32]:
    """Wide enough for as many combinations as there are positions."""
    return np.uint16 if size[0] * size[1] < 65_535 else np.uint32


def encode(labels: npt.NDArray[np.uint16]) -> LabelCodes:
    """Codes of uint16 [n, L, h, w]; positions that are IGNORED in the first map are left out of everything."""
    examples, layers, height, width = labels.shape
    codes = np.empty((examples, height, width), code_dtype((height, width)))
    members, offsets = [], np.zeros(examples + 1, np.int64)
    room = np.empty((height * width, layers), np.uint16)
    table = np.empty(1 << (2 * height * width - 1).bit_length(), np.uint32)
    for i in range(examples):
        table[:] = 0
        count = _encode(np.ascontiguousarray(labels[i]), codes[i], room, table)
        members.append(room[:count].copy())
        offsets[i + 1] = offsets[i] + count
    return LabelCodes(codes, np.concatenate(members) if members else np.empty((0, layers), np.uint16), offsets)


def blank(examples: int, size: tuple[int, int], lengths: npt.NDArray[np.int32] | None = None) -> LabelCodes:
    """Codes of examples without labels: every position counts, none has a concept.

    Args:
        lengths: positions of each row that are used; those behind them are ignored.
    """
    codes = np.broadcast_to(np.ones((), code_dtype(size)), (examples, *size))
    if lengths is not None:
        codes = np.where(np.arange(size[1]) < lengths[:, None, None], codes, 0).astype(codes.dtype)
    return LabelCodes(np.ascontiguousarray(codes), np.zeros((examples, 1), np.uint16), np.arange(examples + 1, dtype=np.int64))


@numba.njit(cache=True, nogil=True)
def _encode(labels, codes, members, table):  # type: ignore[no-untyped-def]
    """Codes of one image; ``table`` is an empty hash table of code numbers, a power of two long. Returns the number of codes."""
    layers, height, width = labels.shape
    mask = np.uint64(len(table) - 1)
    count = 0
    for y in range(height):
        x = 0
        while x < width:
            end = x + 1
            while end < width:
                same = True
                for k in range(layers):
                    same &= labels[k, y, end] == labels[k, y, x]
                if not same:
                    break
                end += 1
            code = 0
            if labels[0, y, x] != IGNORED:
                mixed = np.uint64(1469598103934665603)
                for k in range(layers):
                    mixed = (mixed ^ np.uint64(labels[k, y, x])) * np.uint64(1099511628211)
                place = (mixed >> np.uint64(20)) & mask
                while True:
                    code = table[place]
                    if code == 0:
                        for k in range(layers):
                            members[count, k] = labels[k, y, x]
                        count += 1
                        code = count
                        table[place] = code
                        break
                    same = True
                    for k in range(layers):
                        same &= members[code - 1, k] == labels[k, y, x]
                    if same:
                        break
                    place = (place + np.uint64(1)) & mask
            for at in range(x, end):
                codes[y, at] = code
            x = end
    return count
