"""Ablation-CAM."""

from __future__ import annotations

import torch
from pydantic import Field

from microtome.methods.attribution.cam import CamParams, answer, cam_layer, kept, signed, strongest, without
from microtome.methods.attribution.explain import Attribution, Call, attribution
from microtome.methods.attribution.target import every_number
from microtome.methods.contract import Cost


class Params(CamParams):
    most: int | None = Field(None, ge=1, le=4096, description="At most so many maps, those that vary most; all if empty.")


@attribution(
    "ablation-cam",
    title="Ablation-CAM",
    params=Params,
    example_params=Params(most=6),
    cite="Desai, Ramaswamy 2020, doi:10.1109/WACV45572.2020.9093360",
    quantity="{}, times activation",
    signed=signed,
    cost=Cost(passes=64.0),
    passes=lambda p: 2.0 + 0.25 * (p.most or 256),
)
def ablation_cam(call: Call, params: Params) -> Attribution:
    """A layer's maps, each weighted by what the target loses when the map is switched off; no gradients.

    Only what follows the layer runs again for every map, and the targets of one image share the passes. The published weight is
    divided by the target itself, one factor for the whole map; it is left out, so that a negative target does not turn the map over.

    Formula:
        `w_k = f - f(A^k = 0)`; `map = ReLU(sum over k of w_k A^k)`.

    Known failures:
        Maps that stand in for each other get no weight, since neither is missed alone. Zero may be a value the layer never has: then
        the weight tells what the unusual does. As coarse as the layer.
    """
    layer = cam_layer(call, params)
    heat = torch.zeros(len(call.targets), layer.height, layer.width, dtype=torch.float64, device=call.inputs.device)
    looked = 0
    for rows in call.groups():
        call.run.check()
        targets = [call.targets[r] for r in rows]
        with torch.inference_mode(), call.model.record([layer]) as recorded:
            whole = every_number(call.model, call.inputs[rows[:1]], targets)
        maps = layer.canonical(recorded[layer.name])
        units = strongest(maps[0], params, params.most)
        looked = len(units)
        own = kept(params, maps)[0].double()
        for part, values in without(call, layer, rows[0], units):
            heat[rows] += torch.einsum("kr,khw->rhw", (whole - values).double(), own[part])
    return answer(call, params, layer, heat, {"maps": looked})
