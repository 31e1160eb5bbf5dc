"""Mean, standard deviation and extremes of every unit's activations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch


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

    def update(self, maps: torch.Tensor) -> None:
        """float32 [B, units, height, width]."""
        rows = maps.detach().transpose(0, 1).flatten(1)
        variance, mean = torch.var_mean(rows.double(), dim=1, correction=0)
        low, high = torch.aminmax(rows, dim=1)
        self._add(
            rows.shape[1], mean.cpu().numpy(), variance.cpu().numpy() * rows.shape[1],
            low.cpu().numpy().astype(np.float64), high.cpu().numpy().astype(np.float64),
        )  # fmt: skip

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
