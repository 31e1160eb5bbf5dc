"""The rescale rule of DeepLIFT for whole networks: every function becomes the line through its two points, image and baseline.

A pass carries images and baselines together, [x; b] along the batch axis. Each nonlinear function is answered by its own value with
a gradient that is difference over difference, so that ordinary backpropagation multiplies multipliers (the chain rule of the
paper). Products and max-pooling, which the paper leaves open or treats by example, get rules that keep the sum as well; attention and
layer normalisation are taken apart into functions of one value and products. So contributions add up for every network that is made
of these.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from microtome.methods.attribution.operations import ELEMENTWISE, Rule

#: Differences below this part of the values are rounding: the derivative takes the place of the quotient.
_NONE = 1e-6


def _line(x: Tensor, value: Tensor, slope: Tensor) -> Tensor:
    """``value``, with ``slope`` as its derivative by x."""
    line = x * slope
    return line + (value - line).detach()


def _halves(x: Tensor) -> tuple[Tensor, Tensor]:
    return x.chunk(2)  # type: ignore[return-value]


def _twice(x: Tensor) -> Tensor:
    return torch.cat([x, x])


def on_each(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """A function of each value alone: slope (f(x) - f(b)) / (x - b)."""
    with torch.no_grad():
        value = function(x)
        (xs, bs), (fx, fb) = _halves(x), _halves(value)
        step = xs - bs
        small = step.abs() <= _NONE * torch.maximum(xs.abs(), bs.abs())
        slope = (fx - fb) / torch.where(small, 1.0, step)
    if small.any():
        with torch.enable_grad():
            at = xs.detach().requires_grad_(True)
            derivative = torch.autograd.grad(function(at).sum(), at)[0]
        slope = torch.where(small, derivative, slope)
    return _line(x, value, _twice(slope))


def product(a: Tensor, b: Tensor, times: Callable[[Tensor, Tensor], Tensor] = torch.mul) -> Tensor:
    """A product of two tensors: each factor's share is its difference times the middle of the other (exact, and symmetric)."""
    with torch.no_grad():
        value = times(a, b)
        middle_a, middle_b = (_twice(sum(_halves(t)) / 2) for t in (a, b))  # type: ignore[arg-type]
    line = times(a, middle_b) + times(middle_a, b)
    return line + (value - line).detach()


def _both(args: tuple[Any, ...]) -> bool:
    """Whether two factors depend on the image and carry both halves."""
    return len(args) > 1 and all(isinstance(t, Tensor) and t.requires_grad and t.ndim > 0 for t in args[:2])


def _elementwise(function: Callable[..., Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if not args[0].requires_grad or any(isinstance(a, Tensor) and a.requires_grad for a in args[1:]):
        return NotImplemented
    return on_each(lambda t: function(t.clone(), *args[1:], **kwargs), args[0])


def _multiply(function: Callable[..., Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return product(args[0], args[1], function) if _both(args) and args[0].shape[0] == args[1].shape[0] else NotImplemented


def _divide(function: Callable[..., Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return product(args[0], on_each(torch.reciprocal, args[1])) if _both(args) and not kwargs else NotImplemented


def _power(function: Callable[..., Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if not args[0].requires_grad or isinstance(args[1], Tensor):
        return NotImplemented
    return on_each(lambda t: function(t.clone(), args[1]), args[0])


def softmax(x: Tensor, dim: int) -> Tensor:
    """exp, sum, reciprocal, product; the shift against overflow is the same for image and baseline."""
    with torch.no_grad():
        top = x.amax(dim, keepdim=True)
        shift = _twice(torch.maximum(*_halves(top)))
    raised = on_each(torch.exp, x - shift)
    return product(raised, on_each(torch.reciprocal, raised.sum(dim, keepdim=True)))


def _softmax(function: Callable[..., Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    dim = kwargs.get("dim", args[1] if len(args) > 1 else None)
    if not isinstance(dim, int) or dim == 0 or not args[0].requires_grad:
        return NotImplemented
    return softmax(args[0], dim)


def _layer_norm(function: Callable[..., Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    def take(x: Tensor, shape: Any, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5) -> Tensor:
        axes = tuple(range(-len(shape), 0))
        centred = x - x.mean(axes, keepdim=True)
        spread = on_each(torch.square, centred).mean(axes, keepdim=True)
        out = product(centred, on_each(torch.rsqrt, spread + eps))
        out = out if weight is None else out * weight
        return out if bias is None else out + bias

    return take(*args, **kwargs) if args[0].requires_grad else NotImplemented


def _attention(function: Callable[..., Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    def take(
        query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, dropout_p: float = 0.0, is_causal: bool = False,
        scale: float | None = None, **more: Any,
    ) -> Any:  # fmt: skip
        if is_causal or any(more.values()) or not query.requires_grad or query.shape[1] != key.shape[1]:
            return NotImplemented
        scores = product(query, key.transpose(-2, -1), torch.matmul) * (query.shape[-1] ** -0.5 if scale is None else scale)
        if attn_mask is not None:
            scores = scores.masked_fill(~attn_mask, -1e30) if attn_mask.dtype == torch.bool else scores + attn_mask
        return product(softmax(scores, -1), value, torch.matmul)

    return take(*args, **kwargs)


def _max_pool(function: Callable[..., Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Each window's difference goes to the place of its maximum in whichever of image and baseline has the larger one.

    There the input differs by at least as much and with the same sign, so that multipliers lie in 0 to 1 and the sum is kept.
    """
    x = args[0]
    if not x.requires_grad or x.ndim != 4 or kwargs.get("return_indices"):
        return NotImplemented
    kwargs = {k: v for k, v in kwargs.items() if k != "return_indices"}
    with torch.no_grad():
        value, places = torch.nn.functional.max_pool2d(*args, **kwargs, return_indices=True)
        (fx, fb), (px, pb) = _halves(value), _halves(places)
        where = torch.where(fx >= fb, px, pb).flatten(2)
        flat_x, flat_b = _halves(x.flatten(2))
        own_x, own_b = flat_x.gather(2, where), flat_b.gather(2, where)
        step = own_x - own_b
        rise = (fx - fb).flatten(2)
        small = step.abs() <= _NONE * torch.maximum(own_x.abs(), own_b.abs())
        slope = torch.where(small, 1.0, rise / torch.where(small, 1.0, step))
    line = x.flatten(2).gather(2, _twice(where)).view_as(value) * _twice(slope).view_as(value)
    return line + (value - line).detach()


RULES: dict[str, Rule] = {
    **dict.fromkeys(ELEMENTWISE, _elementwise),
    **dict.fromkeys(("mul", "multiply", "matmul", "bmm"), _multiply),
    **dict.fromkeys(("div", "true_divide", "divide", "truediv"), _divide),
    "pow": _power, "softmax": _softmax, "layer_norm": _layer_norm, "scaled_dot_product_attention": _attention, "max_pool2d": _max_pool,
}  # fmt: skip
