"""Exact counts of positions shared by units and concepts, at every offered quantile at once.

A unit's mask is its map, bilinear to the size of the labels with half-pixel centres, strictly above the threshold. The order
of operations is fixed: float32, first between rows (``a * (1 - f) + b * f``), then between columns. A position above the
threshold of quantile g but not of g + 1 is counted in bin g; sums from the top give the counts at every quantile.

Interpolation exceeds the largest of its neighbours by no more than rounding, so maps and rows whose maximum stays below the
lowest threshold by more than that are skipped without changing a count: counts do not depend on which quantiles are offered.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from microtome.capture.kernels import bilinear_grid, suffix_sums, tally_kernel

IGNORED = np.uint16(65_535)


@dataclass(frozen=True, slots=True)
class Counts:
    """int64 counts over all positions that are not ignored.

    ``unit_areas`` [units, points]; ``shared`` [units, concepts, points].
    """

    unit_areas: npt.NDArray[np.int64]
    shared: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ConceptAreas:
    """Positions of every concept, int64 [concepts], and of all together. The same for every layer."""

    areas: npt.NDArray[np.int64]
    positions: int

    @classmethod
    def of(cls, labels: npt.NDArray[np.uint16], concepts: int) -> ConceptAreas:
        """Of uint16 [n, L, h, w]; positions that are IGNORED in the first map are left out."""
        areas, positions = np.zeros(concepts + 1, np.int64), 0
        for maps in labels:
            kept = maps[0] != IGNORED
            positions += int(kept.sum())
            for layer in maps:
                areas += np.bincount(layer[kept], minlength=concepts + 1)
        return cls(areas[1:], positions)


class Tally:
    """Counts for one layer.

    Args:
        thresholds: float32 [units, points], not falling along points.
        concepts: number of concepts. size: height and width of the labels.
    """

    def __init__(self, thresholds: npt.NDArray[np.float32], concepts: int, size: tuple[int, int]) -> None:
        self._thresholds = np.ascontiguousarray(thresholds)
        units, points = thresholds.shape
        self._units = np.zeros((units, points), np.int64)
        self._shared = np.zeros((units, concepts + 1, points), np.int64)
        self._size = size

    def update(self, maps: npt.NDArray[np.float32], labels: npt.NDArray[np.uint16]) -> None:
        """float32 [B, units, h, w] and uint16 [B, L, *size]; a position that is IGNORED in the first map is left out."""
        rows, (low, high, weight) = bilinear_grid(maps.shape[2], self._size[0]), bilinear_grid(maps.shape[3], self._size[1])
        cells = np.searchsorted(low, np.arange(maps.shape[3] + 1)).astype(np.int32)
        tally_kernel(
            np.ascontiguousarray(maps),
            self._thresholds,
            labels,
            *rows,
            cells,
            high,
            weight,
            self._units,
            self._shared,
        )

    def merge(self, other: Tally) -> None:
        self._units += other._units
        self._shared += other._shared

    def finish(self) -> Counts:
        units, concepts, points = self._shared.shape
        shared = np.empty((units, concepts - 1, points), np.int64)
        suffix_sums(self._shared, shared)
        areas = np.ascontiguousarray(np.cumsum(self._units[:, ::-1], axis=1)[:, ::-1])
        return Counts(areas, shared)
