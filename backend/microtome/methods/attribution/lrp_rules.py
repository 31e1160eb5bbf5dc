"""How a layer's relevance is shared among its inputs: the rules of layer-wise relevance propagation, and which layer gets which.

Each rule says what part of a layer's value is carried back: a sum over inputs, scaled so that its terms are the shares.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from microtome.methods.attribution.layerwise import Answer, Plan, Weighted

InputRule = Literal["same", "box", "w-square", "flat"]
Shares = Callable[[Weighted, Tensor], Tensor]


def _in_parts(part: Tensor, below: Tensor, value: Tensor) -> Tensor:
    """``part`` scaled by value / below; nothing where there is nothing to divide by."""
    below = below.detach()
    none = below == 0
    return part * torch.where(none, 0.0, value / torch.where(none, 1.0, below))


def epsilon(amount: float) -> Shares:
    """In proportion to x w; weak values are absorbed. ``amount`` in parts of the root mean square of the layer's values."""

    def shares(layer: Weighted, value: Tensor) -> Tensor:
        if amount == 0:
            return layer.whole()
        size = value.square().mean(tuple(range(1, value.ndim)), keepdim=True).sqrt()
        return layer.whole() * torch.where(value == 0, 1.0, value.abs() / (value.abs() + amount * size))

    return shares


def alpha_beta(alpha: float) -> Shares:
    """``alpha`` of the relevance among positive terms, against ``alpha - 1`` among negative ones.

    Where all terms have one sign they get all of it, once.
    """

    def shares(layer: Weighted, value: Tensor) -> Tensor:
        positive = layer.part(1)
        raised = (positive + layer.bias_part(1)).detach()
        if alpha == 1:
            return _in_parts(positive, raised, value)
        negative = layer.part(-1)
        lowered = (negative + layer.bias_part(-1)).detach()
        weight = torch.where(lowered == 0, 1.0, torch.where(raised == 0, 0.0, alpha))
        return weight * _in_parts(positive, raised, value) - (weight - 1) * _in_parts(negative, lowered, value)

    return shares


def gamma(amount: float) -> Shares:
    """In proportion to x w, terms of the sign of the value counted 1 + ``amount`` times.

    For what is positive that is the rule of Montavon et al. (2019); the mirrored half serves values that no ReLU has cut.
    """

    def shares(layer: Weighted, value: Tensor) -> Tensor:
        whole = layer.whole()
        if amount == 0:
            return whole
        up = value >= 0
        favoured = torch.where(up, layer.part(1), layer.part(-1))
        bias = torch.where(up, layer.bias_part(1), layer.bias_part(-1))
        return _in_parts(whole + amount * favoured, value + amount * (favoured + bias), value)

    return shares


def positive(layer: Weighted, value: Tensor) -> Tensor:
    """All of the relevance among positive terms, none to the bias: the z+ rule of deep Taylor decomposition."""
    part = layer.part(1)
    return _in_parts(part, part, value)


@dataclass(slots=True)
class FirstLayer:
    """Rules of a layer whose input is the image: relevance goes to reference points besides the pixels.

    Attributes:
        low, high: the darkest and the brightest image, [B, 3, H, W], that gradients are taken for.
        ones: an image of ones, likewise.
    """

    kind: InputRule
    low: Tensor
    high: Tensor
    ones: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.low, self.high = (t.detach().requires_grad_(True) for t in (self.low, self.high))
        self.ones = torch.ones_like(self.low).requires_grad_(True)

    def shares(self, layer: Weighted, value: Tensor) -> Tensor:
        assert layer.first is not None
        assert layer.weight is not None
        weight = layer.weight
        if self.kind == "box":
            line = (
                layer.whole()
                - layer.times(layer.first(self.low), weight.clamp(min=0))
                - layer.times(layer.first(self.high), weight.clamp(max=0))
            )
        else:
            line = layer.times(layer.first(self.ones), weight.square() if self.kind == "w-square" else torch.ones_like(weight))
        return _in_parts(line, line, value)

    def leaves(self) -> list[Tensor]:
        return [self.low, self.high, self.ones]


def one_rule(shares: Shares, first: FirstLayer | None) -> Answer:
    return lambda layer, value: (first.shares if first is not None and layer.first is not None else shares)(layer, value)


def composite(plan: Plan, low: Shares, high: Shares, first: FirstLayer | None) -> Answer:
    """``low`` for the lower half of the convolutions, ``high`` for the upper, plain proportion for linear layers."""
    convolutions = sum(kind == "convolution" for kind in plan.kinds)
    before = [sum(kind == "convolution" for kind in plan.kinds[:place]) for place in range(len(plan.kinds))]
    top = epsilon(0.0)

    def answer(layer: Weighted, value: Tensor) -> Tensor:
        if first is not None and layer.first is not None:
            return first.shares(layer, value)
        if layer.kind == "dense":
            return top(layer, value)
        # A sum belongs to the convolution before it.
        position = before[layer.place] - (layer.kind != "convolution")
        return (low if 2 * position < convolutions else high)(layer, value)

    return answer
