"""Integrated gradients over embeddings."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from microtome.methods.attribution.integrated_gradients import Quadrature, path_rule
from microtome.methods.contract import Cost
from microtome.methods.text_attribution.call import Call, gradient_sum, outputs
from microtome.methods.text_attribution.explain import Attribution, completed, text_attribution
from microtome.methods.text_attribution.fills import DEFAULT, Vector, fill_of
from microtome.methods.text_attribution.target import TextExplainParams

#: The steps double until the gap is at most one per cent of the difference explained, or a thousandth of a logit.
_RELATIVE, _ABSOLUTE = 0.01, 1e-3


class Params(TextExplainParams):
    baseline: Vector = Field("default", description=f"Embedding that stands in the place of every token where the path begins; {DEFAULT}.")
    quadrature: Quadrature = Field("gausslegendre", description="Rule of the path integral.")
    steps: int = Field(32, ge=2, le=1024, description="Steps to begin with; doubled until the map adds up.")
    max_steps: int = Field(256, ge=2, le=2048, description="Where doubling stops.")


def baseline_of(call: Call, vector: Tensor) -> Tensor:
    """[T, D]: the text with ``vector`` [D] (or [n, D]) in the place of every token that is explained."""
    base = call.vectors.clone()
    base[call.places] = vector
    return base


@text_attribution(
    "text-integrated-gradients",
    title="Integrated Gradients of the words",
    params=Params,
    example_params=Params(steps=4, max_steps=8),
    cite="Sundararajan, Taly, Yan 2017, arXiv:1703.01365",
    quantity="{} per token",
    cost=Cost(passes=3.0, times="steps"),
    passes=lambda p: 3.0 * p.steps,
)
def text_integrated_gradients(call: Call, params: Params) -> Attribution:
    """Gradient of the target, integrated from a text of baseline tokens to the text, times the difference of their embeddings.

    Completeness: the map adds up to the target's difference between the text and the baseline, in which special tokens (and the mask that
    is asked about) stay. The steps double, up to a cap, until the gap is at most one per cent of it or 1e-3; what is left is reported.

    Formula:
        `map_i = sum over coordinates of (x_i - b) * integral over a in [0, 1] of df(b + a (x - b)) / dx_i`, by Gauss-Legendre or the
        midpoint rule.

    Known failures:
        The map depends on the baseline: a token that equals it gets nothing. Points on the way are texts of nothing, and the gradient
        there may be wild; then the steps reach their cap before the map adds up, and the gap says so.

    Raises:
        InvalidInput: the model has no token for the baseline; as of :func:`microtome.methods.text_attribution.target.asked`.
    """
    fill = fill_of(call.model, params.baseline, "params.baseline")
    assert fill.vector is not None
    base = baseline_of(call, fill.vector)
    difference = call.vectors - base
    end, start = outputs(call, torch.stack([call.vectors, base])).tolist()
    steps = params.steps
    while True:
        positions, weights = (torch.tensor(v, device=base.device) for v in path_rule(params.quadrature, steps))
        at = positions.float().view(-1, 1, 1)

        def points(which: Tensor, at: Tensor = at) -> Tensor:
            return base + at[which] * difference

        total = gradient_sum(call, steps, points, weights=weights) * difference.double()
        values = total[call.places].sum(-1)
        completeness = completed(values, end - start, steps=float(steps))
        steps *= 2
        if completeness["gap"] <= max(_RELATIVE * abs(end - start), _ABSOLUTE) or steps > params.max_steps:
            return Attribution(values, completeness, {"baseline": fill.name}, f"Baseline: {fill.name}.")
