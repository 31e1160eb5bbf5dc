"""Masks of a given area: the smooth mask operator and the area constraint of extremal perturbations."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

#: Cells around a pixel's own that reach it, temperature of the smooth maximum, and the weight of the area at the first and last step.
_REACH, _TEMPERATURE, _WEIGHT = 2, 1 / 20, (10.0, 300.0)
_RATE = 0.05

#: ``masks [n, ...] in 0 to 1 -> [n]``: what is made as large as possible, differentiable in the masks.
Reward = Callable[[Tensor], Tensor]


class SmoothMask:
    """``m(u) = smooth maximum over cells v of k(u - v) c(v)``: masks [n, H, W] of cells [n, g, g], both in 0 to 1.

    ``k(d) = exp(-2 max(d - 1/2, 0)^2)`` at a distance of ``d`` cells: no mask changes faster than the kernel does, however its cells
    change. The smooth maximum is ``sum f exp(f / T) / sum exp(f / T)``.
    """

    def __init__(self, grid: int, size: tuple[int, int], device: torch.device) -> None:
        self.grid, self.size = grid, size
        lines = []
        for side in size:
            at = (torch.arange(side, device=device) + 0.5) * grid / side - 0.5  # in cells
            own = torch.arange(side, device=device) * grid // side  # as in nearest-neighbour enlargement
            near = own[None] + torch.arange(-_REACH, _REACH + 1, device=device)[:, None]
            lines.append(torch.where((near >= 0) & (near < grid), at - near, torch.inf))
        away = (lines[0].square()[:, None, :, None] + lines[1].square()[None, :, None, :]).sqrt().flatten(0, 1)
        self.kernel = torch.exp(-2 * (away - 0.5).clamp(min=0).square())  # [cells that reach a pixel, H, W]

    def __call__(self, cells: Tensor) -> Tensor:
        padded = torch.nn.functional.pad(cells[:, None], [_REACH] * 4)
        near = torch.nn.functional.unfold(padded, 2 * _REACH + 1).view(len(cells), -1, self.grid, self.grid)
        values = torch.nn.functional.interpolate(near, self.size, mode="nearest") * self.kernel
        return ((values / _TEMPERATURE).softmax(1) * values).sum(1).clamp(0, 1)


def area_loss(masks: Tensor, areas: Tensor) -> Tensor:
    """[n]: mean squared distance of each mask's sorted values from so many ones (the share ``areas`` [n]) and zeros else.

    Zero for a mask of zeros and ones of that area (section 3.2 of the paper). Equal values are asked for the same, the mean of what
    their places ask for: otherwise the order of the sort, and not the reward, would say which of them become ones.
    """
    ordered = masks.flatten(1).sort(1, descending=True).values
    count = ordered.shape[1]
    places = (torch.arange(count, device=masks.device) + 0.5) / count
    wanted = (places[None] < areas[:, None]).to(ordered)
    with torch.no_grad():
        rises = torch.ones_like(ordered, dtype=torch.bool)
        rises[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
        level = rises.flatten().cumsum(0) - 1  # a row's first value always rises, so no two rows share a level
        sums = torch.zeros(int(level[-1]) + 1, device=masks.device).index_add_(0, level, wanted.flatten())
        wanted = (sums / torch.bincount(level))[level].view_as(ordered)
    return (ordered - wanted).square().mean(1)


def fitted(
    start: Tensor, areas: Tensor, smooth: Callable[[Tensor], Tensor], reward: Reward, steps: int, check: Callable[[int], None]
) -> Tensor:
    """Masks [n, ...] of the areas [n] with the largest reward, each by itself; the weight of the area grows geometrically.

    Adam on the cells, which are kept in 0 to 1; nothing is drawn.
    """
    cells = start.clone().requires_grad_(True)
    optimiser = torch.optim.Adam([cells], lr=_RATE)
    for step in range(steps):
        check(step)
        with torch.enable_grad():
            masks = smooth(cells)
            weight = _WEIGHT[0] * (_WEIGHT[1] / _WEIGHT[0]) ** (step / max(steps - 1, 1))
            loss = weight * area_loss(masks, areas) - reward(masks)
            (cells.grad,) = torch.autograd.grad(loss.sum(), cells)
        optimiser.step()
        with torch.no_grad():
            cells.clamp_(0, 1)
    with torch.no_grad():
        return smooth(cells).detach()
