"""Input x gradient."""

from __future__ import annotations

from microtome.methods.attribution.explain import Attribution, Call, ExplainParams, attribution
from microtome.methods.attribution.gradient import input_gradients
from microtome.methods.attribution.integrated_gradients import outputs
from microtome.methods.contract import Cost


@attribution(
    "input-x-gradient",
    title="Input x Gradient",
    params=ExplainParams,
    cite="Shrikumar, Greenside, Kundaje 2016, arXiv:1605.01713",
    quantity="{} per pixel",
    cost=Cost(passes=4.0),
    passes=lambda p: 4.0,
)
def input_x_gradient(call: Call, params: ExplainParams) -> Attribution:
    """Gradient of the target times the input, summed over colours: the share of each pixel if the model were linear.

    The input counts from the mean colour of the model's normalisation, which therefore stands for 'nothing'. What the map adds up
    to is reported beside the target itself; they agree only for a network without bias terms whose parts are linear or ReLU.

    Formula:
        `map_i = sum over colours c of x_ic * df / dx_ic`.

    Known failures:
        A pixel of the mean colour gets nothing, whatever it means. Bias terms take part of the target that no pixel gets (FullGrad
        shows them). As noisy as the gradient.
    """
    maps = (input_gradients(call) * call.inputs).sum(1)
    found = outputs(call, call.inputs).tolist()
    totals = maps.double().sum((1, 2)).tolist()
    completeness = [{"total": t, "expected": e, "gap": abs(t - e)} for t, e in zip(totals, found, strict=True)]
    return Attribution(maps, completeness, {"baseline": "mean"})
