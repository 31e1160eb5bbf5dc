"""Where every unit is weakest on every example: the other end of its peaks."""

from __future__ import annotations

import numpy as np

from microtome.capture.arithmetic import Arithmetic
from microtome.capture.recorders.batch import Batch


class Troughs:
    """``values`` float32 and ``sites`` int32, [units, examples]: smallest activation and its site, infinite where an example has none."""

    def __init__(self, units: int, examples: int) -> None:
        self.values = np.full((units, examples), np.inf, np.float32)
        self.sites = np.zeros((units, examples), np.int32)

    def update(self, batch: Batch, do: Arithmetic) -> None:
        values = np.empty((len(self.values), len(batch.maps)), np.float32)
        sites = np.empty(values.shape, np.int32)
        do.troughs(batch.maps, values, sites, batch.lengths)
        here = slice(batch.start, batch.start + len(batch.maps))
        self.values[:, here], self.sites[:, here] = values, sites

    def merge(self, other: Troughs) -> None:
        """Every example is seen by one of them only."""
        theirs = np.isfinite(other.values)
        self.values[theirs], self.sites[theirs] = other.values[theirs], other.sites[theirs]
