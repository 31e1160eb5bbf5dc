"""How well a unit ranks the tokens of a concept: average precision and the best F1, from counts at thresholds."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from microtome.capture.recorders.tally import ConceptAreas, Counts
from microtome.capture.recorders.thresholds import GRID
from microtome.results import Matrix

#: Quantiles at which the ranking is cut: over the whole range, denser towards the top.
STEPS: tuple[float, ...] = (
    0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.68, 0.75, 0.8, 0.84, 0.875, 0.9, 0.92, 0.937, 0.95, 0.96, 0.968, 0.975, *GRID,
)  # fmt: skip


class Ranking(NamedTuple):
    """float64 [units, concepts] each; ``prevalence`` [concepts] is the average precision of a ranking by lot."""

    precision: npt.NDArray[np.float64]
    f1: npt.NDArray[np.float64]
    prevalence: npt.NDArray[np.float64]


def rank(counts: Counts, areas: ConceptAreas) -> Ranking:
    """Average precision of the activation cut at STEPS, tokens between two cuts as ties; and F1 at the best of the cuts.

    ``AP = sum over cuts, from the top, of (R_k - R_(k-1)) P_k`` with precision P and recall R of all tokens above cut k; the last
    cut takes in every token. Concepts that no token has score nothing: NaN.
    """
    everything = np.full((*counts.unit_areas.shape[:1], 1), areas.positions, np.int64)
    above = np.concatenate([everything, counts.unit_areas], axis=1)[:, ::-1][:, None].astype(np.float64)
    of_concept = np.broadcast_to(areas.areas[None, :, None], (*counts.shared.shape[:2], 1))
    both = np.concatenate([of_concept, counts.shared], axis=2)[:, :, ::-1].astype(np.float64)
    total = areas.areas.astype(np.float64)[None, :, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.where(above > 0, both / above, 0.0)
        recall = both / total
        f1 = (2 * both / (above + total)).max(axis=2)
        gained = np.diff(recall, axis=2, prepend=0.0)
    average = (gained * precision).sum(axis=2)
    missing = areas.areas == 0
    average[:, missing] = f1[:, missing] = np.nan
    return Ranking(average, f1, areas.areas / max(areas.positions, 1))


def ranking_result(layer: str, label: str, found: Ranking, concepts: list[str], areas: ConceptAreas) -> Matrix:
    """Average precision of every unit and concept, with chance."""
    return Matrix(
        title=f"Average precision of {label} for concepts",
        note=f"A ranking by lot has the concept's prevalence. Activations are cut at {len(STEPS)} quantiles; between cuts tokens tie.",
        rows=[], columns=concepts, row_axis="unit", column_axis="concept", quantity="average precision", positions=areas.positions,
        layer=layer,
        arrays={
            "values": found.precision.astype(np.float32),
            "chance": np.broadcast_to(found.prevalence, found.precision.shape).astype(np.float32),
            "ceiling": np.ones(found.precision.shape, np.float32), "column_areas": areas.areas,
        },
    )  # fmt: skip
