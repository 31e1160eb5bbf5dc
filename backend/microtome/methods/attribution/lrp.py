"""Layer-wise relevance propagation."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor

from microtome.core.errors import InvalidInput
from microtome.methods.attribution import lrp_rules as rules
from microtome.methods.attribution.explain import Attribution, Call, ExplainParams, attribution
from microtome.methods.attribution.layerwise import Answer, Plan
from microtome.methods.attribution.propagation import plan_of, propagated
from microtome.methods.contract import Cost

Rule = Literal["auto", "composite", "epsilon", "gamma", "z-plus", "alpha-beta"]
_TITLE = "LRP"
#: Presets that rest on inputs which a ReLU has made positive.
_RECTIFIED = ("composite", "z-plus", "alpha-beta")


class Params(ExplainParams):
    rule: Rule = Field("auto", description="Preset of rules; auto: composite, or gamma where there is attention or layer normalisation.")
    epsilon: float = Field(0.01, ge=0, le=10, description="What epsilon absorbs, in parts of the root mean square of a layer's values.")
    gamma: float = Field(0.25, ge=0, le=1000, description="By how much gamma favours terms that have the sign of the value.")
    alpha: float = Field(2.0, ge=1, le=10, description="Weight of positive terms in alpha-beta; beta is alpha - 1.")
    input_rule: Literal["auto", "same", "box", "w-square", "flat"] = Field(
        "auto", description="Rule of the layer that sees the image; auto: box for composite, and the rule of all layers for the others."
    )


def relevance_of(call: Call, params: Params) -> tuple[Tensor, list[dict[str, float]], str, str]:
    """Relevance float64 [B, 3, H, W], what it adds up to, the preset and the input rule that were taken.

    Raises:
        InvalidInput: the preset does not fit the network.
    """
    plan = plan_of(call, _TITLE)
    rule = params.rule if params.rule != "auto" else "gamma" if plan.transformer else "composite"
    if plan.transformer and rule in _RECTIFIED:
        has = " and ".join(sorted(plan.transformer))
        raise InvalidInput(
            f"The preset '{rule}' rests on values that a ReLU has made positive, and this network has {has}. "
            "Use epsilon or gamma, which follow AttnLRP here.",
            field="params.rule",
        )
    kind: rules.InputRule
    if params.input_rule == "auto":
        kind = "box" if rule == "composite" and plan.starts else "same"
    else:
        kind = params.input_rule

    def choose(plan: Plan, first: rules.FirstLayer) -> Answer:
        own = first if kind != "same" else None
        if rule == "composite":
            return rules.composite(plan, rules.gamma(params.gamma), rules.epsilon(params.epsilon), own)
        shares = {"epsilon": rules.epsilon(params.epsilon), "gamma": rules.gamma(params.gamma), "z-plus": rules.alpha_beta(1.0)}
        return rules.one_rule(shares.get(rule, rules.alpha_beta(params.alpha)), own)

    relevance, completeness = propagated(call, _TITLE, plan, kind, choose)
    return relevance, completeness, rule, kind


@attribution(
    "lrp",
    title="Layer-wise Relevance Propagation",
    params=Params,
    cite="Bach et al. 2015, doi:10.1371/journal.pone.0130140; Montavon et al. 2019, doi:10.1007/978-3-030-28954-6_10; "
    "Achtibat et al. 2024, arXiv:2402.05602",
    quantity="{} per pixel",
    cost=Cost(passes=12.0),
    passes=lambda p: 12.0,
)
def lrp(call: Call, params: Params) -> Attribution:
    """The target handed back layer by layer, each unit sharing what it has among its inputs by a rule; summed over colours.

    Presets: `composite` (input box rule, gamma below, epsilon above, plain proportion in linear layers), `epsilon`, `gamma`,
    `z-plus` and `alpha-beta`. Batch normalisation is merged into the layer before it, the sum of two branches is a layer with
    weights of one, an average is shared in proportion, and a maximum goes to its winner. In transformers the deviation of a layer
    normalisation counts as a constant, softmax is expanded at its input, products give half to each factor, and other functions
    of one value pass relevance on (AttnLRP). What biases, constants and epsilon absorb stands beside the sum as `absorbed`.

    Formula:
        `R_i = sum over j of (share of x_i w_ij in layer j's rule) * R_j`, with `z_j = sum_i x_i w_ij + b_j`:
        epsilon `x_i w_ij / (z_j + e rms(z) sign z_j)`; alpha-beta `a (x_i w_ij)+ / z_j+ - (a - 1) (x_i w_ij)- / z_j-`, and z-plus
        is `a = 1`; gamma `(x_i w_ij + g (x_i w_ij)+) / (z_j + g z_j+)`, with the negative parts where `z_j < 0`; box
        `(x_i w_ij - l_i w_ij+ - h_i w_ij-) / sum` between black `l` and white `h`; w-square `w_ij^2 / sum`; flat `1 / sum`.

    Known failures:
        Each preset gives another map, and none follows from the network's function alone. Biases and epsilon absorb much of the number
        in deep residual networks: with the 0.25 that Montavon et al. take for VGG-16 nearly all of it, hence the smaller default,
        and pixels may together get the opposite sign (`absorbed` says so). z-plus and alpha-beta maps hardly change with the class,
        nor with the weights of upper layers (Sixt et al. 2020). Plain proportion is noisy where branches of a residual sum cancel,
        and in transformers.
    """
    relevance, completeness, rule, kind = relevance_of(call, params)
    amounts = {"composite": ("epsilon", "gamma"), "epsilon": ("epsilon",), "gamma": ("gamma",), "alpha-beta": ("alpha",)}.get(rule, ())
    facts: dict[str, str | int | float | list[float] | list[str]] = {"rule": rule, "input rule": kind}
    facts |= {name: getattr(params, name) for name in amounts}
    facts["absorbed"] = [note["absorbed"] for note in completeness]
    note = f"Rule: {rule}; the layer that sees the image: {'the same' if kind == 'same' else kind}."
    return Attribution(relevance.sum(1).float(), completeness, facts, note)
