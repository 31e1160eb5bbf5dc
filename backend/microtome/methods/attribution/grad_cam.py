"""Grad-CAM."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import Field

from microtome.core.context import RunContext
from microtome.core.errors import InvalidInput, MicrotomeError
from microtome.methods.attribution.common import choose_targets, image_map
from microtome.methods.contract import Ask, Cost, MethodParams, Results, alone, method
from microtome.models.layers import Layer
from microtome.models.model import Model
from microtome.probes import Example
from microtome.results import ImageMap


class Params(MethodParams):
    layer: str | None = Field(
        None, max_length=200, description="Layer whose maps are weighted; the last spatial one if left out.",
        json_schema_extra={"format": "layer"},
    )  # fmt: skip
    relu: bool = Field(True, description="Keep only what speaks for the class, as published; off shows both signs.")


def _grad_cam_together(*, model: Model, params: Params, asks: Sequence[Ask]) -> list[Results | MicrotomeError]:
    """One forward pass for all; then a backward pass for the first class of every ask, one for the second, and so on.

    The gradient of a sum over examples is, example by example, that of its own logit: examples of a batch do not mix.
    """
    layer = model.layer(params.layer) if params.layer else model.attribution_layer()
    if layer.height * layer.width < 2:
        raise InvalidInput(f"{layer.label} has one site only, so it has no map. Choose an earlier layer.", field="params.layer")
    inputs = model.inputs([ask.subjects["example"].image for ask in asks])
    errors: dict[int, MicrotomeError] = {}
    chosen: list[list[int]] = []
    maps: list[list[torch.Tensor]] = [[] for _ in asks]
    with torch.enable_grad(), model.record([layer], keep_graph=True) as recorded:
        logits = model.forward(inputs.requires_grad_(True))
        output = recorded[layer.name]
        for place, ask in enumerate(asks):
            chosen.append([])
            try:
                chosen[place] = choose_targets(model, logits[place].detach(), ask.subjects["targets"])
            except InvalidInput as error:
                errors[place] = error
        for number in range(max(map(len, chosen))):
            for place, ask in enumerate(asks):
                try:
                    ask.run.progress(min(number, len(chosen[place])), len(chosen[place]), "classes")
                    ask.run.check()
                except MicrotomeError as error:  # cancelled, or out of time: that is no reason to stop the others
                    errors.setdefault(place, error)
            places = [i for i, targets in enumerate(chosen) if number < len(targets) and i not in errors]
            if not places:
                break
            picked = logits[places, [chosen[i][number] for i in places]].sum()
            gradient = torch.autograd.grad(picked, output, retain_graph=True, allow_unused=True)[0]
            for place in places:
                found = _one_map(model, layer, output.detach()[place, None], None if gradient is None else gradient[place, None], params)
                if found is None:
                    errors[place] = InvalidInput(
                        f"No gradient of '{model.classes[chosen[place][number]]}' reaches the sites of {layer.label}, so Grad-CAM "
                        "says nothing there. Choose an earlier layer.",
                        field="params.layer",
                    )
                else:
                    maps[place].append(found)
    return [
        errors.get(place) or _answer(model, layer, torch.stack(maps[place]), chosen[place], logits[place].detach(), params)
        for place in range(len(asks))
    ]


def _one_map(model: Model, layer: Layer, output: torch.Tensor, gradient: torch.Tensor | None, params: Params) -> torch.Tensor | None:
    """[H, W] at the size of the input, None if no gradient arrives; ``output`` and ``gradient`` are raw, of one example."""
    if gradient is None or not layer.canonical(gradient).any():
        return None
    weights = layer.canonical(gradient).mean((2, 3), keepdim=True)
    combined = (weights * layer.canonical(output)).sum(1, keepdim=True)
    combined = combined.relu() if params.relu else combined
    size = model.preprocess.size
    return torch.nn.functional.interpolate(combined, size, mode="bilinear", align_corners=False)[0, 0]


def _answer(
    model: Model, layer: Layer, maps: torch.Tensor, targets: list[int], logits: torch.Tensor, params: Params
) -> Results | MicrotomeError:
    try:
        return {
            "map": image_map(
                model, maps, targets, logits, title=f"Grad-CAM at {layer.label}", quantity="weighted activation", signed=not params.relu
            )
        }
    except InvalidInput as error:
        return error


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
    cost=Cost(passes=3.0),
    batch=_grad_cam_together,
)
def grad_cam(*, model: Model, example: Example, targets: list[int] | None = None, params: Params, run: RunContext):  # type: ignore[no-untyped-def]
    """Class-discriminative map: ReLU of the gradient-weighted sum of a layer's maps (equations 1 and 2).

    Each map's weight is the gradient of the class logit, averaged over sites. The sum is upsampled bilinearly, half-pixel
    centres, to the size of the input. Unit: logit per unit of activation, times activation.
    """
    return alone(_grad_cam_together, model=model, params=params, run=run, example=example, targets=targets)
