"""Attribution formulas written once more, with loops and finite differences where the product uses autograd."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch


def grad_cam(activation: torch.Tensor, logit_of: Callable[[torch.Tensor], torch.Tensor], size: tuple[int, int]) -> np.ndarray:
    """Grad-CAM from the activation [1, K, h, w] and the rest of the network as a function of it, in float64, with loops."""
    leaf = activation.detach().clone().requires_grad_(True)
    gradient = torch.autograd.grad(logit_of(leaf), leaf)[0]
    _, maps, height, width = leaf.shape
    alpha = [float(gradient[0, k].double().sum()) / (height * width) for k in range(maps)]
    heat = np.zeros((height, width))
    for k in range(maps):
        heat += alpha[k] * leaf[0, k].detach().double().numpy()
    return upsample(np.maximum(heat, 0), size)


def upsample(small: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bilinear with half-pixel centres, one output position at a time."""
    out = np.zeros(size)
    for y in range(size[0]):
        for x in range(size[1]):
            v = min(max((y + 0.5) * small.shape[0] / size[0] - 0.5, 0), small.shape[0] - 1)
            u = min(max((x + 0.5) * small.shape[1] / size[1] - 0.5, 0), small.shape[1] - 1)
            y0, x0 = int(v), int(u)
            y1, x1 = min(y0 + 1, small.shape[0] - 1), min(x0 + 1, small.shape[1] - 1)
            f, g = v - y0, u - x0
            out[y, x] = (small[y0, x0] * (1 - g) + small[y0, x1] * g) * (1 - f) + (small[y1, x0] * (1 - g) + small[y1, x1] * g) * f
    return out


def occlusion(inputs: torch.Tensor, fill: torch.Tensor, logit_of: Callable[[torch.Tensor], float], window: int, stride: int) -> np.ndarray:
    """Mean fall of the logit over the squares that cover each pixel, one forward pass per square."""
    height, width = inputs.shape[2:]
    whole = logit_of(inputs)
    total, times = np.zeros((height, width)), np.zeros((height, width))
    tops = sorted({min(y, height - window) for y in range(0, height, stride)})
    lefts = sorted({min(x, width - window) for x in range(0, width, stride)})
    for y in tops:
        for x in lefts:
            covered = inputs.clone()
            covered[:, :, y : y + window, x : x + window] = fill[:, :, y : y + window, x : x + window]
            total[y : y + window, x : x + window] += whole - logit_of(covered)
            times[y : y + window, x : x + window] += 1
    return total / times
