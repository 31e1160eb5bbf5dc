"""Gradients of targets with respect to the input, in batches of a constant size."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from microtome.methods.attribution.explain import BATCH, Call, portions
from microtome.methods.attribution.target import numbers

#: (rows, samples), both int64 [n] -> float32 [n, 3, H, W]
Points = Callable[[Tensor, Tensor], Tensor]


def gradient_at(call: Call, points: Tensor, rows: Tensor) -> Tensor:
    """[n, 3, H, W]: gradient of the target of ``rows[i]`` at ``points[i]``; one forward and one backward pass."""
    with torch.enable_grad():
        leaf = points.detach().requires_grad_(True)
        total = numbers(call.model, leaf, [call.targets[int(row)] for row in rows]).sum()
        return torch.autograd.grad(total, leaf)[0]


def input_gradients(call: Call, passing: Callable[[], AbstractContextManager[object]] = nullcontext) -> Tensor:
    """[B, 3, H, W]: the gradient of every row, inside ``passing()`` (which may change how the network differentiates)."""
    out = torch.empty_like(call.inputs, memory_format=torch.contiguous_format)
    for start, end in portions(len(call.targets), BATCH):
        call.run.check()
        rows = torch.arange(start, end)
        with passing():
            out[start:end] = gradient_at(call, call.inputs[start:end], rows)
    return out


def sampled_gradients(
    call: Call, rows: list[int], samples: int, points: Points, factor: Points | None = None, *, square: bool = False
) -> Tensor:
    """float64 [len(rows), 3, H, W]: sum over samples of factor x gradient at points.

    Samples of all rows are walked in one line, in pieces of :data:`BATCH`: ``samples`` cost as many images forward and backward,
    whatever their number, and memory stays that of one piece.

    Args:
        points: where the gradient is taken, by row of the call and number of the sample.
        factor: what it is multiplied with, broadcast to [n, 3, H, W]; 1 if None.
        square: sum squares of the gradient instead (VarGrad and SmoothGrad-squared).
    """
    places = torch.tensor(rows).repeat_interleave(samples)
    slots = torch.arange(len(rows)).repeat_interleave(samples).to(call.inputs.device)
    numbers_ = torch.arange(samples).repeat(len(rows))
    total = torch.zeros(len(rows), *call.inputs.shape[1:], dtype=torch.float64, device=call.inputs.device)
    for start, end in portions(len(places), BATCH):
        call.run.check()
        call.run.progress(start, len(places), "steps")
        own, sample = places[start:end], numbers_[start:end]
        gradient = gradient_at(call, points(own, sample), own).double()
        if square:
            gradient = gradient.square()
        if factor is not None:
            gradient = gradient * factor(own, sample).double()
        total.index_add_(0, slots[start:end], gradient)
    return total
