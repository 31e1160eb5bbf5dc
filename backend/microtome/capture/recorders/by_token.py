"""Mean activation of every unit by token of the vocabulary."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from microtome.capture.arithmetic import Arithmetic, kernels
from microtome.capture.recorders.batch import Batch


class ByToken:
    """``sums`` float64 [units, kinds] over the tokens of each kind.

    Args:
        kinds: int32 [examples, width], the kind of every token of every text; -1 for those that are not counted.
        count: number of kinds.
    """

    def __init__(self, units: int, kinds: npt.NDArray[np.int32], count: int) -> None:
        self._kinds = kinds
        self.sums = np.zeros((units, count))

    def update(self, batch: Batch, do: Arithmetic) -> None:
        del do  # one addition a value: one implementation, on the CPU
        _, _, _, width = batch.maps.shape
        kinds = np.ascontiguousarray(self._kinds[batch.start : batch.start + len(batch.maps), :width])
        kernels.sums_by_kind(batch.maps.reshape(*batch.maps.shape[:2], -1), kinds, self.sums)

    def merge(self, other: ByToken) -> None:
        self.sums += other.sums
