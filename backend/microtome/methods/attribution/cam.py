"""What all class activation maps share: a layer's maps, the gradient that arrives there, the weighted sum, the size of the input."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from microtome.core.errors import InvalidInput
from microtome.methods.attribution.explain import BATCH, FORWARD_BATCH, Attribution, Call, ExplainParams, portions
from microtome.methods.attribution.target import every_number, numbers, recording
from microtome.models.layers import Layer
from microtome.models.replay import Replay


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
    """What arrives at a layer: the maps and the targets' gradients there, both float32 [B, units, h, w]; the targets' numbers [B]."""

    activation: Tensor
    gradient: Tensor
    numbers: Tensor


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


def layer_maps(call: Call, layer: Layer, inputs: Tensor, rows: list[int], *, scale: float = 1.0) -> Maps:
    """Maps and gradients of rows of a call at ``inputs`` [n, 3, H, W]; one forward pass, and a backward pass as far as the layer.

    Rows that explain one image go forward once and backward once each.

    Args:
        scale: the maps are multiplied by it before the rest of the network runs.

    Raises:
        InvalidInput: no gradient reaches the sites of the layer.
    """
    leaf: list[Tensor] = []

    def cut(output: Tensor) -> Tensor:
        # Nothing before the layer keeps a graph; the copy may be written into by operations in place.
        leaf.append((output.detach() * scale).requires_grad_(True))
        return leaf[-1].clone()

    shared = len(rows) > 1 and inputs.stride(0) == 0
    targets = [call.targets[r] for r in rows]
    with torch.enable_grad(), call.model.changed(layer, cut):
        if shared:
            found = every_number(call.model, inputs[:1], targets)[0]
        else:
            found = numbers(call.model, inputs, targets)
    (output,) = leaf
    if shared:
        gradients = [
            torch.autograd.grad(found[i], output, retain_graph=i + 1 < len(rows), allow_unused=True)[0] if found.requires_grad else None
            for i in range(len(rows))
        ]
    else:
        both = torch.autograd.grad(found.sum(), output, allow_unused=True)[0] if found.requires_grad else None
        gradients = [None] * len(rows) if both is None else list(both[:, None])
    for target, gradient in zip(targets, gradients, strict=True):
        if gradient is None or not layer.canonical(gradient).any():
            raise InvalidInput(
                f"No gradient of '{target.name}' reaches the sites of {layer.label}, so this method says nothing there. "
                "Choose an earlier layer.",
                field="params.layer",
            )
    activation = layer.canonical(output.detach()).expand(len(rows), -1, -1, -1)
    gradient = layer.canonical(torch.cat([g for g in gradients if g is not None]))
    return Maps(activation, gradient, found.detach().double())


def without(call: Call, layer: Layer, row: int, units: list[int]) -> Iterator[tuple[list[int], Tensor]]:
    """The targets of the rows that share an image, each of some units set to zero at every site in turn.

    Only what follows the layer runs again. ``row`` is a row of the image.

    Yields:
        (units of a batch, float32 [units, rows of the image]).
    """
    rows = next(group for group in call.groups() if row in group)
    targets = [call.targets[r] for r in rows]
    size = min(FORWARD_BATCH, len(units))
    replay = Replay(call.model, layer, call.inputs[row].expand(size, -1, -1, -1))
    axis = layer.unit_axis
    for start, end in portions(len(units), size):
        call.run.check()
        call.run.progress(start, len(units), "units")
        part = units[start:end]

        def switch_off(output: Tensor, part: list[int] = part) -> Tensor:
            changed = output.clone()
            for place, unit in enumerate(part):
                changed[place].select(axis - 1 if axis > 0 else -1, unit).zero_()
            return changed

        with recording(call.model, targets) as recorded, call.model.changed(layer, switch_off):
            logits = replay.run()
            yield part, torch.stack([t.number(logits, recorded) for t in targets], 1)[: len(part)]


def strongest(activation: Tensor, params: CamParams, most: int | None) -> list[int]:
    """The units to look at, of maps [units, h, w]: those asked for, at most ``most``, which vary most over the sites."""
    units = sorted(set(params.units)) if params.units is not None else list(range(len(activation)))
    if most is None or len(units) <= most:
        return units
    spread = activation[units].double().flatten(1).std(1)
    return sorted(units[int(i)] for i in spread.argsort(descending=True, stable=True)[:most])


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
