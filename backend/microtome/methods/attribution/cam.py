"""What all class activation maps share: a layer's maps, the gradient that arrives there, the weighted sum, the size of the input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from microtome.core.errors import InvalidInput
from microtome.methods.attribution.explain import BATCH, Attribution, Call, ExplainParams, portions
from microtome.methods.attribution.target import every_number, numbers
from microtome.models.layers import Layer


class CamParams(ExplainParams):
    layer: str | None = Field(
        None, max_length=200, description="Layer whose maps are weighted; the last spatial one if left out.",
        json_schema_extra={"format": "layer"},
    )  # fmt: skip
    units: list[int] | None = Field(None, min_length=1, max_length=4096, description="Only these maps of the layer; all if empty.")
    sites: list[tuple[int, int]] | None = Field(
        None,
        min_length=1,
        max_length=4096,
        description="Only these neurons of the maps, as [row, column] of the grid; all if empty.",
    )
    relu: bool = Field(True, description="Keep only what speaks for the target, as published; off shows both signs.")


def signed(params: Any) -> bool:
    return not params.relu


@dataclass(frozen=True, slots=True)
class Maps:
    """What arrives at a layer: the maps and the targets' gradients there, both float32 [B, units, h, w]."""

    activation: Tensor
    gradient: Tensor


def cam_layer(call: Call, params: CamParams) -> Layer:
    """The layer of the parameters.

    Raises:
        InvalidInput, NotFound: it has no map, or not the units and sites that are asked for.
    """
    layer = call.model.layer(params.layer) if params.layer else call.model.attribution_layer()
    if layer.height * layer.width < 2:
        raise InvalidInput(f"{layer.label} has one site only, so it has no map. Choose an earlier layer.", field="params.layer")
    for unit in params.units or []:
        if not 0 <= unit < layer.units:
            raise InvalidInput(f"{layer.label} has {layer.units} units, 0 to {layer.units - 1}; there is no {unit}.", field="params.units")
    for y, x in params.sites or []:
        if not (0 <= y < layer.height and 0 <= x < layer.width):
            raise InvalidInput(f"{layer.label} has {layer.height} x {layer.width} sites; none is at {[y, x]}.", field="params.sites")
    return layer


def layer_maps(call: Call, layer: Layer, inputs: Tensor, rows: list[int], pick: Callable[[Tensor], Tensor] | None = None) -> Maps:
    """Maps and gradients of rows of a call at ``inputs`` [n, 3, H, W]; one forward pass, and a backward pass as far as the layer.

    Rows that explain one image go forward once and backward once each.

    Args:
        pick: what is differentiated, of the targets' numbers [n]; the numbers themselves if None.

    Raises:
        InvalidInput: no gradient reaches the sites of the layer.
    """
    leaf: list[Tensor] = []

    def cut(output: Tensor) -> Tensor:
        # Nothing before the layer keeps a graph; the copy may be written into by operations in place.
        leaf.append(output.detach().requires_grad_(True))
        return leaf[-1].clone()

    shared = len(rows) > 1 and inputs.stride(0) == 0
    targets = [call.targets[r] for r in rows]
    with torch.enable_grad(), call.model.changed(layer, cut):
        if shared:
            found = every_number(call.model, inputs[:1], targets)[0]
        else:
            found = numbers(call.model, inputs, targets)
        total = pick(found) if pick else found
    (output,) = leaf
    if shared:
        gradients = [
            torch.autograd.grad(total[i], output, retain_graph=i + 1 < len(rows), allow_unused=True)[0] if total.requires_grad else None
            for i in range(len(rows))
        ]
    else:
        both = torch.autograd.grad(total.sum(), output, allow_unused=True)[0] if total.requires_grad else None
        gradients = [None] * len(rows) if both is None else list(both[:, None])
    for target, gradient in zip(targets, gradients, strict=True):
        if gradient is None or not layer.canonical(gradient).any():
            raise InvalidInput(
                f"No gradient of '{target.name}' reaches the sites of {layer.label}, so this method says nothing there. "
                "Choose an earlier layer.",
                field="params.layer",
            )
    activation = layer.canonical(output.detach()).expand(len(rows), -1, -1, -1)
    return Maps(activation, layer.canonical(torch.cat([g for g in gradients if g is not None])))


def shown(call: Call, params: CamParams, layer: Layer, heat: Tensor) -> Tensor:
    """[B, H, W] at the size of the input of heat [B, h, w]: bilinear, half-pixel centres, after the ReLU."""
    heat = heat.relu() if params.relu else heat
    size = call.model.preprocess.size
    return torch.nn.functional.interpolate(heat[:, None].float(), size, mode="bilinear", align_corners=False)[:, 0]


def kept(params: CamParams, maps: Tensor) -> Tensor:
    """Maps [B, units, h, w] with what was not asked for set to zero, on the units and sites of the parameters."""
    if params.units is None and params.sites is None:
        return maps
    mask = torch.zeros(maps.shape[1:], dtype=torch.bool, device=maps.device)
    units = range(maps.shape[1]) if params.units is None else params.units
    if params.sites is None:
        mask[list(units)] = True
    else:
        for unit in units:
            for y, x in params.sites:
                mask[unit, y, x] = True
    return maps * mask


def weighted(call: Call, params: CamParams, weigh: Callable[[Maps], Tensor], facts: dict[str, Any] | None = None) -> Attribution:
    """The map of every row: sum over units of weight x activation.

    Args:
        weigh: from the maps of a batch, weights [B, units, 1, 1] or [B, units, h, w].
    """
    layer = cam_layer(call, params)
    heat = []
    for start, end in portions(len(call.targets), BATCH):
        call.run.check()
        found = layer_maps(call, layer, call.inputs[start:end], list(range(start, end)))
        heat.append((weigh(found) * kept(params, found.activation)).sum(1))
    return answer(call, params, layer, torch.cat(heat), facts)


def answer(call: Call, params: CamParams, layer: Layer, heat: Tensor, facts: dict[str, Any] | None = None) -> Attribution:
    """The attribution of heat [B, h, w] at a layer."""
    about: dict[str, Any] = {"layer": layer.label, **(facts or {})}
    note = f"At {layer.label}, {layer.height} x {layer.width} sites, enlarged to the size of the input."
    if params.units is not None:
        note += f" Only {len(set(params.units))} of {layer.units} maps."
    if params.sites is not None:
        note += f" Only {len(set(params.sites))} of {layer.height * layer.width} neurons of a map."
    return Attribution(shown(call, params, layer, heat), None, about, note)
