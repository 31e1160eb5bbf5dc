"""Gradients of targets with respect to the input, in batches of a constant size."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch
from torch import Tensor

from microtome.methods.attribution.explain import BATCH, Call, portions
from microtome.methods.attribution.target import numbers

#: (rows, samples), both int64 [n] -> float32 [n, 3, H, W]
Points = Callable[[Tensor, Tensor], Tensor]
Taken = Callable[[Tensor, Tensor, Tensor], Tensor]


Colours = Literal["max", "sum", "norm", "signed"]


def over_colours(gradient: Tensor, colours: Colours) -> Tensor:
    """float32 [B, H, W] of [B, 3, H, W]: largest magnitude, sum of magnitudes, Euclidean norm, or the plain sum with its sign."""
    if colours == "signed":
        return gradient.sum(1).float()
    if colours == "norm":
        return gradient.double().norm(dim=1).float()
    return (gradient.abs().amax(1) if colours == "max" else gradient.abs().sum(1)).float()


def gradient_at(call: Call, points: Tensor, rows: Tensor) -> Tensor:
    """[n, 3, H, W]: gradient of the target of ``rows[i]`` at ``points[i]``; one forward and one backward pass."""
    # Colours innermost: the CPU's convolutions go through such images a tenth faster, forward and backward together.
    layout = torch.channels_last if points.device.type == "cpu" else torch.contiguous_format
    with torch.enable_grad():
        leaf = points.detach().contiguous(memory_format=layout).requires_grad_(True)
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
    call: Call, rows: list[int], samples: int, points: Points, taken: Taken | None = None, weights: Tensor | None = None
) -> Tensor:
    """float64 [len(rows), channels, H, W]: weighted sum over samples of the gradient at points, or of what is taken of it.

    Samples of all rows are walked in one line, in pieces of :data:`BATCH`: ``samples`` cost as many images forward and backward,
    whatever their number, and memory stays that of one piece.

    Args:
        points: where the gradient is taken, by row of the call and number of the sample.
        taken: what is summed, of (gradients float32 [n, 3, H, W], rows, samples); the gradient itself if None.
        weights: [samples]; 1 each if None.
    """
    device = call.inputs.device
    places = torch.tensor(rows).repeat_interleave(samples)
    order = torch.arange(samples).repeat(len(rows))
    shares = torch.ones(samples, device=device) if weights is None else weights.to(device, torch.float32)
    total: Tensor | None = None
    for start, end in portions(len(places), BATCH):
        call.run.check()
        call.run.progress(start, len(places), "steps")
        own, sample = places[start:end], order[start:end]
        found = gradient_at(call, points(own, sample), own)
        found = found if taken is None else taken(found, own, sample)
        total = torch.zeros(len(rows), *found.shape[1:], dtype=torch.float64, device=device) if total is None else total
        # A piece holds few rows, each in one stretch; sixteen values are added in float32, pieces in float64.
        for slot in range(start // samples, (end - 1) // samples + 1):
            first, last = max(slot * samples, start) - start, min((slot + 1) * samples, end) - start
            total[slot] += torch.tensordot(shares[sample[first:last]], found[first:last], 1)
    assert total is not None
    return total
