"""Deep Taylor decomposition."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from microtome.methods.attribution import lrp_rules as rules
from microtome.methods.attribution.explain import Attribution, Call, ExplainParams, attribution
from microtome.methods.attribution.propagation import only_rectified, plan_of, propagated
from microtome.methods.contract import Cost

_TITLE = "Deep Taylor Decomposition"


class Params(ExplainParams):
    domain: Literal["box", "real"] = Field(
        "box", description="Where the first layer's root point is looked for: between black and white, or anywhere (the w-square rule)."
    )


@attribution(
    "deep-taylor",
    title=_TITLE,
    params=Params,
    cite="Montavon et al. 2017, doi:10.1016/j.patcog.2016.11.008, arXiv:1512.02479",
    quantity="{} per pixel",
    cost=Cost(passes=8.0),
    passes=lambda p: 8.0,
)
def deep_taylor(call: Call, params: Params) -> Attribution:
    """The target expanded at a root point layer by layer, which for layers behind a ReLU is the z+ rule; summed over colours.

    All of the number goes to pixels, none to biases: a positive target gives a map without negative values that adds up to it.
    Batch normalisation is merged into the layer before it, sums of branches are shared among their positive parts, and a maximum
    goes to its winner. For networks of ReLUs; others are refused.

    Formula:
        `R_i = sum over j of x_i w_ij+ / (sum over k of x_k w_kj+) * R_j` in layers behind a ReLU; in the first layer
        `(x_i w_ij - l_i w_ij+ - h_i w_ij-) / sum` between black `l` and white `h` (`box`), or `w_ij^2 / sum` (`real`).

    Known failures:
        Only positive evidence is traced, so that maps hardly differ between classes and stay nearly the same when upper layers are
        drawn at random (Sixt et al. 2020). The expansion supposes biases that are not positive; networks rarely have them, and then
        pixels get what is the bias's. A negative target gives a negative map: what speaks against it is not told apart.
    """
    plan = plan_of(call, _TITLE)
    only_rectified(plan, _TITLE)
    kind: rules.InputRule = "box" if params.domain == "box" else "w-square"
    relevance, completeness = propagated(call, _TITLE, plan, kind, lambda _, first: rules.one_rule(rules.positive, first))
    negative = [target.name for target, note in zip(call.targets, completeness, strict=True) if note["expected"] < 0]
    note = f"Domain of the pixels: {params.domain}."
    if negative:
        note += f" Negative here, so that all shares are negative: {', '.join(negative)}."
    return Attribution(relevance.sum(1).float(), completeness, {"domain": params.domain}, note)
