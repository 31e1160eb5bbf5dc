"""The strongest examples of every unit, kept while the examples pass by: nothing else of them is."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from microtome.capture.arithmetic import kernels

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]


class Leaders:
    """The ``count`` examples with the largest activation of every unit, strongest first; equal ones in order of the example.

    Attributes:
        values: float32 [units, count], minus infinity where there are fewer examples.
        examples, sites: int32 [units, count]; examples are -1 where there are fewer.
        maps: float32 [units, count, width], the activations of those examples.
    """

    def __init__(self, units: int, count: int, width: int) -> None:
        self.values = np.full((units, count), -np.inf, np.float32)
        self.examples = np.full((units, count), -1, np.int32)
        self.sites = np.zeros((units, count), np.int32)
        self.maps = np.zeros((units, count, width), np.float32)

    def update(self, start: int, maps: Floats, peaks: Floats, sites: Ints) -> None:
        """Maps float32 [B, units, 1, w] of the examples from ``start`` on, w at most the width; their peaks and sites [units, B]."""
        kernels.keep_leaders(maps[:, :, 0], start, peaks, sites, self.values, self.examples, self.sites, self.maps)
