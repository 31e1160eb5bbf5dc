"""Arithmetic on a CPU, by compiled kernels that use all cores given to them."""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt
import torch

from microtome.capture.arithmetic import Counts, Doubles, Floats, Lengths, kernels
from microtome.capture.grid import axis
from microtome.capture.labels import LabelCodes
from microtome.core.settings import settings


def set_threads() -> None:
    """As many threads for the kernels as the settings allow."""
    available = int(numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]
    networks = torch.get_num_threads()
    numba.set_num_threads(max(1, min(settings().cores, available)))
    # Where both use the same OpenMP, numba's number has become torch's.
    torch.set_num_threads(networks)


def _cells(maps: Floats) -> tuple[Floats, npt.NDArray[np.int32]]:
    """Maps as [B, units, cells], and their bits."""
    flat = maps.reshape(*maps.shape[:2], -1)
    return flat, flat.view(np.int32)


def _used(maps: Floats, lengths: Lengths) -> npt.NDArray[np.int32]:
    """Sites of each row that are used. Only maps of one row differ in length."""
    return np.full(len(maps), maps.shape[3], np.int32) if lengths is None else lengths


def _used_cells(maps: Floats, lengths: Lengths) -> npt.NDArray[np.int32]:
    return _used(maps, lengths) * np.int32(maps.shape[2])


class Compiled:
    """Implements :class:`microtome.capture.arithmetic.Arithmetic`."""

    def __init__(self) -> None:
        set_threads()

    def look(
        self, maps: Floats, peaks: Floats, sites: npt.NDArray[np.int32], tops: Counts, lengths: Lengths = None
    ) -> tuple[Doubles, Doubles, Floats, Floats]:
        shape = maps.shape[:2]
        mean, squares = np.empty(shape), np.empty(shape)
        low, high = np.empty(shape, np.float32), np.empty(shape, np.float32)
        kernels.look(maps, maps.view(np.int32), _used(maps, lengths), mean, squares, low, high, peaks, sites, tops)
        return mean, squares, low, high

    def second_digits(self, maps: Floats, table: npt.NDArray[np.uint8], bounds: Floats, counts: Counts, lengths: Lengths = None) -> None:
        kernels.second_digits(*_cells(maps), _used_cells(maps, lengths), table, bounds, counts)

    def third_digits(
        self, maps: Floats, table: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8], bounds: Floats, counts: Counts,
        lengths: Lengths = None,
    ) -> None:  # fmt: skip
        kernels.third_digits(*_cells(maps), _used_cells(maps, lengths), table, second, bounds, counts)

    def histogram(self, maps: Floats, low: Floats, scale: Floats, counts: Counts, lengths: Lengths = None) -> None:
        kernels.histogram(_cells(maps)[0], _used_cells(maps, lengths), low, scale, counts)

    def ranked(self, maps: Floats, thresholds: Floats, labels: LabelCodes, unit_bins: Counts, shared_bins: Counts) -> None:
        kernels.ranked(_cells(maps)[0], thresholds, labels.codes[:, 0], labels.members, labels.offsets, unit_bins, shared_bins)

    def troughs(self, maps: Floats, values: Floats, sites: npt.NDArray[np.int32], lengths: Lengths = None) -> None:
        kernels.troughs(_cells(maps)[0], _used_cells(maps, lengths), values, sites)

    def tally(self, maps: Floats, thresholds: Floats, labels: LabelCodes, unit_bins: Counts, shared_bins: Counts) -> None:
        rows, columns = axis(maps.shape[2], labels.codes.shape[1]), axis(maps.shape[3], labels.codes.shape[2])
        kernels.tally(maps, thresholds, labels.codes, labels.members, labels.offsets, *rows, *columns, unit_bins, shared_bins)
