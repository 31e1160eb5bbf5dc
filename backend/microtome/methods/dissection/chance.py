"""The chance level of a unit's best concept, by putting its masks on other images' labels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from microtome.capture.labels import LabelCodes
from microtome.capture.recorders.permuted import Permuted
from microtome.capture.recorders.tally import ConceptAreas
from microtome.capture.taken import View
from microtome.core.context import RunContext

_UNITS = 16


def permutation_chance(
    view: View,
    thresholds: npt.NDArray[np.float32],
    labels: LabelCodes,
    concepts: ConceptAreas,
    permutations: int,
    seed: int,
    run: RunContext,
) -> npt.NDArray[np.float64]:
    """95th percentile, over permutations of the examples, of the largest IoU over concepts: float64 [units].

    The shape and size of masks and labels stay as they are; only their belonging together is broken (DESIGN section 13).
    """
    generator = np.random.default_rng(seed)
    partner = np.stack([generator.permutation(len(labels)) for _ in range(permutations)]).astype(np.int32)
    best = np.empty((view.units, permutations))
    for start in range(0, view.units, _UNITS):
        run.progress(start, view.units, "units permuted")
        block = (start, min(start + _UNITS, view.units))
        counted = view.record(Permuted(thresholds[slice(*block)], labels, partner, len(concepts.areas)), units=block)[0]
        both = counted.shared[:, :, 1:].astype(np.float64)
        union = counted.areas[:, :, None] + concepts.areas[None, None, :] - both
        best[slice(*block)] = np.divide(both, union, out=np.zeros_like(both), where=union > 0).max(axis=2)
    return np.quantile(best, 0.95, axis=1)
