"""A shard: the activations of consecutive examples, and the recorders that are run over them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from microtome.capture.arithmetic import Arithmetic
from microtome.capture.labels import LabelCodes, LabelStore, blank
from microtome.capture.pieces import Piece
from microtome.capture.reading import reading_of, sized
from microtome.capture.recorders.batch import Batch, Recorder
from microtome.capture.recorders.look import Look
from microtome.capture.recorders.tally import ConceptAreas
from microtome.capture.run import BATCH, forward_pass, read_ahead
from microtome.capture.scratch import scratch_array
from microtome.core.context import RunContext
from microtome.models.layers import Layer
from microtome.models.model import Model
from microtome.probes import ProbeSet

R = TypeVar("R", bound=Recorder)
#: Examples that recorders are given at a time.
CHUNK = 64
Floats = npt.NDArray[np.float32]


class Shards(Protocol):
    """The examples of a question, wherever their activations are: in this process, or spread over a cluster.

    What a call returns is about all examples, in their order.
    """

    def forward(self, model: Model, pieces: Sequence[Piece], run: RunContext) -> None:
        """One pass of the model over all examples, keeping the activations of ``pieces``, the logits and the labels."""
        ...

    def look(self, piece: Piece) -> Look: ...

    def peaks(self, piece: Piece) -> tuple[Floats, npt.NDArray[np.int32]]:
        """Largest activation of every unit on every example and its site (row-major), [units, examples] each."""
        ...

    def record(self, piece: Piece, recorders: Sequence[R], run: RunContext, units: tuple[int, int] | None = None) -> Sequence[R]:
        """Feed recorders with all examples; ``units`` restricts them to some units of the piece."""
        ...

    def maps(self, piece: Piece, slots: npt.NDArray[np.int32]) -> Floats:
        """Maps of chosen examples, ``slots`` [units, n], as float32 [units, n, h, w]."""
        ...

    def logits(self) -> Floats:
        """float32 [examples, classes]."""
        ...

    def areas(self, concepts: int) -> ConceptAreas: ...

    def labels(self) -> LabelCodes:
        """The labels of all examples, at the size masks are compared."""
        ...

    def lengths(self) -> npt.NDArray[np.int32] | None:
        """Used sites of every example, int32 [examples]; None where all are."""
        ...

    def drop(self, piece: Piece) -> None:
        """Forget the activations of a piece."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class _Kept:
    """What one pass left of one piece."""

    maps: Floats  # [examples, units, h, w]
    peaks: Floats  # [units, examples]
    sites: npt.NDArray[np.int32]
    look: Look


class Shard:
    """Implements :class:`Shards` for the examples ``start`` to ``stop`` of a probe set, on one device.

    Activations live in scratch files, so memory does not grow with the examples.

    Args:
        width: tokens of the longest text of the question; None for images.
    """

    def __init__(self, probe: ProbeSet, start: int, stop: int, do: Arithmetic, width: int | None = None) -> None:
        self.start, self.stop = start, stop
        self._probe, self._do, self._width = probe, do, width
        self._lengths: npt.NDArray[np.int32] | None = None
        self._kept: dict[Piece, _Kept] = {}
        self._logits: Floats | None = None
        self._store: LabelStore | None = None
        self._size = (1, 1)

    def forward(self, model: Model, pieces: Sequence[Piece], run: RunContext) -> None:
        count = self.stop - self.start
        layers = [model.layers[name] for name in dict.fromkeys(p.layer for p in pieces)]
        kept = {p: self._room(sized(model.layers[p.layer], self._width), p, count) for p in pieces}
        reading = reading_of(model, self._probe, self._width)
        logits = scratch_array((count, reading.outputs), np.float32)
        self._size = reading.size
        labelled = bool(pieces) and bool(self._probe.concepts) and self._store is None
        store = LabelStore(count, self._size) if labelled else None
        lengths = np.zeros(count, np.int32) if self._width is not None else None

        def read(first: int, last: int) -> torch.Tensor:
            run.check()
            inputs, labels = reading.read(range(self.start + first, self.start + last), labels=store is not None)
            if store is not None and labels is not None:
                store.put(first, labels)
            return inputs

        def take(first: int, name: str, tensor: torch.Tensor) -> None:
            for piece, room in kept.items():
                if piece.layer == name:
                    target = torch.from_numpy(room.maps[first : first + len(tensor)])
                    width = min(tensor.shape[3], target.shape[3])  # a batch is as wide as its longest text, special tokens included
                    target[..., :width].copy_(tensor[:, piece.start : piece.stop, :, :width])
                    target[..., width:] = 0.0

        def observe(first: int, inputs: torch.Tensor, outputs: torch.Tensor | None) -> None:
            last = first + len(inputs)
            if outputs is not None:
                logits[first:last] = outputs.float().cpu().numpy()
            used = reading.lengths(inputs)
            if lengths is not None and used is not None:
                lengths[first:last] = used
            for room in kept.values():
                places = room.peaks[:, first:last], room.sites[:, first:last]
                room.look.update(self.start + first, room.maps[first:last], *places, self._do, used)

        forward_pass(model, read_ahead(read, count, BATCH), count, run, observe, layers, take, answers=reading.outputs > 0)
        self._kept |= kept
        self._logits, self._lengths = logits, lengths
        self._store = store or self._store

    @staticmethod
    def _room(layer: Layer, piece: Piece, count: int) -> _Kept:
        return _Kept(
            scratch_array((count, piece.units, layer.height, layer.width), np.float32),
            scratch_array((piece.units, count), np.float32),
            scratch_array((piece.units, count), np.int32),
            Look(piece.units),
        )

    def look(self, piece: Piece) -> Look:
        return self._kept[piece].look

    def peaks(self, piece: Piece) -> tuple[Floats, npt.NDArray[np.int32]]:
        return self._kept[piece].peaks, self._kept[piece].sites

    def _batches(self, piece: Piece, units: tuple[int, int] | None) -> Iterator[Batch]:
        maps = self._kept[piece].maps
        for first in range(0, len(maps), CHUNK):
            last = min(first + CHUNK, len(maps))
            part = maps[first:last] if units is None else maps[first:last, units[0] : units[1]]
            lengths = None if self._lengths is None else self._lengths[first:last]
            yield Batch(self.start + first, part, self._labels(first, last), lengths)

    def _labels(self, first: int, last: int) -> LabelCodes:
        if self._store is not None:
            return self._store.get(first, last)
        return blank(last - first, self._size, None if self._lengths is None else self._lengths[first:last])

    def record(self, piece: Piece, recorders: Sequence[R], run: RunContext, units: tuple[int, int] | None = None) -> Sequence[R]:
        for batch in self._batches(piece, units):
            run.check()
            for recorder in recorders:
                recorder.update(batch, self._do)
        return recorders

    def maps(self, piece: Piece, slots: npt.NDArray[np.int32]) -> Floats:
        """Here ``slots`` counts from the start of the shard."""
        return np.asarray(self._kept[piece].maps[slots, np.arange(piece.units)[:, None]])

    def logits(self) -> Floats:
        assert self._logits is not None
        return self._logits

    def labels(self) -> LabelCodes:
        return self._labels(0, self.stop - self.start)

    def lengths(self) -> npt.NDArray[np.int32] | None:
        return self._lengths

    def areas(self, concepts: int) -> ConceptAreas:
        total = ConceptAreas(np.zeros(concepts, np.int64), 0)
        for first in range(0, self.stop - self.start, CHUNK):
            total = total + ConceptAreas.of(self._labels(first, min(first + CHUNK, self.stop - self.start)), concepts)
        return total

    def drop(self, piece: Piece) -> None:
        self._kept.pop(piece, None)

    def close(self) -> None:
        self._kept.clear()
        self._store = self._logits = None
