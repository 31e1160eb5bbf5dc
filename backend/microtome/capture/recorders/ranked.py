"""Counts of tokens shared by units and concepts over the whole range of activations: what a ranking of the tokens is worth."""

from __future__ import annotations

from microtome.capture.arithmetic import Arithmetic
from microtome.capture.recorders.batch import Batch
from microtome.capture.recorders.tally import Tally


class Ranked(Tally):
    """As :class:`.tally.Tally`, for maps whose sites are the positions of labels; quick where most lie above the lowest threshold."""

    def update(self, batch: Batch, do: Arithmetic) -> None:
        do.ranked(batch.maps, self._thresholds, batch.labels, self._units, self._shared)
