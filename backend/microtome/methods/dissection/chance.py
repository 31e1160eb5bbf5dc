"""The chance level of a unit's best concept, by putting its masks on other images' labels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from microtome.capture.kernels import bilinear_grid, permuted_kernel
from microtome.capture.recorders.tally import ConceptAreas
from microtome.core.context import RunContext

_UNITS = 16


def permutation_chance(
    maps: npt.NDArray[np.float32],
    thresholds: npt.NDArray[np.float32],
    labels: npt.NDArray[np.uint16],
    concepts: ConceptAreas,
    permutations: int,
    seed: int,
    run: RunContext,
) -> npt.NDArray[np.float64]:
    """95th percentile, over permutations of the examples, of the largest IoU over concepts: float64 [units].

    The shape and size of masks and labels stay as they are; only their belonging together is broken (DESIGN section 13).
    """
    generator = np.random.default_rng(seed)
    partner = np.stack([generator.permutation(len(maps)) for _ in range(permutations)]).astype(np.int32)
    rows = bilinear_grid(maps.shape[2], labels.shape[2])
    columns = bilinear_grid(maps.shape[3], labels.shape[3])
    best = np.empty((maps.shape[1], permutations))
    for start in range(0, maps.shape[1], _UNITS):
        run.check()
        run.progress(start, maps.shape[1], "units permuted")
        part = np.ascontiguousarray(maps[:, start : start + _UNITS])
        areas = np.zeros((part.shape[1], permutations), np.int64)
        shared = np.zeros((part.shape[1], permutations, len(concepts.areas) + 1), np.int64)
        permuted_kernel(part, thresholds[start : start + _UNITS], labels, partner, *rows, *columns, areas, shared)
        both = shared[:, :, 1:].astype(np.float64)
        union = areas[:, :, None] + concepts.areas[None, None, :] - both
        best[start : start + _UNITS] = np.divide(both, union, out=np.zeros_like(both), where=union > 0).max(axis=2)
    return np.quantile(best, 0.95, axis=1)
