"""Layer-CAM."""

from __future__ import annotations

from microtome.methods.attribution.cam import CamParams, signed, weighted
from microtome.methods.attribution.explain import Attribution, Call, attribution
from microtome.methods.contract import Cost


@attribution(
    "layer-cam",
    title="Layer-CAM",
    params=CamParams,
    cite="Jiang et al. 2021, doi:10.1109/TIP.2021.3089943",
    quantity="{}, per site of the layer",
    signed=signed,
    cost=Cost(passes=1.5),
    passes=lambda p: 1.5,
)
def layer_cam(call: Call, params: CamParams) -> Attribution:
    """Every site of every map in its own weight, the positive part of the gradient there: for early layers as well as late ones.

    Formula:
        `map = ReLU(sum over k of ReLU(df/dA^k_ij) * A^k_ij)`, site by site.

    Known failures:
        What speaks against the target is dropped before the sum, so a map is never empty, however wrong the class. In early
        layers the gradient's noise is in the map.
    """
    return weighted(call, params, lambda maps: maps.gradient.relu())
