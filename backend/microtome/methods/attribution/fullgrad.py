"""FullGrad."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from microtome.methods.attribution.biases import bias_rules
from microtome.methods.attribution.explain import BATCH, Attribution, Call, ExplainParams, attribution, portions
from microtome.methods.attribution.operations import Operations
from microtome.methods.attribution.target import numbers
from microtome.methods.contract import Cost
from microtome.models.layers import Layer


class Params(ExplainParams):
    rescale: bool = Field(True, description="Bring every layer's contributions to 0 to 1, as published; off adds them as they are.")


def _raw_shape(layer: Layer) -> tuple[int, ...]:
    """Shape of one example's raw output."""
    units, height, width = layer.units, layer.height, layer.width
    shapes = {
        "bchw": (units, height, width), "bhwc": (height, width, units), "tokens": (layer.special + height * width, units),
        "vector": (units,),
    }  # fmt: skip
    return shapes[layer.layout]


class _Sum:
    """Gathers contributions: their sum for completeness, their magnitudes as a map."""

    def __init__(self, call: Call, rows: int, rescale: bool) -> None:
        self.places = {_raw_shape(layer): layer for layer in reversed(call.model.layers.values()) if layer.height * layer.width > 1}
        self.size, self.rescale = call.inputs.shape[2:], rescale
        self.maps = torch.zeros(rows, *self.size, dtype=torch.float64, device=call.inputs.device)
        self.total = torch.zeros(rows, dtype=torch.float64, device=call.inputs.device)
        self.terms = self.drawn = 0

    def add(self, contribution: Tensor) -> None:
        """One more term, [B, ...]: drawn where its shape is that of a layer with sites."""
        self.terms += 1
        self.total += contribution.double().flatten(1).sum(1)
        layer = self.places.get(tuple(contribution.shape[1:]))
        if layer is not None:
            self.draw(layer.canonical(contribution))

    def draw(self, contribution: Tensor) -> None:
        """Magnitudes of [B, units, h, w], brought to 0 to 1 over the layer if asked for, enlarged, summed over units."""
        self.drawn += 1
        size = contribution.abs().double()
        if self.rescale:
            low, high = size.flatten(1).aminmax(dim=1)
            spread = (high - low).view(-1, 1, 1, 1)
            size = (size - low.view(-1, 1, 1, 1)) / torch.where(spread > 0, spread, 1.0)
        small = size.sum(1, keepdim=True)
        self.maps += torch.nn.functional.interpolate(small, self.size, mode="bilinear", align_corners=False)[:, 0]


@attribution(
    "fullgrad",
    title="FullGrad",
    params=Params,
    cite="Srinivas, Fleuret 2019, arXiv:1905.00780",
    quantity="{} per pixel, magnitudes of all layers",
    signed=False,
    cost=Cost(passes=4.0),
    passes=lambda p: 4.0,
)
def fullgrad(call: Call, params: Params) -> Attribution:
    """Magnitudes of what the input and every bias of the network contribute to the target, all layers added up.

    Input x gradient and bias x gradient of every layer together are the target exactly (completeness; the sum stands beside the
    map). Batch normalisation counts as the bias it folds into; a function that is not piecewise linear (GELU, layer
    normalisation, attention) counts with the constant of its tangent, as the paper proposes, so that the sum holds for transformers too.

    Formula:
        `f(x) = grad f . x + sum over layers l, biases b of df/db * b`;
        `map = psi(x * grad f) + sum over l, channels of psi(b * df/db)`, `psi` = magnitude, rescaled per layer, bilinear to the input.

    Known failures:
        The map is of magnitudes, rescaled per layer: it does not add up itself, only the signed terms do. Terms without a
        place (the last linear layer, class tokens) count in the sum and are not drawn; the note says how many. Late layers are coarse.
    """
    maps, completeness, drawn, terms = [], [], 0, 0
    for start, end in portions(len(call.targets), BATCH):
        call.run.check()
        gathered = _Sum(call, end - start, params.rescale)
        with torch.enable_grad():
            leaf = call.inputs[start:end].clone().requires_grad_(True)
            with Operations(bias_rules(gathered.add)):
                found = numbers(call.model, leaf, call.targets[start:end])
            gradient = torch.autograd.grad(found.sum(), leaf)[0]
        own = gradient * call.inputs[start:end]
        gathered.total += own.double().flatten(1).sum(1)
        gathered.draw(own)
        maps.append(gathered.maps)
        drawn, terms = gathered.drawn, gathered.terms + 1
        for total, expected in zip(gathered.total.tolist(), found.detach().double().tolist(), strict=True):
            completeness.append({"total": total, "expected": expected, "gap": abs(total - expected)})
    note = f"{drawn} of {terms} terms are drawn; the others have no place in the image. The signed terms add up, the map does not."
    return Attribution(torch.cat(maps).float(), completeness, {"terms": terms, "drawn": drawn}, note)
