"""Exact counts of positions shared by units and concepts, at every offered quantile at once.

A unit's mask is its map, bilinear to the size of the labels with half-pixel centres, strictly above the threshold. The order
of operations is fixed: float32, first between rows (``a * (1 - f) + b * f``), then between columns. A position above the
threshold of quantile g but not of g + 1 is counted in bin g; sums from the top give the counts at every quantile.

Interpolation exceeds the largest of its neighbours by no more than rounding, so maps and cells whose maximum stays below the
lowest threshold by more than that are skipped without changing a count: counts do not depend on which quantiles are offered.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from microtome.capture.arithmetic import Arithmetic, kernels
from microtome.capture.labels import LabelCodes
from microtome.capture.recorders.batch import Batch


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
    def of(cls, labels: LabelCodes, concepts: int) -> ConceptAreas:
        return cls(labels.areas(concepts)[1:], labels.positions)

    def __add__(self, other: ConceptAreas) -> ConceptAreas:
        return ConceptAreas(self.areas + other.areas, self.positions + other.positions)


class Tally:
    """Counts for one layer.

    Args:
        thresholds: float32 [units, points], not falling along points. concepts: number of concepts.
    """

    def __init__(self, thresholds: npt.NDArray[np.float32], concepts: int) -> None:
        self._thresholds = np.ascontiguousarray(thresholds)
        units, points = thresholds.shape
        self._units = np.zeros((units, points), np.int64)
        self._shared = np.zeros((units, concepts, points), np.int64)

    def update(self, batch: Batch, do: Arithmetic) -> None:
        do.tally(batch.maps, self._thresholds, batch.labels, self._units, self._shared)

    def merge(self, other: Tally) -> None:
        self._units += other._units
        self._shared += other._shared

    def finish(self) -> Counts:
        """Counts above every threshold. Ends the recorder: its own counts become sums."""
        for bins in (self._units[:, None], self._shared):
            kernels.sums_from_above(bins, bins)
        return Counts(self._units, self._shared)
