"""Exact thresholds at a grid of quantiles (DESIGN section 13).

The threshold of a unit at quantile q is the smallest attainable value such that at most a share 1 - q of its activations is
strictly above it: with M values and k = floor((1 - q) M), the (k + 1)-th largest.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from microtome.capture.kernels import collect_above, sample_unit

FloatArray = npt.NDArray[np.float32]

#: Offered quantiles, dense where thresholds are chosen; every ratio of neighbouring shares is at most about 1.6.
GRID: tuple[float, ...] = (
    0.9, 0.92, 0.94, 0.95, 0.96, 0.97, 0.98, 0.985, 0.99, 0.9925, 0.995, 0.9965, 0.998, 0.9985, 0.999, 0.9993,
    0.9995, 0.9997, 0.9998, 0.9999,
)  # fmt: skip
_SAMPLE = 1 << 12


@dataclass(frozen=True, slots=True)
class Thresholds:
    """``values`` float32 [units, points]; ``attained`` float64 [units, points], the share really above; both by quantile."""

    grid: tuple[float, ...]
    values: FloatArray
    attained: npt.NDArray[np.float64]

    def at(self, quantile: float) -> int:
        return self.grid.index(quantile)


def allowed_above(quantile: float, count: int) -> int:
    """floor((1 - q) M), in exact arithmetic on the decimal that was written."""
    return int((1 - Fraction(str(quantile))) * count)


def _of_unit(maps: FloatArray, unit: int, allowed: list[int]) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Thresholds and numbers strictly above, of one unit; ``allowed`` falls as quantiles rise."""
    count = maps.shape[0] * maps.shape[2] * maps.shape[3]
    most = max(allowed)
    # Sorting everything is wasteful: keep what lies above a bound guessed from a sample, and check that it was enough.
    step = max(1, count // _SAMPLE)
    share = min(1.0, 1.3 * (most + 1) / count + 0.02)
    sample = np.empty(-(-count // step), np.float32)
    sample_unit(maps, unit, step, sample)
    place = int((1 - share) * (len(sample) - 1))
    bound = np.partition(sample, place)[place]
    buffer = np.empty(min(count, int(1.5 * share * count)) + maps.shape[3] + 1, np.float32)
    found = collect_above(maps, unit, bound, buffer)
    kept = buffer[: max(found, 0)]
    if found <= most:
        values = maps[:, unit].reshape(-1)
        if found >= 0 and values.min() == bound:  # all the rest equals the bound: a unit that is often exactly zero
            kept = np.append(kept, np.full(most + 1 - len(kept), bound, np.float32))
        else:
            kept = np.partition(values, count - most - 1)[count - most - 1 :]
    ordered = np.sort(kept)
    thresholds = ordered[[len(ordered) - 1 - k for k in allowed]]
    above = len(ordered) - np.searchsorted(ordered, thresholds, side="right")
    return thresholds, above


def exact_thresholds(maps: FloatArray, grid: tuple[float, ...], threads: int = 2) -> Thresholds:
    """Thresholds of every unit.

    Args:
        maps: float32 [examples, units, height, width].
        grid: ascending quantiles in (0, 1).
    """
    examples, units, height, width = maps.shape
    count = examples * height * width
    allowed = [allowed_above(q, count) for q in grid]
    values = np.empty((units, len(grid)), np.float32)
    above = np.empty((units, len(grid)), np.int64)

    def one(unit: int) -> None:
        values[unit], above[unit] = _of_unit(maps, unit, allowed)

    # The kernels and numpy's sort release the interpreter lock.
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(one, range(units)))
    return Thresholds(grid, values, above / count)
