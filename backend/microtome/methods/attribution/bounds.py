"""Bounds of what a network gives for every input of a box: intervals through its functions, then one linear bound back to the input.

Intervals give every rectifier and maximum the range it can have. With these each is put between two lines, and a bound of a number is
carried backwards through them to the input (CROWN-IBP, Zhang et al. 2020, arXiv:1906.06316). What is affine is carried exactly, so that
the bound of an affine network is its maximum. A function for which nothing is known is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from microtome.core.errors import InvalidInput
from microtome.methods.attribution.biases import argument
from microtome.methods.attribution.operations import Operations, Rule, in_place
from microtome.methods.attribution.target import Target
from microtome.models.image import ImageModel
from microtome.models.layers import Layer

#: Linear functions that never lower an output when an input is raised: bounds go through as they are.
_AS_IT_IS = frozenset({
    "avg_pool2d", "adaptive_avg_pool2d", "flatten", "reshape", "view", "squeeze", "unsqueeze", "contiguous", "clone", "pad", "identity",
})  # fmt: skip
_RECTIFYING = frozenset({"relu", "relu6", "hardtanh", "max_pool2d"})
_ATTRIBUTES = frozenset({"shape", "ndim", "dtype", "device", "layout", "requires_grad", "is_cuda", "is_sparse", "is_quantized"})
_QUESTIONS = frozenset({"__len__", "dim", "size", "numel", "is_floating_point", "is_contiguous", "stride"})


class Bounds(Tensor):
    """[2B, ...]: lower bounds for B boxes, then the upper ones. Only a mark; what functions do with it says :class:`Intervals`."""

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class Box:
    """Inputs between ``low`` and ``high``, [B, 3, H, W], around one ``image`` [3, H, W] that lies in all of them."""

    image: Tensor
    low: Tensor
    high: Tensor

    def __getitem__(self, boxes: slice) -> Box:
        return Box(self.image, self.low[boxes], self.high[boxes])


class Intervals(TorchFunctionMode):
    """Carries :class:`Bounds` through functions.

    Attributes:
        ranges: lower and upper bounds of what came to every rectifier and maximum, in the order of execution.

    Raises (from functions):
        InvalidInput: one that is not known.
    """

    def __init__(self) -> None:
        super().__init__()
        self.ranges: list[tuple[Tensor, Tensor]] = []

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(function, "__name__", str(function))
        given = [*args, *kwargs.values()]
        if not any(isinstance(a, Bounds) or (isinstance(a, list | tuple) and any(isinstance(t, Bounds) for t in a)) for a in given):
            return function(*args, **kwargs)
        if name in _QUESTIONS or (name == "__get__" and function.__self__.__name__ in _ATTRIBUTES):
            return function(*args, **kwargs)
        if name == "__get__":
            raise refused(function.__self__.__name__)
        if not args or (name.strip("_") not in ("add", "iadd", "sub") and any(isinstance(a, Bounds) for a in given[1:])):
            raise refused(name)
        writes = in_place(name, args, kwargs)
        if writes and not isinstance(args[0], Bounds):
            raise refused(name)
        answer = self._answer(name.strip("_"), function, args, kwargs)
        if writes:
            args[0].as_subclass(Tensor).copy_(answer)
            return args[0]
        return answer.as_subclass(Bounds)

    def _answer(self, name: str, function: Callable[..., Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        x = args[0]
        if name in ("add", "iadd", "sub", "cat", "concat", "mul", "div", "truediv"):
            return _together(name, args, kwargs)
        if name in ("conv2d", "linear"):
            weight, bias = argument(args, kwargs, 1, "weight"), argument(args, kwargs, 2, "bias")
            named = {k: v for k, v in kwargs.items() if k not in ("weight", "bias")}
            return _affine(
                x, lambda c: function(c, weight, bias, *args[3:], **named), lambda r: function(r, weight.abs(), None, *args[3:], **named)
            )  # fmt: skip
        if name == "batch_norm":
            return _normalised(function, args, kwargs)
        if name == "dropout" and argument(args, kwargs, 2, "training", True) is False:
            return x.as_subclass(Tensor).clone()
        if name in _RECTIFYING and not argument(args, kwargs, 6, "return_indices", False):
            low, high = x.as_subclass(Tensor).clone().chunk(2)
            self.ranges.append((low, high))
            kwargs = {k: v for k, v in kwargs.items() if k != "inplace"}
            rest = args[1:] if name == "max_pool2d" else tuple(a for a in args[1:] if a is not True)
            return function(x.as_subclass(Tensor).clone(), *rest, **kwargs)
        if name not in _AS_IT_IS and not _keeps_rows(name, args, kwargs):
            raise refused(name)
        answer = function(*args, **kwargs)
        if answer.shape[0] != x.shape[0]:
            raise refused(f"{name} over the batch")
        return answer


def refused(name: str) -> InvalidInput:
    return InvalidInput(
        f"EVA has no bounds for '{name}', which this network uses: it knows convolutions, linear layers, batch normalisation, ReLU, sums "
        "and pooling. Use occlusion or rise for this network.",
        field="model",
    )


def _keeps_rows(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether a mean or a change of axes leaves the batch alone."""
    if name == "mean":
        dim = argument(args, kwargs, 1, "dim")
        axes = dim if isinstance(dim, list | tuple) else [dim]
        return dim is not None and all(isinstance(a, int) and a % args[0].ndim != 0 for a in axes)
    if name == "permute":
        dims = args[1] if isinstance(args[1], list | tuple) else args[1:]
        return not kwargs and dims[0] == 0
    return name == "transpose" and not kwargs and all(a % args[0].ndim != 0 for a in args[1:3])


def _affine(x: Tensor, function: Callable[[Tensor], Tensor], widths: Callable[[Tensor], Tensor]) -> Tensor:
    """An affine function by its value at the middle, and by what its weights without their signs make of half the width."""
    low, high = x.as_subclass(Tensor).chunk(2)
    middle, half = function((low + high) / 2), widths((high - low) / 2)
    return torch.cat([middle - half, middle + half])


def _normalised(function: Callable[..., Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    mean, variance = argument(args, kwargs, 1, "running_mean"), argument(args, kwargs, 2, "running_var")
    if mean is None or argument(args, kwargs, 5, "training", False):
        raise refused("batch_norm by the statistics of the batch")
    weight = argument(args, kwargs, 3, "weight")
    scale = torch.rsqrt(variance + argument(args, kwargs, 7, "eps", 1e-5)) * (1.0 if weight is None else weight)
    spread = scale.abs().view(-1, *[1] * (args[0].ndim - 2))
    return _affine(args[0], lambda c: function(c, *args[1:], **kwargs), lambda r: r * spread)


def _together(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """Sums, differences and joins of bounds and constants; products with constants."""
    if name in ("cat", "concat"):
        if argument(args, kwargs, 1, "dim", 0) == 0:
            raise refused(name)
        return torch.cat([t.as_subclass(Tensor) for t in args[0]], *args[1:], **kwargs)
    if len(args) != 2 or kwargs:
        raise refused(name)
    one, other = (a.as_subclass(Tensor) if isinstance(a, Tensor) else a for a in args)
    if name in ("add", "iadd"):
        return one + other  # type: ignore[no-any-return]
    if name == "sub":
        if isinstance(args[1], Bounds):
            other = torch.cat(other.chunk(2)[::-1])
        return one - other  # type: ignore[no-any-return]
    factor = 1 / other if name in ("div", "truediv") else other
    if isinstance(factor, Tensor) and factor.ndim and factor.ndim == one.ndim and factor.shape[0] > 1:
        raise refused(f"{name} by a tensor of the batch")
    return _affine(one, lambda c: c * factor, lambda r: r * abs(factor))


class _Line(torch.autograd.Function):
    """``value``, whose gradient follows the upper line where more of it makes the bounded number larger, the lower one elsewhere.

    ``tell`` learns, [B], by how much the lines lie off the value at this point.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, value: Tensor, upper: Tensor, over: Tensor, lower: Tensor, under: Tensor, tell: Any) -> Tensor:
        ctx.save_for_backward(upper, over, lower, under)
        ctx.tell = tell
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *arriving: Tensor) -> Any:
        upper, over, lower, under = ctx.saved_tensors
        more, less = arriving[0].clamp(min=0), arriving[0].clamp(max=0)
        ctx.tell((more * over + less * under).flatten(1).sum(1))
        return more * upper + less * lower, None, None, None, None, None, None


class Lines:
    """Rules for :class:`Operations` that put rectifiers and maxima between lines, by ranges that :class:`Intervals` found."""

    def __init__(self, ranges: Sequence[tuple[Tensor, Tensor]]) -> None:
        self._ranges: Iterator[tuple[Tensor, Tensor]] = iter(ranges)
        self.off: Tensor | float = 0.0

    def rules(self) -> dict[str, Rule]:
        return {"relu": self._relu, "relu6": self._up_to_six, "hardtanh": self._between, "max_pool2d": self._maximum}

    def _tell(self, off: Tensor) -> None:
        self.off = self.off + off

    def _rectified(self, x: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """From (low, 0) to (high, high) above; below nothing or x itself, whichever leaves less between."""
        at = x.detach()
        value = at.clamp(min=0)
        rises, undecided = low >= 0, (low < 0) & (high > 0)
        slope = torch.where(undecided, high / torch.where(undecided, high - low, 1.0), rises.to(at))
        over = torch.where(undecided, slope * (at - low) - value, 0.0).clamp(min=0)
        lower = torch.where(undecided, (high > -low).to(at), rises.to(at))
        under = torch.where(undecided, lower * at - value, 0.0).clamp(max=0)
        return _Line.apply(x, value, slope, over, lower, under, self._tell)  # type: ignore[no-any-return,no-untyped-call]

    def _relu(self, function: Callable[..., Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self._rectified(args[0], *next(self._ranges)) if args[0].requires_grad else NotImplemented

    def _up_to_six(self, function: Callable[..., Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self._between(function, (args[0], 0.0, 6.0), {})

    def _between(self, function: Callable[..., Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A rectifier with a floor and a ceiling is the difference of two without."""
        x = args[0]
        if not x.requires_grad:
            return NotImplemented
        floor, ceiling = argument(args, kwargs, 1, "min_val", -1.0), argument(args, kwargs, 2, "max_val", 1.0)
        low, high = next(self._ranges)
        return floor + self._rectified(x - floor, low - floor, high - floor) - self._rectified(x - ceiling, low - ceiling, high - ceiling)

    def _maximum(self, function: Callable[..., Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Below, the one whose least is largest; above the same where it is larger than all others for sure, else what can be at most."""
        x = args[0]
        if not x.requires_grad:
            return NotImplemented
        low, high = next(self._ranges)
        value, most = function(x.detach(), *args[1:], **kwargs), function(high, *args[1:], **kwargs)
        least, places = torch.nn.functional.max_pool2d(low, *args[1:], **{**kwargs, "return_indices": True})
        rivals = torch.full_like(value, -torch.inf)
        for theirs, place in _windows(high, value.shape, args, kwargs):
            rivals = torch.maximum(rivals, torch.where(place == places, -torch.inf, theirs))
        sure = rivals <= least
        chosen = x.flatten(2).gather(2, places.flatten(2)).view_as(value)
        over = torch.where(sure, 0.0, most - value).clamp(min=0)
        under = (chosen.detach() - value).clamp(max=0)
        return _Line.apply(chosen, value, sure.to(value), over, torch.ones_like(value), under, self._tell)  # type: ignore[no-untyped-call]


def _windows(x: Tensor, shape: torch.Size, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[tuple[Tensor, Tensor]]:
    """For every place in a pooling window: its values for all windows, in ``shape``, and which pixel that is; -inf and -1 outside."""

    def pair(place: int, name: str, default: Any) -> tuple[int, int]:
        value = argument(args, kwargs, place, name, default)
        value = default if value is None or value == [] else value
        return (value, value) if isinstance(value, int) else (value[0], value[-1])

    size = pair(1, "kernel_size", None)
    step, border, apart = pair(2, "stride", size), pair(3, "padding", 0), pair(4, "dilation", 1)
    # As far as the last window reaches, which may be past the border where sizes are rounded up.
    reach = [(shape[2 + i] - 1) * step[i] + (size[i] - 1) * apart[i] + 1 for i in range(2)]
    wide = [border[1], max(reach[1] - x.shape[3] - border[1], 0), border[0], max(reach[0] - x.shape[2] - border[0], 0)]
    pixels = torch.arange(x.shape[2] * x.shape[3], device=x.device).view(1, 1, *x.shape[2:])
    values, places = torch.nn.functional.pad(x, wide, value=-torch.inf), torch.nn.functional.pad(pixels, wide, value=-1)
    for dy in range(size[0]):
        for dx in range(size[1]):
            rows = slice(dy * apart[0], dy * apart[0] + (shape[2] - 1) * step[0] + 1, step[0])
            columns = slice(dx * apart[1], dx * apart[1] + (shape[3] - 1) * step[1] + 1, step[1])
            yield values[:, :, rows, columns], places[:, :, rows, columns]


def upper_bounds(model: ImageModel, box: Box, goals: Sequence[Target]) -> Tensor:
    """float64 [B, goals]: what each weighted sum of logits or units is at most, for every input of each box. One batch.

    Raises:
        InvalidInput: the network has a function for which there are no bounds.
    """
    layers = list({t.layer.name: t.layer for t in goals if t.layer is not None}.values())
    kept: dict[str, Tensor] = {}

    def keep(layer: Layer, tensor: Tensor) -> None:
        kept[layer.name] = tensor.clone()

    with torch.no_grad(), model.tapped(layers, keep):
        intervals = Intervals()
        with intervals:
            bounds = model.forward(torch.cat([box.low, box.high]).as_subclass(Bounds))
        ends, outputs = bounds.as_subclass(Tensor), {name: t.as_subclass(Tensor) for name, t in kept.items()}
        low, high = ((ends.chunk(2)[i], {n: t.chunk(2)[i] for n, t in outputs.items()}) for i in range(2))
        found = torch.stack([_of_sign(g, 1, *high) + _of_sign(g, -1, *low) for g in goals], 1).double()
    kept.clear()
    lines = Lines(intervals.ranges)
    with torch.enable_grad(), model.tapped(layers, keep):
        leaf = box.image.expand_as(box.low).clone().requires_grad_(True)
        with Operations(lines.rules()):
            logits = model.forward(leaf.clone())  # a network may write into its input
        for place, goal in enumerate(goals):
            value = goal.number(logits, kept)
            if not value.requires_grad:
                continue
            lines.off = 0.0
            slope = torch.autograd.grad(value.sum(), leaf, retain_graph=True)[0].double()
            up, down = (box.high - box.image).double(), (box.low - box.image).double()
            most = torch.maximum(slope * up, slope * down).flatten(1).sum(1) + value.detach().double() + lines.off
            found[:, place] = torch.minimum(found[:, place], most)
    return found


def _of_sign(goal: Target, sign: int, logits: Tensor, recorded: dict[str, Tensor]) -> Tensor:
    """The part of a weighted sum whose weights have this sign; [B]."""
    weights = tuple((i, w) for i, w in goal.weights if w * sign > 0)
    if not weights:
        return logits.new_zeros(len(logits))
    return replace(goal, weights=weights).number(logits, recorded)
