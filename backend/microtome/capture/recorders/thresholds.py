"""Exact thresholds at a grid of quantiles (DESIGN section 13), in memory that does not grow with the examples.

The threshold of a unit at quantile q is the smallest attainable value such that at most a share 1 - q of its activations is
strictly above it: with M values and k = floor((1 - q) M), the (k + 1)-th largest.

Floats in ascending order are numbers of 32 bits, so the (k + 1)-th largest is found digit by digit (radix selection): counts
of the first digit say in which one it lies, counts of the second digit among those say the next, and so on. Counts merge,
whoever made them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from microtome.capture.arithmetic import DIGITS, NONE, Arithmetic, kernels
from microtome.capture.labels import blank
from microtome.capture.recorders.batch import Batch
from microtome.capture.recorders.look import Look

FloatArray = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

#: Offered quantiles, dense where thresholds are chosen (0.995 in network dissection, 0.99 in its successors); every ratio of
#: neighbouring shares is at most 2. What is counted at them grows with the share above the lowest.
GRID: tuple[float, ...] = (
    0.98, 0.985, 0.99, 0.9925, 0.995, 0.9965, 0.998, 0.9985, 0.999, 0.9993, 0.9995, 0.9997, 0.9998, 0.9999,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Thresholds:
    """``values`` float32 [units, points]; ``attained`` float64 [units, points], the share really above; both by quantile."""

    grid: tuple[float, ...]
    values: FloatArray
    attained: npt.NDArray[np.float64]

    def at(self, quantile: float) -> int:
        return self.grid.index(quantile)

    def only(self, grid: Sequence[float]) -> Thresholds:
        """Those at some of the quantiles, in the order given."""
        columns = [self.at(q) for q in grid]
        return Thresholds(tuple(grid), np.ascontiguousarray(self.values[:, columns]), self.attained[:, columns])


def allowed_above(quantile: float, count: int) -> int:
    """floor((1 - q) M), in exact arithmetic on the decimal that was written."""
    return int((1 - Fraction(str(quantile))) * count)


def _counters(units: int, slots: int, digits: int, total: int) -> npt.NDArray[Any]:
    """Zeros to count up to ``total`` in, no wider than needed: there are many of them."""
    width = np.int16 if total < 2**15 else np.int32 if total < 2**31 else np.int64
    return np.zeros((units, slots, digits), width)


class SecondDigits:
    """``counts`` [units, slots, 2**10] of the second digit, for first digits with a slot in ``table`` [units, 2**12].

    ``bounds`` float32 [units] is the smallest value that can have a slot, ``total`` the number of values of a unit.
    """

    def __init__(self, table: npt.NDArray[np.uint8], bounds: FloatArray, slots: int, total: int) -> None:
        self._table, self._bounds = table, bounds
        self.counts = _counters(len(table), slots, 1 << DIGITS[1], total)

    def update(self, batch: Batch, do: Arithmetic) -> None:
        do.second_digits(batch.maps, self._table, self._bounds, self.counts, batch.lengths)

    def merge(self, other: SecondDigits) -> None:
        self.counts += other.counts


class ThirdDigits:
    """``counts`` [units, slots, 2**10] of the last digit, for second digits with a slot in ``second``."""

    def __init__(self, table: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8], bounds: FloatArray, slots: int, total: int) -> None:
        self._table, self._second, self._bounds = table, second, bounds
        self.counts = _counters(len(table), slots, 1 << DIGITS[2], total)

    def update(self, batch: Batch, do: Arithmetic) -> None:
        do.third_digits(batch.maps, self._table, self._second, self._bounds, self.counts, batch.lengths)

    def merge(self, other: ThirdDigits) -> None:
        self.counts += other.counts


def _slots(*digits: Ints) -> Ints:
    """Numbers of the distinct digits of each unit; they do not fall along the grid, so equal ones are neighbours."""
    changed = np.zeros(digits[0].shape, np.int64)
    for digit in digits:
        changed[:, 1:] |= digit[:, 1:] != digit[:, :-1]
    return np.cumsum(changed, axis=1)


def _floats(keys: Ints) -> FloatArray:
    """The floats that numbers of 32 bits in ascending order stand for."""
    ordered = (keys - 2**31).astype(np.int32)
    return (ordered ^ ((ordered >> 31) & 0x7FFFFFFF)).astype(np.int32).view(np.float32)


def select(tops: Ints, grid: tuple[float, ...], count_second: Callable, count_third: Callable) -> Thresholds:
    """Thresholds from counts of first digits, asking for the counts of further ones.

    Args:
        tops: int64 [units, 2**12].
        grid: ascending quantiles in (0, 1).
        count_second: feeds a :class:`SecondDigits` with everything and returns it; ``count_third`` a :class:`ThirdDigits`.
    """
    units, points = len(tops), len(grid)
    total = int(tops[0].sum()) if units else 0
    row = np.arange(units)[:, None]
    left = np.tile(np.array([allowed_above(q, total) for q in grid], np.int64), (units, 1))
    above = np.zeros((units, points), np.int64)
    first, middle, last = (np.empty((units, points), np.int64) for _ in DIGITS)

    kernels.descend(tops[:, None], np.zeros_like(first), left, first, above)
    slot = _slots(first)
    table = np.full(tops.shape, NONE, np.uint8)
    table[row, first] = slot
    bounds = _floats(first.min(axis=1) << (DIGITS[1] + DIGITS[2]))
    seconds = count_second(SecondDigits(table, bounds, int(slot.max(initial=0)) + 1, total))

    kernels.descend(seconds.counts, slot, left, middle, above)
    deep = _slots(first, middle)
    second = np.full(seconds.counts.shape, NONE, np.uint8)
    second[row, slot, middle] = deep
    bounds = _floats(((first << DIGITS[1]) | middle).min(axis=1) << DIGITS[2])
    thirds = count_third(ThirdDigits(table, second, bounds, int(deep.max(initial=0)) + 1, total))

    kernels.descend(thirds.counts, deep, left, last, above)
    keys = (first << (DIGITS[1] + DIGITS[2])) | (middle << DIGITS[2]) | last
    return Thresholds(grid, _floats(keys), above / max(total, 1))


def exact_thresholds(maps: FloatArray, grid: tuple[float, ...], do: Arithmetic) -> Thresholds:
    """Thresholds of every unit of activations in memory, float32 [examples, units, height, width]."""
    examples, units = maps.shape[:2]
    batch = Batch(0, np.ascontiguousarray(maps), blank(examples, (1, 1)))
    look = Look(units)
    look.update(0, batch.maps, np.empty((units, examples), np.float32), np.empty((units, examples), np.int32), do)

    def count(recorder):  # type: ignore[no-untyped-def]
        recorder.update(batch, do)
        return recorder

    return select(look.tops, grid, count, count)
