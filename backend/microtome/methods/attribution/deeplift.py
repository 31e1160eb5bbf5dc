"""DeepLIFT."""

from __future__ import annotations

import torch
from pydantic import Field

from microtome.methods.attribution.baseline import Baseline, baseline_input
from microtome.methods.attribution.explain import BATCH, Attribution, Call, ExplainParams, attribution, portions
from microtome.methods.attribution.operations import Operations
from microtome.methods.attribution.rescale import RULES
from microtome.methods.attribution.target import numbers
from microtome.methods.contract import Cost


class Params(ExplainParams):
    baseline: Baseline = Field("black", description="Image that stands for 'nothing': black, white, the mean colour, blurred, or noise.")


@attribution(
    "deeplift",
    title="DeepLIFT",
    params=Params,
    cite="Shrikumar, Greenside, Kundaje 2017, arXiv:1704.02685",
    quantity="{} per pixel",
    cost=Cost(passes=8.0),
    passes=lambda p: 8.0,
)
def deeplift(call: Call, params: Params) -> Attribution:
    """Difference of the target between image and baseline, shared out by the rescale rule; summed over colours.

    Every nonlinear function is replaced by the line through its values at the two images, and multipliers are chained back
    as gradients are. The map adds up to the difference (summation to delta), up to rounding, for convolutional networks and, with
    products shared by their midpoints, for transformers too. One pass forward and back for image and baseline together.

    Formula:
        `m(x -> y) = (y - y0) / (x - x0)` at each nonlinearity (the derivative where x = x0), `m` of chains by the chain rule;
        `map_i = sum over colours c of (x_ic - b_ic) * m(x_ic -> f)`.
        Max-pooling: a window's difference goes to its winner in the image with the larger maximum. Products `u v`:
        `(u - u0) * (v + v0)/2 + (v - v0) * (u + u0)/2`, which takes softmax, attention and layer normalisation apart.

    Known failures:
        The map depends on the baseline. Rescale gives no share to inputs that cancel in one function (the paper's RevealCancel does).
        Two networks that compute the same function may get different maps: the rule follows the graph, not the function.
    """
    parts = []
    expected: list[float] = []
    for start, end in portions(len(call.targets), BATCH // 2):
        call.run.check()
        image = call.inputs[start:end]
        base = baseline_input(call.model, image, params.baseline, call.seed)
        targets = list(call.targets[start:end])
        with torch.enable_grad():
            both = torch.cat([image, base]).requires_grad_(True)
            with Operations(RULES):
                found = numbers(call.model, both, targets * 2)
            gradient = torch.autograd.grad(found[: end - start].sum(), both)[0]
        parts.append(((image - base).double() * gradient[: end - start].double()).sum(1))
        ends = found.detach().double()
        expected += (ends[: end - start] - ends[end - start :]).tolist()
    maps = torch.cat(parts)
    totals = maps.sum((1, 2)).tolist()
    completeness = [{"total": t, "expected": e, "gap": abs(t - e)} for t, e in zip(totals, expected, strict=True)]
    return Attribution(maps.float(), completeness, {"baseline": params.baseline}, f"Baseline: {params.baseline}.")
