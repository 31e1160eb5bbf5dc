"""Counts of masks on other examples' labels: what IoU comes about by chance."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from microtome.capture.arithmetic import Arithmetic, kernels
from microtome.capture.grid import bilinear_grid
from microtome.capture.labels import LabelCodes
from microtome.capture.recorders.batch import Batch


class Permuted:
    """``areas`` int64 [units, permutations] and ``shared`` [units, permutations, concepts + 1]; row 0 is "no concept".

    Args:
        thresholds: float32 [units].
        labels: of all examples. partner: int32 [permutations, examples], whose labels each example's masks are put on.
    """

    def __init__(self, thresholds: npt.NDArray[np.float32], labels: LabelCodes, partner: npt.NDArray[np.int32], concepts: int) -> None:
        self._thresholds, self._labels, self._partner = np.ascontiguousarray(thresholds), labels, partner
        self.areas = np.zeros((len(thresholds), len(partner)), np.int64)
        self.shared = np.zeros((len(thresholds), len(partner), concepts + 1), np.int64)

    def update(self, batch: Batch, do: Arithmetic) -> None:
        del do  # rare and heavy: one implementation, on the CPU
        _, _, height, width = batch.maps.shape
        rows = bilinear_grid(height, self._labels.codes.shape[1])
        columns = bilinear_grid(width, self._labels.codes.shape[2])
        partner = np.ascontiguousarray(self._partner[:, batch.start : batch.start + len(batch.maps)])
        kernels.permuted(
            np.ascontiguousarray(batch.maps), self._thresholds, self._labels.codes, self._labels.members, self._labels.offsets,
            partner, *rows, *columns, self.areas, self.shared,
        )  # fmt: skip

    def merge(self, other: Permuted) -> None:
        self.areas += other.areas
        self.shared += other.shared
