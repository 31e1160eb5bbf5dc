"""The arithmetic of recorders, twice: compiled for the CPU, and in torch for any device. Both give identical counts."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from microtome.capture.labels import LabelCodes

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Counts = npt.NDArray[np.signedinteger]
#: Bits of the digits in which thresholds are found, of the 32 of a float in ascending order.
DIGITS = (12, 10, 10)
#: Entry of a table of slots for digits that are not looked for.
NONE = 255


Lengths = npt.NDArray[np.int32] | None


class Arithmetic(Protocol):
    """What recorders need. Maps are float32 [B, units, h, w]; what is counted in are integers, and is added to.

    ``lengths`` int32 [B]: sites of each row that are used, from the first on; None for all. Those behind them are not looked at.
    """

    def look(
        self, maps: Floats, peaks: Floats, sites: npt.NDArray[np.int32], tops: Counts, lengths: Lengths = None
    ) -> tuple[Doubles, Doubles, Floats, Floats]:
        """Mean, sum of squared deviations, minimum and maximum of every map, [B, units] each.

        Fills ``peaks`` and ``sites`` [units, B] (the first site on a tie); adds to ``tops`` [units, 2**12] by first digit.
        """
        ...

    def second_digits(self, maps: Floats, table: npt.NDArray[np.uint8], bounds: Floats, counts: Counts, lengths: Lengths = None) -> None:
        """Count second digits of values whose first has a slot in ``table`` [units, 2**12]: ``counts`` [units, slots, 2**10].

        ``bounds`` [units]: the smallest value that can have a slot.
        """
        ...

    def third_digits(
        self, maps: Floats, table: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8], bounds: Floats, counts: Counts,
        lengths: Lengths = None,
    ) -> None:  # fmt: skip
        """Count last digits of values whose second has a slot in ``second`` [units, slots, 2**10]."""
        ...

    def histogram(self, maps: Floats, low: Floats, scale: Floats, counts: Counts, lengths: Lengths = None) -> None:
        """Count values in equal bins from ``low`` [units], ``scale`` bins per unit of activation: ``counts`` [units, bins]."""
        ...

    def tally(self, maps: Floats, thresholds: Floats, labels: LabelCodes, unit_bins: Counts, shared_bins: Counts) -> None:
        """Count upsampled positions between thresholds [units, points], alone and by concept [units, concepts, points]."""
        ...

    def ranked(self, maps: Floats, thresholds: Floats, labels: LabelCodes, unit_bins: Counts, shared_bins: Counts) -> None:
        """The same where sites are positions, as they are in texts, and most lie above the lowest threshold."""
        ...

    def troughs(self, maps: Floats, values: Floats, sites: npt.NDArray[np.int32], lengths: Lengths = None) -> None:
        """Smallest value of every map and its site: fills [units, B] each (the first site on a tie)."""
        ...


def arithmetic_for(device: str) -> Arithmetic:
    """The faster one on ``device``: compiled on a CPU, torch on an accelerator."""
    if device.startswith("cpu"):
        from microtome.capture.arithmetic.compiled import Compiled

        return Compiled()
    from microtome.capture.arithmetic.tensors import Tensors

    return Tensors(device)
