"""What the biases of a network contribute to a number it gives, wherever they are, named or not.

Around one image a network is affine: f(x) = gradient . x + (what every bias adds). A bias is the constant of a function's own line:
that of a convolution or linear layer, that of batch normalisation (shift - mean * scale / deviation), and for a function that is not
linear the value of its tangent at zero, y - J x: nothing for a ReLU, something for a GELU, layer normalisation or attention.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from microtome.methods.attribution.operations import ELEMENTWISE, RECTIFIERS, Rule

#: Told the contribution of a bias, gradient x bias, when the gradient arrives: [B, ...] in the shape of the function's output.
Told = Callable[[Tensor], None]


def _tell(out: Tensor, bias: Tensor | float, told: Told) -> Tensor:
    """``out``, with word of what ``bias``, a part of it, contributes once its gradient is known."""
    if out.requires_grad:
        out.register_hook(lambda gradient: told(gradient.detach() * bias))
    return out


def argument(args: tuple[Any, ...], kwargs: dict[str, Any], place: int, name: str, default: Any = None) -> Any:
    return args[place] if len(args) > place else kwargs.get(name, default)


def bias_rules(told: Told) -> dict[str, Rule]:
    """Rules for :class:`Operations` that leave every value as it is and tell the contribution of every bias."""

    def affine(channel_first: bool) -> Rule:
        def rule(function: Callable[..., Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            out, bias = function(*args, **kwargs), argument(args, kwargs, 2, "bias")
            if bias is None:
                return out
            return _tell(out, bias.view(-1, *[1] * (out.ndim - 2)) if channel_first else bias, told)

        return rule

    def batch_norm(function: Callable[..., Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        out = function(*args, **kwargs)
        mean, variance = argument(args, kwargs, 1, "running_mean"), argument(args, kwargs, 2, "running_var")
        weight, bias = argument(args, kwargs, 3, "weight"), argument(args, kwargs, 4, "bias")
        if argument(args, kwargs, 5, "training", False) or mean is None:
            return out
        shift = -mean * torch.rsqrt(variance + argument(args, kwargs, 7, "eps", 1e-5)) * (1 if weight is None else weight)
        shift = shift if bias is None else shift + bias
        return _tell(out, shift.view(-1, *[1] * (out.ndim - 2)), told)

    def layer_norm(function: Callable[..., Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        out, x = function(*args, **kwargs), args[0].detach()
        axes = tuple(range(-len(argument(args, kwargs, 1, "normalized_shape")), 0))
        weight, bias = argument(args, kwargs, 2, "weight"), argument(args, kwargs, 3, "bias")
        centred = x - x.mean(axes, keepdim=True)
        variance = centred.square().mean(axes, keepdim=True)
        scale = torch.rsqrt(variance + argument(args, kwargs, 4, "eps", 1e-5))
        constant = centred * scale**3 * variance  # n - J x, for n = centred * scale
        constant = constant if weight is None else constant * weight
        return _tell(out, constant if bias is None else constant + bias, told)

    def elementwise(function: Callable[..., Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        out = function(*args, **kwargs)
        if not out.requires_grad:
            return out
        with torch.enable_grad():
            at = args[0].detach().requires_grad_(True)
            value = function(at, *args[1:], **kwargs)
            slope = torch.autograd.grad(value.sum(), at)[0]
        return _tell(out, (value - at * slope).detach(), told)

    def softmax(function: Callable[..., Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        out, x, dim = function(*args, **kwargs), args[0].detach(), argument(args, kwargs, 1, "dim")
        return _tell(out, _softmax_constant(out.detach(), x, dim), told)

    def attention(function: Callable[..., Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        out = function(*args, **kwargs)
        query, key, value = (t.detach() for t in args[:3])
        mask, scale = argument(args, kwargs, 3, "attn_mask"), kwargs.get("scale")
        if kwargs.get("is_causal") or mask is not None or query.shape[1] != key.shape[1]:
            return out
        scores = query @ key.transpose(-2, -1) * (query.shape[-1] ** -0.5 if scale is None else scale)
        weights = scores.softmax(-1)
        # Scores are a product of two inputs, each of which is linear in it: their tangent at zero is less by the scores themselves.
        tangent = 2 * weights * (scores - (weights * scores).sum(-1, keepdim=True))
        return _tell(out, -(tangent @ value), lambda c: told(c.transpose(1, 2).flatten(2)))

    def product(function: Callable[..., Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        out = function(*args, **kwargs)
        both = len(args) > 1 and all(isinstance(t, Tensor) and t.requires_grad for t in args[:2])
        return _tell(out, -out.detach(), told) if both else out

    def addition(sign: int) -> Rule:
        def rule(function: Callable[..., Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            out = function(*args, **kwargs)
            one, other = args[0], args[1] if len(args) > 1 else None
            if kwargs or not isinstance(other, Tensor | int | float) or not isinstance(one, Tensor):
                return out
            if isinstance(other, Tensor) and other.requires_grad:
                return out if one.requires_grad else _tell(out, one.detach(), told)
            return _tell(out, other.detach() * sign if isinstance(other, Tensor) else other * sign, told)

        return rule

    def joined(function: Callable[..., Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        out, parts = function(*args, **kwargs), args[0]
        if all(t.requires_grad for t in parts):
            return out
        return _tell(out, function([torch.zeros_like(t) if t.requires_grad else t for t in parts], *args[1:], **kwargs).detach(), told)

    return {
        **dict.fromkeys(("conv1d", "conv2d", "conv3d"), affine(True)), "linear": affine(False), "batch_norm": batch_norm,
        "layer_norm": layer_norm, **dict.fromkeys(ELEMENTWISE - RECTIFIERS, elementwise), "softmax": softmax,
        **dict.fromkeys(("hardtanh", "relu6"), elementwise), "scaled_dot_product_attention": attention,
        **dict.fromkeys(("mul", "matmul", "bmm"), product), "add": addition(1), "sub": addition(-1),
        **dict.fromkeys(("cat", "concat"), joined),
    }  # fmt: skip


def _softmax_constant(out: Tensor, x: Tensor, dim: int) -> Tensor:
    return out - out * (x - (out * x).sum(dim, keepdim=True))
