"""Grad-CAM."""

from __future__ import annotations

import torch
from pydantic import Field

from microtome.core.context import RunContext
from microtome.core.errors import InvalidInput
from microtome.methods.attribution.common import image_map, prepare, resolve_targets
from microtome.methods.contract import Cost, MethodParams, method
from microtome.models.model import Model
from microtome.probes import Example
from microtome.results import ImageMap


class Params(MethodParams):
    layer: str | None = Field(
        None, max_length=200, description="Layer whose maps are weighted; the last spatial one if left out.",
        json_schema_extra={"format": "layer"},
    )  # fmt: skip
    relu: bool = Field(True, description="Keep only what speaks for the class, as published; off shows both signs.")


@method(
    "grad-cam",
    title="Grad-CAM",
    question="Where did the model look?",
    subjects=("model", "example"),
    optional_subjects=("targets",),
    returns=(ImageMap,),
    params=Params,
    interactive=True,
    cite="Selvaraju et al. 2017, arXiv:1610.02391",
    cost=Cost(passes=4.0),
)
def grad_cam(*, model: Model, example: Example, targets: list[int] | None = None, params: Params, run: RunContext):  # type: ignore[no-untyped-def]
    """Class-discriminative map: ReLU of the gradient-weighted sum of a layer's maps (equations 1 and 2).

    Each map's weight is the gradient of the class logit, averaged over sites. The sum is upsampled bilinearly, half-pixel
    centres, to the size of the input. Unit: logit per unit of activation, times activation.
    """
    layer = model.layer(params.layer) if params.layer else model.attribution_layer()
    if layer.height * layer.width < 2:
        raise InvalidInput(f"{layer.label} has one site only, so it has no map. Choose an earlier layer.", field="params.layer")
    inputs = prepare(model, example)
    chosen, _ = resolve_targets(model, inputs, targets)
    maps = []
    with torch.enable_grad(), model.record([layer], keep_graph=True) as recorded:
        logits = model.forward(inputs.requires_grad_(True))[0]
        output = recorded[layer.name]
        for number, target in enumerate(chosen):
            run.check()
            gradient = torch.autograd.grad(logits[target], output, retain_graph=True, allow_unused=True)[0]
            if gradient is None or not layer.canonical(gradient).any():
                raise InvalidInput(
                    f"No gradient of '{model.classes[target]}' reaches the sites of {layer.label}, so Grad-CAM says nothing there. "
                    "Choose an earlier layer.",
                    field="params.layer",
                )
            weights = layer.canonical(gradient).mean((2, 3), keepdim=True)
            combined = (weights * layer.canonical(output.detach())).sum(1, keepdim=True)
            combined = combined.relu() if params.relu else combined
            size = model.preprocess.size
            maps.append(torch.nn.functional.interpolate(combined, size, mode="bilinear", align_corners=False)[0, 0])
            run.progress(number + 1, len(chosen), "classes")
    return {
        "map": image_map(
            model, torch.stack(maps), chosen, logits.detach(), title=f"Grad-CAM at {layer.label}", quantity="weighted activation",
            signed=not params.relu,
        )
    }  # fmt: skip
