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


def smoothgrad(
    inputs: torch.Tensor, logit_of: Callable[[torch.Tensor], torch.Tensor], noise: list[torch.Tensor], share: float, average: str
) -> np.ndarray:
    """Gradients at one noisy image after another; magnitudes summed over colours at the end."""
    spread = share * float(inputs[0].max() - inputs[0].min())
    gradients = []
    for draw in noise:
        leaf = (inputs[:1] + spread * draw).requires_grad_(True)
        gradients.append(torch.autograd.grad(logit_of(leaf), leaf)[0][0].double().numpy())
    stack = np.stack(gradients)
    out = {"gradient": stack.mean(0), "square": (stack**2).mean(0), "variance": stack.var(0)}[average]
    return np.abs(out).sum(0)


def gradient_shap(
    inputs: torch.Tensor, logit_of: Callable[[torch.Tensor], torch.Tensor], bases: torch.Tensor, at: torch.Tensor,
    noise: list[torch.Tensor], share: float,
) -> np.ndarray:  # fmt: skip
    """One sample after another: baselines in turn, each with its own noise and place."""
    spread = share * float(inputs[0].max() - inputs[0].min())
    total = np.zeros(tuple(inputs.shape[2:]))
    for k, draw in enumerate(noise):
        end, base = inputs[:1] + spread * draw, bases[k % len(bases)]
        leaf = (base + at[k] * (end - base)).requires_grad_(True)
        gradient = torch.autograd.grad(logit_of(leaf), leaf)[0]
        total += ((end - base) * gradient)[0].sum(0).double().numpy() / len(noise)
    return total


def fullgrad(network: torch.nn.Module, inputs: torch.Tensor, target: int, size: tuple[int, int]) -> np.ndarray:
    """FullGrad without rescaling of a network of modules, by giving every bias a copy per site and differentiating by it."""
    terms: list[tuple[torch.Tensor, torch.Tensor]] = []

    def spread(module: torch.nn.Module, _: object, out: torch.Tensor) -> torch.Tensor:
        if isinstance(module, torch.nn.BatchNorm2d):
            bias = module.bias - module.running_mean / torch.sqrt(module.running_var + module.eps) * module.weight
        else:
            bias = module.bias
        copy = bias.detach().view(1, -1, 1, 1).expand_as(out).clone().requires_grad_(True)
        terms.append((copy, out))
        return out - copy.detach() + copy

    kinds = (torch.nn.Conv2d, torch.nn.BatchNorm2d)
    handles = [m.register_forward_hook(spread) for m in network.modules() if isinstance(m, kinds) and m.bias is not None]
    leaf = inputs[:1].clone().requires_grad_(True)
    try:
        logit = network(leaf)[0, target]
    finally:
        for handle in handles:
            handle.remove()
    gradients = torch.autograd.grad(logit, [leaf, *(copy for copy, _ in terms)])
    total = (gradients[0] * leaf)[0].abs().sum(0).detach().double().numpy()
    for gradient, (copy, _) in zip(gradients[1:], terms, strict=True):
        total = total + upsample((gradient * copy)[0].abs().sum(0).detach().double().numpy(), size)
    return total


def cam_weights(name: str, activation: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Weights [K, h, w] of a class activation map from activation and gradient [K, h, w], float64, site by site."""
    units, height, width = activation.shape
    out = np.zeros_like(activation)
    for k in range(units):
        total = sum(activation[k, y, x] for y in range(height) for x in range(width))
        weight = 0.0
        for y in range(height):
            for x in range(width):
                g = gradient[k, y, x]
                if name == "grad-cam":
                    weight += g / (height * width)
                elif name == "xgrad-cam":
                    weight += activation[k, y, x] / total * g if total else 0.0
                elif name == "grad-cam-plus-plus":
                    below = 2 * g**2 + total * g**3
                    weight += (g**2 / below if below else 0.0) * max(g, 0.0)
                elif name == "layer-cam":
                    out[k, y, x] = max(g, 0.0)
        if name != "layer-cam":
            out[k] = weight
    return out


def layer_and_gradient(
    network: torch.nn.Module, module: torch.nn.Module, forward: Callable[[], torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """A module's output and the gradient of ``forward()`` there, by retaining it."""
    kept: list[torch.Tensor] = []

    def hook(_: torch.nn.Module, __: object, output: object) -> None:
        tensor = output[0] if isinstance(output, tuple) else output
        kept.append(tensor)  # type: ignore[arg-type]
        kept[0].requires_grad_(True) if kept[0].is_leaf else kept[0].retain_grad()

    handle = module.register_forward_hook(hook)
    try:
        with torch.enable_grad():
            forward().backward()
    finally:
        handle.remove()
    assert kept[0].grad is not None
    return kept[0].detach(), kept[0].grad
