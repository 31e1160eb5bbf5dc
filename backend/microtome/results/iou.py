"""IoU, its ceiling and its chance level, from counts (DESIGN section 13). Used by the method and by interactive thresholds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

#: A concept whose ceiling lies below this cannot make a unit a detector at the quantile, however well it fits.
MIN_IOU = 0.04


@dataclass(frozen=True, slots=True)
class Scores:
    """float64 [units, concepts] each; 0 where both areas are empty."""

    iou: Floats
    ceiling: Floats
    chance: Floats


def _ratio(above: Floats, below: Floats) -> Floats:
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)


def scores(shared: npt.NDArray, unit_areas: npt.NDArray, concept_areas: npt.NDArray, positions: int) -> Scores:
    """Scores at one quantile.

    Args:
        shared: [units, concepts] positions in both masks. unit_areas: [units]. concept_areas: [concepts].
        positions: P, all positions counted over.

    ``iou`` = I / (a + b - I); ``ceiling`` = min(a, b) / max(a, b), what a perfect fit would reach;
    ``chance`` = (ab/P) / (a + b - ab/P), the expectation for independent masks.
    """
    both = shared.astype(np.float64)
    a, b = unit_areas.astype(np.float64)[:, None], concept_areas.astype(np.float64)[None, :]
    expected = a * b / max(positions, 1)
    return Scores(_ratio(both, a + b - both), _ratio(np.minimum(a, b) + 0 * both, np.maximum(a, b)), _ratio(expected, a + b - expected))
