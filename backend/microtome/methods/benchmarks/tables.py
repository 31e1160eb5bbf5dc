"""Scores of methods as results: means with their intervals, and how the scores are spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from microtome.core.errors import InvalidInput
from microtome.methods.benchmarks.contest import Contestant, GridParams
from microtome.methods.benchmarks.grids import Grid, Pools
from microtome.methods.benchmarks.scenes import Scene
from microtome.methods.faithfulness.model_randomisation import interval
from microtome.methods.faithfulness.order import Floats
from microtome.models.image import ImageModel
from microtome.results import Distribution, Scorecard

Facts = dict[str, str | int | float | bool | None]
#: Of a box plot: the ends of its whiskers, its box and its middle.
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_BINS = 20


def score(name: str, group: str, values: Floats, chance: float, seed: int) -> Scorecard.Score:
    """Mean of scores [grids, cells], some NaN, with the 95 % interval of bootstrap means over grids."""
    kept = values[np.isfinite(values).any(1)]
    means = np.array([row[np.isfinite(row)].mean() for row in kept])
    between = interval(means[:, None], seed) if len(means) > 1 else None
    low, high = between or (None, None)
    return Scorecard.Score(name=name, value=float(means.mean()), group=group, low=low, high=high, chance=chance)


def titles(contestants: Sequence[Contestant]) -> dict[str, str]:
    """Id -> title."""
    return {one.spec.id: one.spec.title for one in contestants}


def left_out(contestants: Sequence[Contestant], where: str = "") -> Facts:
    """Which methods have no score and why, and how many maps of the others have none."""
    facts: Facts = {}
    for one in contestants:
        reasons = "; ".join(f"{reason} ({count} maps)" for reason, count in one.reasons.items())
        if reasons:
            word = "left out" if np.isfinite(one.scores).any() else "refused"
            facts[f"{word}: {one.spec.title}{where}"] = reasons
    return facts


def scored(contestants: Sequence[Contestant]) -> list[Contestant]:
    """Those with a score.

    Raises:
        InvalidInput: there is none; with the reasons.
    """
    kept = [one for one in contestants if np.isfinite(one.scores).any()]
    if not kept:
        reasons = " ".join(f"{one.spec.title}: {'; '.join(one.reasons)}" for one in contestants)
        raise InvalidInput(f"No method has a map here, so there is nothing to compare. {reasons}"[:2000], field="model")
    return kept


def about(place: Scene, pools: Pools, grids: Sequence[Grid], params: GridParams, model: ImageModel) -> Facts:
    """What a reader must know of the grids."""
    classes = {index for grid in grids for index in grid.classes}
    return {
        "setting": place.setting, "grids": len(grids), "cells": params.cells**2, "explained cells per grid": len(grids[0].explained),
        "the network sees": place.seen, "classes": len(classes),
        "fewest classes in a grid": min(len(set(grid.classes)) for grid in grids),
        "images to choose from": sum(map(len, pools.images.values())), "images looked at": pools.looked,
        "confidence": params.confidence, "classes by": pools.truth, "smoothing": params.smoothing, "seed": params.seed,
    }  # fmt: skip


def grid_results(
    title: str, contestants: Sequence[Contestant], chance: float, params: GridParams, facts: Facts, rows: int
) -> Mapping[str, Scorecard | Distribution]:
    """``scores`` and ``distribution`` of methods that explained ``rows`` cells of every grid.

    Raises:
        InvalidInput: no method has a score.
    """
    scores, names, values = [], [], []
    for one in scored(contestants):
        versions = [("localisation", one.scores)] + ([("localisation, smoothed", one.smoothed)] if params.smoothing else [])
        for name, found in versions:
            if not np.isfinite(found).any():
                continue
            scores.append(score(name, one.spec.title, np.reshape(found, (-1, rows)), chance, params.seed))
            names.append(one.spec.title if name == "localisation" else f"{one.spec.title}, smoothed")
            values.append(np.array(found)[np.isfinite(found)])
    facts = facts | {f"version: {one.spec.title}": one.spec.version for one in contestants} | left_out(contestants)
    note = "Share of the positive part of the map that lies in the explained cell. Chance: a map that is the same everywhere."
    return {
        "scores": Scorecard(title=title, note=note, scores=scores, facts=facts),
        "distribution": spread(f"{title}: spread of the scores", names, values, note),
    }


def spread(title: str, names: Sequence[str], values: Sequence[Floats], note: str) -> Distribution:
    """Histograms and quantiles of scores between 0 and 1."""
    edges = np.linspace(0, 1, _BINS + 1)
    counts = np.array([np.histogram(np.clip(v, 0, 1), edges)[0] for v in values], np.int64)
    quantiles = np.array([np.quantile(v, QUANTILES) for v in values])
    attained = np.array([[(v <= q).mean() for q in row] for v, row in zip(values, quantiles, strict=True)])
    arrays = {
        "edges": np.tile(edges.astype(np.float32), (len(names), 1)), "counts": counts, "thresholds": quantiles.astype(np.float32),
        "attained": attained.astype(np.float32),
    }  # fmt: skip
    return Distribution(title=title, note=note, rows=list(names), quantity="localisation", grid=list(QUANTILES), arrays=arrays)
