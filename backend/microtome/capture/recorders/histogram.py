"""Histogram of every unit's activations between its own extremes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from microtome.capture.arithmetic import Arithmetic
from microtome.capture.recorders.batch import Batch

BINS = 76


class Histogram:
    """Equal bins from each unit's minimum to its maximum; a unit that never varies has everything in its first bin."""

    def __init__(self, minimum: npt.NDArray[np.float64], maximum: npt.NDArray[np.float64]) -> None:
        self._low, self._high = minimum.astype(np.float32), maximum.astype(np.float32)
        width = self._high - self._low
        self._scale = np.divide(np.float32(BINS), width, out=np.zeros_like(width), where=width > 0)
        self._counts = np.zeros((len(minimum), BINS), np.int64)

    def update(self, batch: Batch, do: Arithmetic) -> None:
        do.histogram(batch.maps, self._low, self._scale, self._counts, batch.lengths)

    def merge(self, other: Histogram) -> None:
        self._counts += other._counts

    def finish(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Edges float32 [units, BINS + 1] and counts int64 [units, BINS]."""
        share = np.linspace(0, 1, BINS + 1, dtype=np.float32)
        high = np.where(self._high > self._low, self._high, self._low + 1)
        return self._low[:, None] + (high - self._low)[:, None] * share, self._counts
