"""Arithmetic in torch alone, on any device: the same numbers as the compiled kernels, in the same order of operations."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from microtome.capture.arithmetic import DIGITS, NONE, Counts, Doubles, Floats, Lengths
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
        # torch knows no read-only tensors
        return torch.from_numpy(array if array.flags.writeable else array.copy()).to(self.device, non_blocking=True)

    @staticmethod
    def _bits(values: torch.Tensor) -> torch.Tensor:
        """int32 that sorts as the floats do; both zeros are one number."""
        bits = (values + 0.0).view(torch.int32)
        return bits.bitwise_xor_((bits >> 31).bitwise_and_(0x7FFFFFFF))

    def _used(self, maps: Floats, lengths: Lengths) -> torch.Tensor:
        """bool [B, 1, cells]: the sites that count. Only maps of one row differ in length."""
        cells = torch.arange(maps.shape[2] * maps.shape[3], device=self.device)
        if lengths is None:
            return torch.ones_like(cells, dtype=torch.bool).expand(len(maps), 1, -1)
        return (cells < self._here(lengths)[:, None])[:, None]

    def look(
        self, maps: Floats, peaks: Floats, sites: npt.NDArray[np.int32], tops: Counts, lengths: Lengths = None
    ) -> tuple[Doubles, Doubles, Floats, Floats]:
        flat, used = self._here(maps).flatten(2), self._used(maps, lengths)
        count = used.sum(2).clamp(min=1)
        mean = (flat * used).sum(2, dtype=torch.float64) / count
        squares = (flat - mean[..., None]).square_().mul_(used).sum(2)
        # max() may return any of several equal places; the first is the definition
        low = flat.masked_fill(~used, torch.inf).amin(2)
        above = flat.masked_fill(~used, -torch.inf)
        high = above.amax(2)
        first = (above == high[..., None]).to(torch.uint8).argmax(2)
        peaks[...], sites[...] = high.T.cpu().numpy(), first.T.cpu().numpy()
        units = flat.shape[1]
        digit = (self._bits(flat) >> (32 - _TOP)) + (1 << (_TOP - 1))
        digit += (torch.arange(units, device=self.device, dtype=torch.int32) << _TOP)[None, :, None]
        tops += self._count(digit[used.expand_as(digit)], units << _TOP).reshape(tops.shape)
        return mean.cpu().numpy(), squares.cpu().numpy(), low.cpu().numpy(), high.cpu().numpy()

    def _count(self, index: torch.Tensor, size: int) -> Counts:
        return torch.bincount(index, minlength=size).cpu().numpy()

    def _slots(
        self, maps: Floats, table: npt.NDArray[np.uint8], bounds: Floats, lengths: Lengths
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Keys (int64 in 0 .. 2**32), units and slots of the values whose first digit is looked for."""
        values = self._here(maps).flatten(2)
        at = ((values >= self._here(bounds)[:, None]) & self._used(maps, lengths)).nonzero(as_tuple=True)
        keys = self._bits(values[at]).to(torch.int64) + 2**31
        slot = self._here(table)[at[1], keys >> (32 - _TOP)]
        found = slot != NONE
        return keys[found], at[1][found], slot[found].long()

    def second_digits(self, maps: Floats, table: npt.NDArray[np.uint8], bounds: Floats, counts: Counts, lengths: Lengths = None) -> None:
        keys, unit, slot = self._slots(maps, table, bounds, lengths)
        index = ((unit * counts.shape[1] + slot) << _LOW) + ((keys >> _LOW) & (2**_LOW - 1))
        counts += self._count(index, counts.size).reshape(counts.shape)

    def third_digits(
        self, maps: Floats, table: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8], bounds: Floats, counts: Counts,
        lengths: Lengths = None,
    ) -> None:  # fmt: skip
        keys, unit, slot = self._slots(maps, table, bounds, lengths)
        slot = self._here(second)[unit, slot, (keys >> _LOW) & (2**_LOW - 1)].long()
        found = slot != NONE
        index = ((unit[found] * counts.shape[1] + slot[found]) << _LOW) + (keys[found] & (2**_LOW - 1))
        counts += self._count(index, counts.size).reshape(counts.shape)

    def histogram(self, maps: Floats, low: Floats, scale: Floats, counts: Counts, lengths: Lengths = None) -> None:
        units, bins = counts.shape
        values = self._here(maps).flatten(2)
        place = ((values - self._here(low)[:, None]) * self._here(scale)[:, None]).long().clamp_(0, bins - 1)
        place += (torch.arange(units, device=self.device) * bins)[:, None]
        counts += self._count(place[self._used(maps, lengths).expand_as(place)], counts.size).reshape(counts.shape)

    def troughs(self, maps: Floats, values: Floats, sites: npt.NDArray[np.int32], lengths: Lengths = None) -> None:
        flat = self._here(maps).flatten(2).masked_fill(~self._used(maps, lengths), torch.inf)
        low = flat.amin(2)
        values[...], sites[...] = low.T.cpu().numpy(), (flat == low[..., None]).to(torch.uint8).argmax(2).T.cpu().numpy()

    def ranked(self, maps: Floats, thresholds: Floats, labels: LabelCodes, unit_bins: Counts, shared_bins: Counts) -> None:
        self.tally(maps, thresholds, labels, unit_bins, shared_bins)  # sites are positions: nothing is interpolated

    def tally(self, maps: Floats, thresholds: Floats, labels: LabelCodes, unit_bins: Counts, shared_bins: Counts) -> None:
        values, limits = self._here(maps), self._here(thresholds)
        codes, members = self._here(labels.codes.astype(np.int64)), self._here(labels.members.astype(np.int64))
        offsets = self._here(labels.offsets)
        rows, columns = (
            [torch.from_numpy(x).to(self.device) for x in axis(source, target)]
            for source, target in zip(values.shape[2:], codes.shape[1:], strict=True)
        )
        # A cell whose four corners stay below the lowest threshold (by more than rounding) holds nothing: look at the others.
        least = limits[:, :1, None]
        high = values > least - least.abs() * 2e-6
        high[:, :, :-1] |= high[:, :, 1:].clone()
        high[..., :-1] |= high[..., 1:].clone()
        cells = high.nonzero()
        tall, wide = rows[0].diff(), columns[0].diff()
        shape = tall[cells[:, 2]] * (codes.shape[2] + 1) + wide[cells[:, 3]]
        for size in shape.unique().tolist():  # cells at the border are larger or smaller; all of one shape are worked on together
            t, w = size // (codes.shape[2] + 1), size % (codes.shape[2] + 1)
            for part in cells[shape == size].split(max(1, _POSITIONS // max(1, t * w))):
                self._cells(part, (t, w), values, limits, codes, members, offsets, rows, columns, unit_bins, shared_bins)

    def _cells(  # type: ignore[no-untyped-def]
        self, part, size, values, limits, codes, members, offsets, rows, columns, unit_bins, shared_bins
    ) -> None:
        """Count the positions in cells of one shape; ``part`` [k, 4] holds their images, units, rows and columns."""
        image, unit, a, c = part.T
        b, d = (a + 1).clamp(max=values.shape[2] - 1), (c + 1).clamp(max=values.shape[3] - 1)
        y, x = (
            grid[0][at][:, None] + torch.arange(count, device=self.device)
            for grid, at, count in ((rows, a, size[0]), (columns, c, size[1]))
        )
        f, g = rows[1][y], columns[1][x][:, None]
        left, right = (
            (values[image, unit, a, at][:, None] * (1 - f) + values[image, unit, b, at][:, None] * f)[..., None] for at in (c, d)
        )
        value = left * (1 - g) + right * g
        cell, row, column = (value > limits[unit, 0][:, None, None]).nonzero(as_tuple=True)
        code = codes[image[cell], y[cell, row], x[cell, column]]
        kept = code > 0
        cell, code, value = cell[kept], code[kept], value[cell, row, column][kept]
        here = unit[cell]
        points, concepts = limits.shape[1], shared_bins.shape[1]
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
