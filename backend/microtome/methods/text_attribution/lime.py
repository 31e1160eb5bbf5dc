"""LIME of tokens."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field

from microtome.core.errors import InvalidInput
from microtome.methods.attribution.lime import POOR, fit, kernel, samples
from microtome.methods.contract import Cost
from microtome.methods.text_attribution.call import Call, number, readings
from microtome.methods.text_attribution.explain import Attribution, MapFacts, text_attribution
from microtome.methods.text_attribution.fills import fill_of
from microtome.methods.text_attribution.occlusion import FillParams


class Params(FillParams):
    samples: int = Field(1000, ge=8, le=20000, description="Texts with random tokens on, each with chance one half; the text is one.")
    distance: Literal["cosine", "share"] = Field(
        "cosine", description="How far a sample is from the text: cosine distance as published, or the share of tokens that are off."
    )
    width: float = Field(0.25, gt=0, le=100, description="Width of the exponential kernel over distances.")
    fit: Literal["ridge", "lasso"] = Field("ridge", description="Penalty of the linear fit: squares, or magnitudes.")
    penalty: float = Field(1.0, ge=0, le=1e6, description="Its strength; ridge as published is 1. Lasso sees weights that average 1.")


@text_attribution(
    "text-lime",
    title="LIME of words",
    params=Params,
    example_params=Params(samples=32),
    cite="Ribeiro, Singh, Guestrin 2016, arXiv:1602.04938",
    quantity="{} per token",
    cost=Cost(passes=1.0, times="samples"),
    passes=lambda p: float(p.samples),
)
def text_lime(call: Call, params: Params) -> Attribution:
    """Coefficients of a linear model of the tokens, fitted to the target around the text.

    `r_squared` is the weighted share of the target's variance over the samples that the line explains; below 0.5 the note warns, since a
    line that fits badly explains nothing.

    Formula:
        `min over b, c of sum over z of w(z) (f(z) - c - b . z)^2 + penalty(b)`, `w(z) = exp(-d(1, z)^2 / (2 width^2))`, `d` the cosine
        distance; `map = b`.

    Known failures:
        Coefficients depend on the kernel's width, for which there is no rule, and on the seed; they do not add up to the target. Where
        words act together the line fits badly however many samples there are. Half of a text is no text.

    Raises:
        InvalidInput: a kernel so narrow that no sample weighs anything; the model has no such token to fill with; as of
            :func:`microtome.methods.text_attribution.target.asked`.
    """
    fill = fill_of(call.model, params.fill)
    present = samples(call.count, params.samples, params.seed)
    weights = kernel(present, params.distance, params.width)
    if float(weights.sum()) < 2:  # the text itself weighs 1
        raise InvalidInput(f"With a kernel of width {params.width} all samples but the text weigh nothing.", field="params.width")
    line = fit(present, readings(call, present, fill, number(call), "texts")[:, 0], weights, params.penalty, params.fit)
    note = f"Linear fit; off: {fill.name}."
    if line.explained < POOR:
        note += f" The line explains {line.explained:.2f} of the variance: it fits badly, and says little."
    facts: MapFacts = {"fill": fill.name, "samples": params.samples, "r_squared": line.explained}
    return Attribution(torch.from_numpy(line.values), None, facts, note)
