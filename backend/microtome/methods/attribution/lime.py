"""LIME: local interpretable model-agnostic explanations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from pydantic import Field

from microtome.core.errors import InvalidInput
from microtome.methods.attribution.explain import Attribution, Call, MapFacts, attribution
from microtome.methods.attribution.features import FeatureParams, features_of
from microtome.methods.contract import Cost

#: Below this the straight line says little about the model, and the note says so.
POOR = 0.5


class Params(FeatureParams):
    samples: int = Field(1000, ge=8, le=20000, description="Images with random features on, each with chance one half; the image is one.")
    distance: Literal["cosine", "share"] = Field(
        "cosine", description="How far a sample is from the image: cosine distance as published, or the share of features that are off."
    )
    width: float = Field(0.25, gt=0, le=100, description="Width of the exponential kernel over distances.")
    fit: Literal["ridge", "lasso"] = Field("ridge", description="Penalty of the linear fit: squares, or magnitudes.")
    penalty: float = Field(1.0, ge=0, le=1e6, description="Its strength; ridge as published is 1. Lasso sees weights that average 1.")
    most: int | None = Field(None, ge=1, le=400, description="Only so many features, those that weigh most in a first fit; all if empty.")


@dataclass(frozen=True, slots=True)
class Line:
    """A weighted linear fit: coefficients [features], the intercept, and the weighted share of the variance that it explains."""

    values: np.ndarray
    intercept: float
    explained: float


def kernel(present: np.ndarray, distance: str, width: float) -> np.ndarray:
    """Weights [n] of samples [n, features]: ``exp(-d^2 / (2 width^2))``, the square root that the authors' program takes."""
    share = present.mean(1)
    away = 1 - np.sqrt(share) if distance == "cosine" else 1 - share
    return np.exp(-np.square(away / width) / 2)


def fit(present: np.ndarray, numbers: np.ndarray, weights: np.ndarray, penalty: float, how: str) -> Line:
    """The line through ``numbers`` [n] in the features [n, features], the intercept without penalty.

    Ridge: ``sum w (y - X b - c)^2 + penalty |b|^2``. Lasso: ``1 / (2 sum w) sum w (y - X b - c)^2 + penalty |b|_1``.
    """
    share = weights / weights.sum()
    wide = present.astype(np.float64)
    middle, level = share @ wide, float(share @ numbers)
    x, y = wide - middle, numbers - level
    matrix, moment = x.T @ (x * share[:, None]), x.T @ (share * y)
    if how == "ridge":
        # The least of all solutions where there is no penalty and the samples do not tell features apart.
        values = np.linalg.lstsq(matrix + penalty / weights.sum() * np.eye(len(matrix)), moment, rcond=None)[0]
    else:
        values = _lasso(matrix, moment, penalty)
    variance = float(share @ np.square(y))
    left = float(share @ np.square(y - x @ values))
    return Line(values, level - float(middle @ values), 1 - left / variance if variance > 0 else 1.0)


def _lasso(matrix: np.ndarray, moment: np.ndarray, penalty: float) -> np.ndarray:
    """Coordinate descent until no coefficient moves by more than a billionth of the largest."""
    values = np.zeros(len(matrix))
    scale = np.diag(matrix)
    for _ in range(10_000):
        moved = 0.0
        for i in np.flatnonzero(scale > 0):
            free = moment[i] - matrix[i] @ values + scale[i] * values[i]
            new = np.sign(free) * max(abs(free) - penalty, 0.0) / scale[i]
            moved, values[i] = max(moved, abs(new - values[i])), new
        if moved <= 1e-9 * max(float(np.abs(values).max()), 1e-30):
            break
    return values


def samples(features: int, count: int, seed: int) -> np.ndarray:
    """bool [count, features]: the image itself, then features on with chance one half."""
    present = np.random.default_rng(seed).random((count, features)) < 0.5
    present[0] = True
    return present


@attribution(
    "lime",
    title="LIME",
    params=Params,
    example_params=Params(samples=32, count=9),
    cite="Ribeiro, Singh, Guestrin 2016, arXiv:1602.04938",
    quantity="{} per pixel",
    cost=Cost(passes=1.0, times="samples"),
    passes=lambda p: float(p.samples),
)
def lime(call: Call, params: Params) -> Attribution:
    """Coefficients of a linear model of squares or superpixels, fitted to the target around the image.

    A feature's coefficient is spread evenly over its pixels. `r_squared` is the weighted share of the target's variance over the
    samples that the line explains; below 0.5 the note warns, since a line that fits badly explains nothing.

    Formula:
        `min over b, c of sum over z of w(z) (f(z) - c - b . z)^2 + penalty(b)`, `w(z) = exp(-d(1, z)^2 / (2 width^2))`,
        `d` the cosine distance; `map_p = b_i / |i|` for pixel p of feature i.

    Known failures:
        Coefficients depend on the kernel's width, for which there is no rule, and on the seed; they do not add up to the target. Where
        features interact the line fits badly however many samples there are. Cosine distance with the published width hardly tells
        samples apart. Filled images are no photographs.
    """
    height, width = call.inputs.shape[2:]
    maps = torch.zeros(len(call.targets), height, width, device=call.inputs.device)
    explained, counts = [0.0] * len(call.targets), [0.0] * len(call.targets)
    for part in features_of(call, params):
        present = samples(part.count, params.samples, params.seed)
        weights = kernel(present, params.distance, params.width)
        if float(weights.sum()) < 2:  # the image itself weighs 1
            raise InvalidInput(f"With a kernel of width {params.width} all samples but the image weigh nothing.", field="params.width")
        numbers = part.answers(present).cpu().numpy()
        values = np.zeros((len(part.rows), part.count))
        for slot, row in enumerate(part.rows):
            line = fit(present, numbers[:, slot], weights, params.penalty, params.fit)
            chosen = np.arange(part.count)
            if params.most is not None and params.most < part.count:
                chosen = np.sort(np.argsort(-np.abs(line.values), kind="stable")[: params.most])
                line = fit(present[:, chosen], numbers[:, slot], weights, params.penalty, params.fit)
            values[slot, chosen] = line.values
            explained[row], counts[row] = line.explained, float(part.count)
        maps[part.rows] = part.spread(torch.from_numpy(values).to(maps.device))
    poor = [f"{t.name} ({r:.2f})" for t, r in zip(call.targets, explained, strict=True) if r < POOR]
    note = f"Linear fit in {params.features}, off: {params.baseline}."
    if poor:
        note += f" The line fits badly, and says little, for: {', '.join(dict.fromkeys(poor))}."
    facts: MapFacts = {"features": counts, "samples": params.samples, "r_squared": explained, "baseline": params.baseline}
    return Attribution(maps, None, facts, note)
