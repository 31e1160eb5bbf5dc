"""PatternNet and PatternAttribution."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from microtome.methods.attribution.explain import BATCH, Attribution, Call, ExplainParams, attribution, portions
from microtome.methods.attribution.layerwise import Layerwise, Weighted
from microtome.methods.attribution.operations import Operations
from microtome.methods.attribution.patterns import Estimator, Patterns, channel_axis, pattern_rules, patterns_of
from microtome.methods.attribution.propagation import only_rectified, plan_of
from microtome.methods.attribution.target import numbers
from microtome.methods.contract import Cost

_TITLE = "PatternAttribution"


class Params(ExplainParams):
    shows: Literal["attribution", "signal"] = Field(
        "attribution", description="attribution: what the signal of each pixel contributes; signal: the signal itself (PatternNet)."
    )
    images: int = Field(32, ge=8, le=256, description="Other images of the set over which patterns are estimated.")
    estimator: Estimator = Field(
        "two-component", description="two-component: patterns of active units apart, for layers behind which is a ReLU; linear: all alike."
    )


def carried(layer: Weighted, value: Tensor, patterns: Patterns, *, weighted: bool) -> Tensor:
    """What goes back through a layer: along its patterns, times its weights if ``weighted``."""
    pattern = patterns.of[layer.place].to(value)
    if layer.weight is not None:
        return layer.times(layer.inputs[0], layer.weight * pattern if weighted else pattern)
    shape = [1] * value.ndim
    shape[channel_axis(layer, value)] = -1
    one, other = layer.inputs
    return one * pattern[0].view(shape) + other * pattern[1].view(shape)


@attribution(
    "pattern-attribution",
    title=_TITLE,
    params=Params,
    example_params=Params(images=8),
    cite="Kindermans et al. 2018, arXiv:1705.05598",
    quantity="{} per pixel",
    cost=Cost(passes=8.0, times="images"),
    passes=lambda p: 6.0,
)
def pattern_attribution(call: Call, params: Params) -> Attribution:
    """The target handed back along patterns, how each unit's inputs move with it over images, instead of along its weights.

    Weights also cancel what disturbs a unit; patterns leave that out. They are estimated once per model over other images of the
    example's set (about eight passes per image, kept for later maps), so the map depends on that set. For networks of ReLUs; batch
    normalisation is merged into the layer before it. Beyond the paper, a sum of two branches is a layer of its own, with
    a pattern that says how much of the sum each branch carries. Summed over colours.

    Formula:
        Backward pass of `f` with `w * a` (attribution) or `a` (signal) in place of each layer's weights `w`, started with the value
        of `f`. `a = (E[x y] - E[x] E[y]) / (w (E[x y] - E[x] E[y]))`, for layers behind which is a ReLU with `E[x y]` and the first
        `E[x]` over the images and sites at which the unit is active (two-component estimator); `y = w x` without bias.

    Known failures:
        A unit that was (nearly) never active over the images has no pattern; its weights' direction stands in, and how often
        is said. Few or unlike images give patterns of themselves. At borders, and where several units share an input, the map does
        not add up to the target. An upload belongs to no set of images and is refused.
    """
    plan = plan_of(call, _TITLE)
    only_rectified(plan, _TITLE)
    patterns = patterns_of(call, params.images, plan, params.estimator, _TITLE)
    weighted = params.shows == "attribution"
    parts = []
    for start, end in portions(len(call.targets), BATCH):
        call.run.check()
        with torch.enable_grad():
            leaf = call.inputs[start:end].detach().clone().requires_grad_(True)
            walk = Layerwise(leaf, _TITLE, lambda layer, value: carried(layer, value, patterns, weighted=weighted), None, plan)
            with Operations(pattern_rules(walk)):
                found = numbers(call.model, leaf, list(call.targets[start:end]))
            parts.append(torch.autograd.grad(found, leaf, found.detach())[0])
    seen = f"{patterns.images} other images of the set"
    facts: dict[str, str | int] = {
        "shows": params.shows, "images": seen, "estimator": params.estimator, "units": patterns.units,
        "units without pattern": patterns.without,
    }  # fmt: skip
    note = f"Patterns of {patterns.units} units, estimated over {seen}"
    note += f"; {patterns.without} of them hardly varied there and have the direction of their weights." if patterns.without else "."
    return Attribution(torch.cat(parts).sum(1), None, facts, note)
