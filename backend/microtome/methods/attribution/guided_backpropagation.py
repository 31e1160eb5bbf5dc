"""Guided backpropagation."""

from __future__ import annotations

from microtome.methods.attribution.explain import Attribution, Call, attribution
from microtome.methods.attribution.gradient import over_colours
from microtome.methods.attribution.rectified import Params, guided, rectified_gradients
from microtome.methods.contract import Cost


@attribution(
    "guided-backpropagation",
    title="Guided Backpropagation",
    params=Params,
    cite="Springenberg et al. 2015, arXiv:1412.6806",
    quantity="{} per unit of input, guided",
    signed=lambda p: p.colours == "signed",
    cost=Cost(passes=3.0),
    passes=lambda p: 3.0,
)
def guided_backpropagation(call: Call, params: Params) -> Attribution:
    """Gradient that drops whatever is negative at every ReLU on its way back. For networks with ReLUs only.

    Formula:
        At each ReLU: `R_in = (x > 0) * (R_out > 0) * R_out`; else the gradient. Reduced over colours as in saliency.

    Known failures:
        It partly reconstructs the image: maps hardly change when the class or even the weights of late layers do (Adebayo et
        al. 2018, Nie et al. 2018). A crisp outline is no evidence, and the score on a wholly random network may still look good:
        run the model randomisation test, which goes layer by layer and shows how far down nothing changes.
    """
    gradient, count = rectified_gradients(call, guided, "Guided backpropagation")
    return Attribution(over_colours(gradient, params.colours), None, {"relus": count})
