"""The largest activation of every unit on every example, and where: exact top-k and all bands follow from it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


class Peaks:
    """float32 [examples, units] maxima and int32 [examples, units] sites (row-major; the first site on a tie)."""

    def __init__(self, examples: int, units: int) -> None:
        self.values = np.full((examples, units), np.nan, np.float32)
        self.sites = np.full((examples, units), -1, np.int32)

    def update(self, values: npt.NDArray[np.float32], sites: npt.NDArray[np.int32], start: int) -> None:
        """Maxima and their sites, [B, units], of the examples from ``start`` on."""
        self.values[start : start + len(values)] = values
        self.sites[start : start + len(values)] = sites

    def merge(self, other: Peaks) -> None:
        """Take over the examples that ``other`` has seen."""
        seen = other.sites[:, 0] >= 0
        self.values[seen], self.sites[seen] = other.values[seen], other.sites[seen]

    def finish(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
        if (self.sites < 0).any():
            raise RuntimeError(f"{int((self.sites[:, 0] < 0).sum())} examples were never recorded")
        return self.values, self.sites


def top_examples(peaks: npt.NDArray[np.float32], count: int) -> npt.NDArray[np.int32]:
    """int32 [units, count]: examples with the largest peaks, largest first; equal peaks in order of the example."""
    order = np.argsort(-peaks, axis=0, kind="stable")[:count]
    return order.T.astype(np.int32)
