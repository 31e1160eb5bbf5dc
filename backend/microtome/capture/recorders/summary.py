"""Moments and peaks together: one kernel reads every activation once and feeds both."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from microtome.capture.kernels import summary_kernel
from microtome.capture.recorders.moments import Moments, MomentStats
from microtome.capture.recorders.peaks import Peaks


class Summary:
    """Moments of every unit, and the peak of every unit on every example."""

    def __init__(self, examples: int, units: int) -> None:
        self._moments, self._peaks = Moments(units), Peaks(examples, units)

    def update(self, maps: npt.NDArray[np.float32], start: int) -> None:
        """float32 [B, units, height, width] of the examples from ``start`` on."""
        shape = maps.shape[:2]
        mean, squares = np.empty(shape), np.empty(shape)
        low, high, peaks = np.empty(shape, np.float32), np.empty(shape, np.float32), np.empty(shape, np.float32)
        sites = np.empty(shape, np.int32)
        summary_kernel(np.ascontiguousarray(maps), mean, squares, low, high, peaks, sites)
        self._moments.update(mean, squares, low, high, maps.shape[2] * maps.shape[3])
        self._peaks.update(peaks, sites, start)

    def merge(self, other: Summary) -> None:
        self._moments.merge(other._moments)
        self._peaks.merge(other._peaks)

    def finish(self) -> tuple[MomentStats, npt.NDArray[np.float32], npt.NDArray[np.int32]]:
        """Moments, and peaks with their sites, [examples, units]."""
        return self._moments.finish(), *self._peaks.finish()
