"""What stands for 'nothing': baselines of a path, fills of a covered place."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor

from microtome.models.image import ImageModel

Baseline = Literal["black", "white", "mean", "blur", "noise"]


def baseline_input(model: ImageModel, inputs: Tensor, kind: Baseline, seed: int = 0) -> Tensor:
    """The baseline of inputs [B, 3, H, W] in input space, of the same shape.

    ``black``, ``white`` and ``mean`` (the mean colour of the model's preprocessing) are one colour; ``blur`` is the image itself,
    blurred; ``noise`` is uniform over the colours, one draw of ``seed`` for every row.
    """
    mean = torch.tensor(model.preprocess.mean, device=inputs.device).view(1, -1, 1, 1)
    std = torch.tensor(model.preprocess.std, device=inputs.device).view(1, -1, 1, 1)
    if kind == "blur":
        return blurred(inputs)
    if kind == "noise":
        level = torch.rand(inputs.shape[1:], generator=_generator(seed, 0)).to(inputs.device)[None]
    else:
        level = {"black": torch.zeros_like(mean), "white": torch.ones_like(mean), "mean": mean}[kind]
    return ((level - mean) / std).expand_as(inputs).clone()


def blurred(inputs: Tensor) -> Tensor:
    """Gaussian blur of [B, C, H, W] with reflected edges; its deviation is a sixteenth of the shorter side, cut off at two deviations."""
    side = max(3, min(inputs.shape[2:]) // 4 | 1)
    line = torch.exp(-((torch.arange(side, device=inputs.device) - side // 2) ** 2) / (2 * (side / 4) ** 2))
    line = (line / line.sum()).view(1, 1, 1, -1)
    rows, channels = inputs.shape[:2]
    flat = torch.nn.functional.pad(inputs, [side // 2] * 4, mode="reflect").flatten(0, 1)[:, None]
    smooth = torch.nn.functional.conv2d(torch.nn.functional.conv2d(flat, line), line.transpose(2, 3))
    return smooth.view(rows, channels, *inputs.shape[2:])


def _generator(seed: int, index: int) -> torch.Generator:
    """Where draw ``index`` of a seed comes from: the CPU, so that it is the same on every device."""
    return torch.Generator().manual_seed((seed * 1_000_003 + index) % 2**63)


def normal_draws(like: Tensor, seed: int, indices: Iterable[int]) -> Tensor:
    """Standard normal float32 [n, C, H, W]: the draws ``indices`` of a seed, each of the shape of one row of ``like``.

    A draw is the same in whatever company and on whatever device: a row never depends on what else is asked for.
    """
    wanted = list(indices)
    out = torch.empty(len(wanted), *like.shape[1:])
    for row, index in zip(out, wanted, strict=True):
        row.normal_(generator=_generator(seed, index))
    return out.to(like.device)
