"""Saliency."""

from __future__ import annotations

from pydantic import Field

from microtome.methods.attribution.explain import Attribution, Call, ExplainParams, attribution
from microtome.methods.attribution.gradient import Colours, input_gradients, over_colours
from microtome.methods.contract import Cost


class Params(ExplainParams):
    colours: Colours = Field("max", description="How the three colours of a pixel become one number: by magnitude, or signed.")


def signed(params: Params) -> bool:
    return params.colours == "signed"


@attribution(
    "saliency",
    title="Saliency",
    params=Params,
    cite="Simonyan, Vedaldi, Zisserman 2013, arXiv:1312.6034",
    quantity="{} per unit of input",
    signed=signed,
    cost=Cost(passes=3.0),
    passes=lambda p: 3.0,
)
def saliency(call: Call, params: Params) -> Attribution:
    """Gradient of the target at the image: how much it would change if a pixel changed a little.

    Section 3 of the paper. The input is in deviations of the model's own normalisation.

    Formula:
        `map_i = max over colours c of |df / dx_ic|`; or their sum, norm, or signed sum.

    Known failures:
        It says where the target is sensitive, not what it is due to: a saturated feature has no gradient. The gradient of a deep
        network changes from one pixel to the next (shattered gradients), so the map is noisy; SmoothGrad averages it.
    """
    return Attribution(over_colours(input_gradients(call), params.colours))
