"""Arithmetic in torch alone, on any device: the same numbers as the compiled kernels, in the same order of operations."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from microtome.capture.arithmetic import DIGITS, NONE, Counts, Doubles, Floats
from microtome.capture.grid import axis
from microtome.capture.labels import LabelCodes

_TOP, _LOW = DIGITS[0], DIGITS[1]
#: Upsampled positions worked on at a time, to bound temporary memory.
_POSITIONS = 1 << 20


class Tensors:
    """Implements :class:`microtome.capture.arithmetic.Arithmetic` on one device."""

    def __init__(self, device: str = "cpu") -> None:
        self.device = torch.device(device)

    def _here(self, array: npt.NDArray) -> torch.Tensor:
        # copied: what comes from a mapped file may be read-only, which torch does not know
        return torch.from_numpy(np.array(array)).to(self.device, non_blocking=True)

    @staticmethod
    def _keys(maps: torch.Tensor) -> torch.Tensor:
        """int64 in 0 .. 2**32 that sorts as the floats do; both zeros are one number."""
        bits = (maps + 0.0).view(torch.int32)
        return (bits ^ ((bits >> 31) & 0x7FFFFFFF)).to(torch.int64) + 2**31

    def look(self, maps: Floats, peaks: Floats, sites: npt.NDArray[np.int32], tops: Counts) -> tuple[Doubles, Doubles, Floats, Floats]:
        values = self._here(maps)
        flat = values.flatten(2)
        wide = flat.double()
        mean = wide.mean(2)
        squares = ((wide - mean[..., None]) ** 2).sum(2)
        high = flat.amax(2)
        # max() may return any of several equal places; the first is the definition
        first = (flat == high[..., None]).to(torch.uint8).argmax(2)
        peaks[...], sites[...] = high.T.cpu().numpy(), first.T.cpu().numpy()
        units = values.shape[1]
        digit = (self._keys(flat) >> (32 - _TOP)) + (torch.arange(units, device=self.device) << _TOP)[None, :, None]
        tops += self._count(digit.reshape(-1), units << _TOP).reshape(tops.shape)
        return mean.cpu().numpy(), squares.cpu().numpy(), flat.amin(2).cpu().numpy(), high.cpu().numpy()

    def _count(self, index: torch.Tensor, size: int) -> Counts:
        return torch.bincount(index, minlength=size).cpu().numpy()

    def _slots(self, maps: Floats, table: npt.NDArray[np.uint8]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Keys, units and slots of the values whose first digit is looked for."""
        keys = self._keys(self._here(maps).flatten(2))
        slot = self._here(table)[torch.arange(keys.shape[1], device=self.device)[None, :, None], keys >> (32 - _TOP)]
        found = (slot != NONE).nonzero(as_tuple=True)
        return keys[found], found[1], slot[found].long()

    def second_digits(self, maps: Floats, table: npt.NDArray[np.uint8], counts: Counts) -> None:
        keys, unit, slot = self._slots(maps, table)
        index = ((unit * counts.shape[1] + slot) << _LOW) + ((keys >> _LOW) & (2**_LOW - 1))
        counts += self._count(index, counts.size).reshape(counts.shape)

    def third_digits(self, maps: Floats, table: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8], counts: Counts) -> None:
        keys, unit, slot = self._slots(maps, table)
        slot = self._here(second)[unit, slot, (keys >> _LOW) & (2**_LOW - 1)].long()
        found = slot != NONE
        index = ((unit[found] * counts.shape[1] + slot[found]) << _LOW) + (keys[found] & (2**_LOW - 1))
        counts += self._count(index, counts.size).reshape(counts.shape)

    def histogram(self, maps: Floats, low: Floats, scale: Floats, counts: Counts) -> None:
        units, bins = counts.shape
        values = self._here(maps).flatten(2)
        place = ((values - self._here(low)[:, None]) * self._here(scale)[:, None]).long().clamp_(0, bins - 1)
        place += (torch.arange(units, device=self.device) * bins)[:, None]
        counts += self._count(place.reshape(-1), counts.size).reshape(counts.shape)

    def tally(self, maps: Floats, thresholds: Floats, labels: LabelCodes, unit_bins: Counts, shared_bins: Counts) -> None:
        values, limits = self._here(maps), self._here(thresholds)
        codes, members = self._here(labels.codes.astype(np.int64)), self._here(labels.members.astype(np.int64))
        offsets = self._here(labels.offsets)
        rows, columns = (
            [torch.from_numpy(x).to(self.device) for x in axis(source, target)]
            for source, target in zip(values.shape[2:], codes.shape[1:], strict=True)
        )
        # A cell whose four corners stay below the lowest threshold (by more than rounding) holds nothing: look at the others.
        padded = torch.nn.functional.pad(values, (0, 1, 0, 1), mode="replicate")
        corner = torch.nn.functional.max_pool2d(padded, 2, stride=1)
        cells = (corner + corner.abs() * 1e-6 > limits[:, :1, None]).nonzero()
        tall, wide = rows[0].diff(), columns[0].diff()
        largest = int(tall.max()) * int(wide.max())
        points, concepts = limits.shape[1], shared_bins.shape[1]
        for part in cells.split(max(1, _POSITIONS // largest)):
            image, unit, a, c = part.T
            size = tall[a] * wide[c]
            cell = torch.repeat_interleave(torch.arange(len(part), device=self.device), size)
            place = torch.arange(len(cell), device=self.device) - (size.cumsum(0) - size)[cell]
            y, x = rows[0][a][cell] + place // wide[c][cell], columns[0][c][cell] + place % wide[c][cell]
            f, g = rows[1][y], columns[1][x]
            corners = [padded[image, unit, a + down, c + right][cell] for right in (0, 1) for down in (0, 1)]
            left, right = corners[0] * (1 - f) + corners[1] * f, corners[2] * (1 - f) + corners[3] * f
            value = left * (1 - g) + right * g
            code = codes[image[cell], y, x]
            kept = ((value > limits[unit, 0][cell]) & (code > 0)).nonzero()[:, 0]
            value, code, cell = value[kept], code[kept], cell[kept]
            here = unit[cell]
            bin_ = torch.searchsorted(limits[here], value[:, None])[:, 0] - 1
            self._add(unit_bins, here * points + bin_)
            for member in members[offsets[image[cell]] + code - 1].T:
                some = member > 0
                self._add(shared_bins, (here[some] * concepts + member[some] - 1) * points + bin_[some])

    def _add(self, counts: Counts, index: torch.Tensor) -> None:
        """One more at every index of the flattened ``counts``."""
        if self.device.type == "cpu":
            flat = torch.from_numpy(counts).view(-1)
            flat.index_add_(0, index, torch.ones_like(index))
        else:
            counts += self._count(index, counts.size).reshape(counts.shape)
