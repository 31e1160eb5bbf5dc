"""Arithmetic on a CPU, by compiled kernels that use all cores given to them."""

from __future__ import annotations

import os

import numba
import numpy as np
import numpy.typing as npt

from microtome.capture.arithmetic import Counts, Doubles, Floats, kernels
from microtome.capture.grid import axis
from microtome.capture.labels import LabelCodes
from microtome.core.settings import settings


def set_threads(count: int) -> None:
    """Threads of the kernels; 0 takes all cores."""
    available = int(numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]
    numba.set_num_threads(max(1, min(count or os.cpu_count() or 1, available)))


def _cells(maps: Floats) -> tuple[Floats, npt.NDArray[np.int32]]:
    """Maps as [B, units, cells], and their bits."""
    flat = maps.reshape(*maps.shape[:2], -1)
    return flat, flat.view(np.int32)


class Compiled:
    """Implements :class:`microtome.capture.arithmetic.Arithmetic`."""

    def __init__(self) -> None:
        set_threads(settings().threads)

    def look(self, maps: Floats, peaks: Floats, sites: npt.NDArray[np.int32], tops: Counts) -> tuple[Doubles, Doubles, Floats, Floats]:
        shape = maps.shape[:2]
        mean, squares = np.empty(shape), np.empty(shape)
        low, high = np.empty(shape, np.float32), np.empty(shape, np.float32)
        kernels.look(maps, maps.view(np.int32), mean, squares, low, high, peaks, sites, tops)
        return mean, squares, low, high

    def second_digits(self, maps: Floats, table: npt.NDArray[np.uint8], bounds: Floats, counts: Counts) -> None:
        kernels.second_digits(*_cells(maps), table, bounds, counts)

    def third_digits(
        self, maps: Floats, table: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8], bounds: Floats, counts: Counts
    ) -> None:
        kernels.third_digits(*_cells(maps), table, second, bounds, counts)

    def histogram(self, maps: Floats, low: Floats, scale: Floats, counts: Counts) -> None:
        kernels.histogram(_cells(maps)[0], low, scale, counts)

    def tally(self, maps: Floats, thresholds: Floats, labels: LabelCodes, unit_bins: Counts, shared_bins: Counts) -> None:
        rows, columns = axis(maps.shape[2], labels.codes.shape[1]), axis(maps.shape[3], labels.codes.shape[2])
        kernels.tally(maps, thresholds, labels.codes, labels.members, labels.offsets, *rows, *columns, unit_bins, shared_bins)
