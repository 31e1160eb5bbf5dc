"""Eigen-CAM."""

from __future__ import annotations

import torch
from pydantic import Field

from microtome.core.errors import InvalidInput
from microtome.methods.attribution.cam import CamParams, answer, cam_layer, kept
from microtome.methods.attribution.explain import Attribution, Call, attribution
from microtome.methods.contract import Cost


class Params(CamParams):
    component: int = Field(1, ge=1, le=512, description="Which principal component, counted from the largest.")
    relu: bool = Field(False, description="Keep only the positive side of the component.")


@attribution(
    "eigen-cam",
    title="Eigen-CAM",
    params=Params,
    cite="Muhammad, Yeasin 2020, arXiv:2008.00299",
    quantity="activation along the component",
    signed=lambda p: not p.relu,
    cost=Cost(passes=1.0),
    passes=lambda p: 1.0,
)
def eigen_cam(call: Call, params: Params) -> Attribution:
    """The layer's maps along one of their own principal components: what stands out in the layer, for no class in particular.

    Not centred, as published. A component has no sign of its own; it is turned so that its values add up to something positive.
    How much of the layer's energy the component holds is told with the map.

    Formula:
        `A = U S V^T`, sites x units; `map = A v_n`, the n-th right singular vector.

    Known failures:
        **It does not depend on the target**: the maps of all classes are the same, and no weight behind the layer plays a part. It can
        look right for a class that the model never considered; the evidence beside it is the only link to the target.
    """
    layer = cam_layer(call, params)
    most = min(layer.height * layer.width, layer.units if params.units is None else len(set(params.units)))
    if params.component > most:
        raise InvalidInput(f"{layer.label} has {most} components here; there is no component {params.component}.", field="params.component")
    heat = torch.zeros(len(call.targets), layer.height, layer.width, dtype=torch.float64, device=call.inputs.device)
    share = [0.0] * len(call.targets)
    for rows in call.groups():
        call.run.check()
        with torch.inference_mode(), call.model.record([layer]) as recorded:
            call.model.forward(call.inputs[rows[:1]])
        sites = kept(params, layer.canonical(recorded[layer.name]))[0].double().flatten(1).T
        _, values, right = torch.linalg.svd(sites, full_matrices=False)
        found = sites @ right[params.component - 1]
        found = -found if found.sum() < 0 else found
        energy = values.square()
        for row in rows:
            heat[row] = found.view(layer.height, layer.width)
            share[row] = float(energy[params.component - 1] / energy.sum().clamp(min=1e-300))
    return answer(call, params, layer, heat, {"component": params.component, "energy": share, "depends_on_target": "no"})
