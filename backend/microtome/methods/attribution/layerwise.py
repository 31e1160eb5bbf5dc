"""What a network is made of, layer by layer, for methods that answer each layer by a rule of their own (LRP, patterns).

A layer is a weighted sum: a convolution, a linear layer, batch normalisation, the sum of two branches. Batch normalisation right
behind a layer is merged into it, so that rules see one layer with scaled weights. What lies between layers is answered here, the
same for all rules: a function of one value passes on what it gets, products give half to each factor, and layer normalisation,
softmax and attention follow AttnLRP (Achtibat et al. 2024, arXiv:2402.05602).

Relevance is carried as a multiplier: a tensor's relevance is its value times what arrives at it in the backward pass. With no rule at
all that is gradient x input, and everything linear between the layers (reshaping, padding, averages, maxima) is right by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from microtome.core.errors import InvalidInput
from microtome.methods.attribution.biases import argument
from microtome.methods.attribution.operations import ELEMENTWISE, RECTIFIERS, Rule

Kind = Literal["convolution", "dense", "norm", "sum"]
#: Told what no input gets, relevance [B, ...] of a bias or a constant, once it is known.
Told = Callable[[Tensor], None]

#: Functions of one value that are zero at zero: the value after them has the sign and the share of the value before.
_PASSING = RECTIFIERS | {"leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish", "hardswish", "tanh", "softsign", "prelu"}
_REFUSED = (ELEMENTWISE - _PASSING) | {
    "pow", "std", "var", "norm", "normalize", "group_norm", "instance_norm", "log_softmax", "einsum", "softmin", "logsumexp",
    "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "multi_head_attention_forward", "bilinear",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Weighted:
    """One weighted sum as the network called it.

    Attributes:
        place: its number in the order of execution, from 0.
        inputs: the tensors it sums over: one, or the two branches of a sum.
        weight: None for a sum, whose weights are one.
        times: ``(x, weight) -> W x``, without bias.
        bias: in a shape that adds to the output; None where there is none.
        first: what was done to the image before it came to this layer (nothing, or padding); None where the input is not the image.
    """

    place: int
    kind: Kind
    inputs: tuple[Tensor, ...]
    weight: Tensor | None
    times: Callable[[Tensor, Tensor], Tensor]
    bias: Tensor | None
    first: Callable[[Tensor], Tensor] | None = None

    def whole(self) -> Tensor:
        """W x."""
        return self.times(self.inputs[0], self.weight) if self.weight is not None else self.inputs[0] + self.inputs[1]

    def part(self, sign: int) -> Tensor:
        """The sum of the terms w x that are positive (sign 1), or negative (-1)."""
        if self.weight is None:
            one, other = (_of_sign(t, sign) for t in self.inputs)
            return one + other
        x, raising, lowering = self.inputs[0], self.weight.clamp(min=0), self.weight.clamp(max=0)
        if sign < 0:
            raising, lowering = lowering, raising
        if not bool((x.detach() < 0).any()):
            return self.times(x, raising)
        return self.times(_of_sign(x, 1), raising) + self.times(_of_sign(x, -1), lowering)

    def bias_part(self, sign: int) -> Tensor | float:
        return 0.0 if self.bias is None else _of_sign(self.bias, sign)


def _of_sign(x: Tensor, sign: int) -> Tensor:
    return x.clamp(min=0) if sign > 0 else x.clamp(max=0)


#: ``(layer, value) -> the part of value that is carried back``, whose gradient is the rule; the rest of the value is absorbed.
Answer = Callable[[Weighted, Tensor], Tensor]


@dataclass(slots=True)
class Plan:
    """What one pass over the network found.

    Attributes:
        kinds: of every layer by place; a layer with its batch normalisation counts once.
        merged: places of layers whose batch normalisation is merged into them.
        rectified: places of layers whose output goes through a ReLU at once.
        rectifiers: how many ReLUs there are.
        transformer: what of layer normalisation, softmax or attention there is; empty for none.
        starts: whether some layer takes the image itself.
    """

    kinds: list[Kind] = field(default_factory=list)
    merged: set[int] = field(default_factory=set)
    rectified: set[int] = field(default_factory=set)
    rectifiers: int = 0
    transformer: set[str] = field(default_factory=set)
    starts: bool = False


class Layerwise:
    """Rules for :class:`Operations` that hand every layer to ``answer``; good for one pass.

    Without a plan the pass makes one, in :attr:`plan`, and rules are asked for nothing.

    Raises (from the rules):
        InvalidInput: a function for which there is no rule.
    """

    def __init__(self, leaf: Tensor, title: str, answer: Answer | None = None, told: Told | None = None, plan: Plan | None = None) -> None:
        self._title, self._answer, self._tell = title, answer, told
        self._images: list[tuple[Tensor, Callable[[Tensor], Tensor]]] = [(leaf, lambda image: image)]
        self._known, self.plan = plan, Plan()
        self._last: tuple[Tensor, int, Weighted] | None = None
        self._place = 0

    def rules(self) -> dict[str, Rule]:
        return {
            **dict.fromkeys(("conv1d", "conv2d", "conv3d"), self._convolution), "linear": self._linear,
            "batch_norm": self._batch_norm, "add": self._add, "sub": partial(self._subtract, 1), "rsub": partial(self._subtract, -1),
            **{name: partial(self._passing, name) for name in _PASSING}, **{name: partial(self._refuse, name) for name in _REFUSED},
            **dict.fromkeys(("mul", "multiply", "matmul", "bmm"), self._product),
            **dict.fromkeys(("div", "divide", "true_divide"), self._divide),
            "layer_norm": self._layer_norm, "softmax": self._softmax, "pad": self._pad, "scaled_dot_product_attention": self._attention,
            **dict.fromkeys(("cat", "concat"), self._joined),
        }  # fmt: skip

    def _carry(self, value: Tensor, carried: Tensor) -> Tensor:
        """``value``, of which ``carried`` goes back by its own gradient and the rest is told."""
        rest = (value - carried).detach()
        out = carried + rest
        if self._tell is not None and out.requires_grad:
            tell = self._tell
            out.register_hook(lambda multiplier: tell(multiplier.detach() * rest))
        return out

    def _layer(self, layer: Weighted, value: Tensor, *, deferred: bool = False) -> Tensor:
        """The value of a layer under its rule; ``deferred`` leaves it to the batch normalisation that follows."""
        if self._known is None:
            if layer.place == len(self.plan.kinds):
                self.plan.kinds.append(layer.kind)
            self.plan.starts |= layer.first is not None
        elif not deferred:
            assert self._answer is not None
            value = self._carry(value, self._answer(layer, value.detach()))
        self._last = (value, value._version, layer)
        self._place = layer.place + 1
        return value

    def _affine(self, kind: Kind, function: Callable[..., Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        x, weight, bias = args[0], argument(args, kwargs, 1, "weight"), argument(args, kwargs, 2, "bias")
        value = function(*args, **kwargs)
        if not x.requires_grad:
            return value
        rest, named = args[3:], {k: v for k, v in kwargs.items() if k not in ("input", "weight", "bias")}
        if bias is not None and kind == "convolution":
            bias = bias.view(-1, *[1] * (value.ndim - 2))
        layer = Weighted(
            self._place, kind, (x,), weight, lambda x, w: function(x, w, None, *rest, **named), bias, first=self._before(x)
        )  # fmt: skip
        return self._layer(layer, value, deferred=self._known is not None and layer.place in self._known.merged)

    def _before(self, x: Tensor) -> Callable[[Tensor], Tensor] | None:
        return next((done for image, done in self._images if image is x), None)

    def _pad(self, function: Callable[..., Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        value = function(*args, **kwargs)
        if self._before(args[0]) is not None:
            self._images.append((value, lambda image: function(image, *args[1:], **kwargs)))
        return value

    def _convolution(self, function: Callable[..., Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self._affine("convolution", function, args, kwargs)

    def _linear(self, function: Callable[..., Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self._affine("dense", function, args, kwargs)

    def _batch_norm(self, function: Callable[..., Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        x, mean, variance = args[0], argument(args, kwargs, 1, "running_mean"), argument(args, kwargs, 2, "running_var")
        if mean is None or argument(args, kwargs, 5, "training", False):
            raise self._no("batch normalisation by the statistics of the batch")
        value = function(*args, **kwargs)
        if not x.requires_grad:
            return value
        weight, bias = argument(args, kwargs, 3, "weight"), argument(args, kwargs, 4, "bias")
        scale = torch.rsqrt(variance + argument(args, kwargs, 7, "eps", 1e-5)) * (1.0 if weight is None else weight)
        shift = -mean * scale if bias is None else bias - mean * scale
        spread = [-1, *[1] * (value.ndim - 2)]
        before = None
        if self._last is not None and self._last[0] is x and self._last[1] == x._version:  # not if a ReLU wrote into it since
            before = self._last[2]
        if before is not None and (before.kind == "convolution" or (before.kind == "dense" and x.ndim == 2)):
            self.plan.merged.add(before.place)
            assert before.weight is not None
            merged = replace(
                before,
                weight=before.weight * scale.view(-1, *[1] * (before.weight.ndim - 1)),
                bias=shift.view(spread) + (0.0 if before.bias is None else before.bias * scale.view(spread)),
            )
            return self._layer(merged, value)
        layer = Weighted(self._place, "norm", (x,), scale.view(spread), torch.mul, shift.view(spread), first=self._before(x))
        return self._layer(layer, value)

    def _add(self, function: Callable[..., Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        one, other = args[0], argument(args, kwargs, 1, "other")
        value = function(*args, **kwargs)
        carrying = [isinstance(t, Tensor) and t.requires_grad for t in (one, other)]
        if not any(carrying):
            return value
        if all(carrying):
            if kwargs.get("alpha", 1) != 1 or one.shape != other.shape or one is other:
                return value
            return self._layer(Weighted(self._place, "sum", (one, other), None, torch.mul, None), value)
        return self._constant(value, one if carrying[0] else other, 1)

    def _subtract(self, sign: int, function: Callable[..., Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """``one - other`` (sign 1) or ``other - one`` (-1)."""
        one, other = args[0], argument(args, kwargs, 1, "other")
        value = function(*args, **kwargs)
        carrying = [isinstance(t, Tensor) and t.requires_grad for t in (one, other)]
        if carrying == [True, False] or carrying == [False, True]:
            return self._constant(value, one, sign) if carrying[0] else self._constant(value, other, -sign)
        return value

    def _constant(self, value: Tensor, carrier: Tensor, sign: int) -> Tensor:
        """A value that is a tensor and a constant: the constant's share is told."""
        return self._carry(value, (carrier * sign).expand_as(value))

    def _passing(self, name: str, function: Callable[..., Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        x = args[0]
        value = function(*args, **kwargs)
        if not x.requires_grad:
            return value
        if name in RECTIFIERS:
            self.plan.rectifiers += 1
            if self._known is None and self._last is not None:
                before, _, layer = self._last
                if before.shape == x.shape and torch.equal(before, x):
                    self.plan.rectified.add(layer.place)
        if name == "relu":
            return value  # its gradient is the quotient
        with torch.no_grad():
            share = torch.where(x == 0, 0.0, value / torch.where(x == 0, 1.0, x))
        return self._carry(value, x * share)

    def _product(self, function: Callable[..., Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        value = function(*args, **kwargs)
        both = len(args) > 1 and all(isinstance(t, Tensor) and t.requires_grad for t in args[:2])
        return value / 2 + (value / 2).detach() if both else value

    def _divide(self, function: Callable[..., Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if len(args) > 1 and isinstance(args[1], Tensor) and args[1].requires_grad:
            raise self._no("division by what depends on the image")
        return function(*args, **kwargs)

    def _layer_norm(self, function: Callable[..., Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The deviation counts as a constant; the mean is a weighted sum like any other."""
        x, value = args[0], function(*args, **kwargs)
        if not x.requires_grad:
            return value
        self.plan.transformer.add("layer normalisation")
        axes = tuple(range(-len(argument(args, kwargs, 1, "normalized_shape")), 0))
        weight = argument(args, kwargs, 2, "weight")
        centred = x - x.mean(axes, keepdim=True)
        with torch.no_grad():
            scale = torch.rsqrt(centred.square().mean(axes, keepdim=True) + argument(args, kwargs, 4, "eps", 1e-5))
        return self._carry(value, centred * (scale if weight is None else scale * weight))

    def _softmax(self, function: Callable[..., Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Its Taylor expansion at the input, without the constant: the gradient."""
        x, value = args[0], function(*args, **kwargs)
        if not x.requires_grad:
            return value
        self.plan.transformer.add("softmax")
        return self._taylor(x, value, argument(args, kwargs, 1, "dim"))

    def _taylor(self, x: Tensor, value: Tensor, dim: int) -> Tensor:
        weights = value.detach()
        return self._carry(value, weights * (x - (weights * x).sum(dim, keepdim=True)))

    def _attention(self, function: Callable[..., Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        query, key, values = args[:3]
        if not query.requires_grad:
            return function(*args, **kwargs)
        mask, scale = argument(args, kwargs, 3, "attn_mask"), kwargs.get("scale")
        if mask is not None or argument(args, kwargs, 5, "is_causal", False) or query.shape[1] != key.shape[1]:
            raise self._no("attention with a mask or shared heads")
        self.plan.transformer.add("attention")
        scores = self._product(torch.matmul, (query, key.transpose(-2, -1)), {}) * (query.shape[-1] ** -0.5 if scale is None else scale)
        return self._product(torch.matmul, (self._taylor(scores, scores.softmax(-1), -1), values), {})

    def _joined(self, function: Callable[..., Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Constants beside tensors (a class token): their share is told."""
        value, parts = function(*args, **kwargs), args[0]
        if self._tell is None or not value.requires_grad or all(t.requires_grad for t in parts):
            return value
        return self._carry(value, function([t if t.requires_grad else torch.zeros_like(t) for t in parts], *args[1:], **kwargs))

    def _refuse(self, name: str, function: Callable[..., Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if any(isinstance(t, Tensor) and t.requires_grad for t in args):
            raise self._no(f"the function '{name}'")
        return NotImplemented

    def _no(self, what: str) -> InvalidInput:
        return InvalidInput(
            f"{self._title} has no rule for {what}, which this network has; use integrated gradients or DeepLIFT.", field="model"
        )
