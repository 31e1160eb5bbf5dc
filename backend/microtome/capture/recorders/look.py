"""What is recorded while the network runs: one reading of every activation gives moments, peaks and first digits."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from microtome.capture.arithmetic import DIGITS, Arithmetic
from microtome.capture.recorders.moments import Moments


class Look:
    """``moments``, and ``tops`` int64 [units, 2**12]: how many values have each first digit (see :mod:`.thresholds`).

    The largest activation of every unit on every example goes to arrays of the caller, because it grows with the examples.
    """

    def __init__(self, units: int) -> None:
        self.moments = Moments(units)
        self.tops = np.zeros((units, 1 << DIGITS[0]), np.int64)

    def update(
        self, start: int, maps: npt.NDArray[np.float32], peaks: npt.NDArray[np.float32], sites: npt.NDArray[np.int32], do: Arithmetic,
        lengths: npt.NDArray[np.int32] | None = None,
    ) -> None:  # fmt: skip
        """float32 [B, units, h, w] of the examples from ``start`` on; fills ``peaks`` and ``sites`` [units, B].

        An example without a used site has no peak: minus infinity at site 0.
        """
        found = do.look(maps, peaks, sites, self.tops, lengths)
        used = np.full(len(maps), maps.shape[3], np.int32) if lengths is None else lengths
        self.moments.update(start, *found, maps.shape[2] * used)

    def merge(self, other: Look) -> None:
        self.moments.merge(other.moments)
        self.tops += other.tops
