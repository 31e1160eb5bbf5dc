"""DeconvNet."""

from __future__ import annotations

from microtome.methods.attribution.explain import Attribution, Call, attribution
from microtome.methods.attribution.gradient import over_colours
from microtome.methods.attribution.rectified import Params, deconvolved, rectified_gradients
from microtome.methods.contract import Cost


@attribution(
    "deconvnet",
    title="DeconvNet",
    params=Params,
    cite="Zeiler, Fergus 2014, arXiv:1311.2901",
    quantity="{} per unit of input, deconvolved",
    signed=lambda p: p.colours == "signed",
    cost=Cost(passes=3.0),
    passes=lambda p: 3.0,
)
def deconvnet(call: Call, params: Params) -> Attribution:
    """What a deconvolutional network projects back to the image: a gradient that is rectified itself where the network was.

    For networks with ReLUs only. Max-pooling goes back through its switches, convolutions through their transposes.

    Formula:
        At each ReLU: `R_in = (R_out > 0) * R_out`, whatever the input was; else the gradient. Reduced over colours as in saliency.

    Known failures:
        As guided backpropagation; and since the input of a ReLU plays no part, the map depends on the image only through the
        switches of max-pooling. A network without max-pooling gets nearly the same map for every image.
    """
    gradient, count = rectified_gradients(call, deconvolved, "DeconvNet")
    return Attribution(over_colours(gradient, params.colours), None, {"relus": count})
