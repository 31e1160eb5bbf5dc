"""Mean, standard deviation and extremes of every unit's activations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class MomentStats:
    """Per unit over all examples and sites: float64 [units] each; population standard deviation."""

    mean: npt.NDArray[np.float64]
    std: npt.NDArray[np.float64]
    minimum: npt.NDArray[np.float64]
    maximum: npt.NDArray[np.float64]
    count: int


class Moments:
    """Merges by Chan, Golub and LeVeque 1979: exact however the examples were split."""

    def __init__(self, units: int) -> None:
        self.count = 0
        self.mean, self.squares = np.zeros(units), np.zeros(units)
        self.minimum, self.maximum = np.full(units, np.inf), np.full(units, -np.inf)

    def update(
        self, mean: npt.NDArray[np.float64], squares: npt.NDArray[np.float64], low: npt.NDArray, high: npt.NDArray, cells: int
    ) -> None:
        """Maps by their own moments, [B, units] each: mean, sum of squared deviations, extremes; ``cells`` values per map."""
        for row in range(len(mean)):
            self._add(cells, mean[row], squares[row], low[row], high[row])

    def _add(self, count: int, mean: npt.NDArray, squares: npt.NDArray, low: npt.NDArray, high: npt.NDArray) -> None:
        total = self.count + count
        shift = mean - self.mean
        self.mean = self.mean + shift * (count / total)
        self.squares = self.squares + squares + shift**2 * (self.count * count / total)
        self.minimum, self.maximum = np.minimum(self.minimum, low), np.maximum(self.maximum, high)
        self.count = total

    def merge(self, other: Moments) -> None:
        if other.count:
            self._add(other.count, other.mean, other.squares, other.minimum, other.maximum)

    def finish(self) -> MomentStats:
        return MomentStats(self.mean, np.sqrt(self.squares / max(self.count, 1)), self.minimum, self.maximum, self.count)
