"""Layer-wise relevance propagation written once more: every unit a list of terms, relevance shared one unit at a time, in float64."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from torch import Tensor

Floats = np.ndarray


@dataclass
class Sums:
    """Units that are weighted sums: of which inputs, with which weights, and a bias."""

    inputs: list[Floats]
    weights: list[Floats]
    biases: list[float]
    shape: tuple[int, ...]

    def values(self, x: Floats) -> Floats:
        return np.array([float((x[i] * w).sum()) + b for i, w, b in zip(self.inputs, self.weights, self.biases, strict=True)])


@dataclass
class Winners:
    """Units that are the largest of their inputs."""

    inputs: list[Floats]
    shape: tuple[int, ...]


class Rectified:
    """Units that are their input, where it is positive."""


Step = Sums | Winners | Rectified


def convolution(weight: Tensor, bias: Tensor, stride: int, padding: int, shape: tuple[int, ...]) -> Sums:
    """The units of a convolution over [channels, height, width]."""
    kernel, shift = weight.double().numpy(), bias.double().numpy()
    channels, height, width = shape
    out, _, tall, wide = kernel.shape
    rows, columns = (height + 2 * padding - tall) // stride + 1, (width + 2 * padding - wide) // stride + 1
    found = Sums([], [], [], (out, rows, columns))
    for o in range(out):
        for row in range(rows):
            for column in range(columns):
                places, weights = [], []
                for c in range(channels):
                    for u in range(tall):
                        for v in range(wide):
                            y, x = row * stride + u - padding, column * stride + v - padding
                            if 0 <= y < height and 0 <= x < width:
                                places.append((c * height + y) * width + x)
                                weights.append(kernel[o, c, u, v])
                found.inputs.append(np.array(places))
                found.weights.append(np.array(weights))
                found.biases.append(float(shift[o]))
    return found


def linear(weight: Tensor, bias: Tensor) -> Sums:
    rows = weight.double().numpy()
    return Sums([np.arange(rows.shape[1])] * len(rows), list(rows), bias.double().tolist(), (len(rows),))


def largest(size: int, shape: tuple[int, ...]) -> Winners:
    """Max-pooling of ``size`` without overlap."""
    channels, height, width = shape
    found = Winners([], (channels, height // size, width // size))
    for c in range(channels):
        for row in range(height // size):
            for column in range(width // size):
                places = [(c * height + row * size + u) * width + column * size + v for u in range(size) for v in range(size)]
                found.inputs.append(np.array(places))
    return found


def forward(steps: list[Step], x: Floats) -> list[Floats]:
    """The input of every step, and the output of the last."""
    seen = [x]
    for step in steps:
        if isinstance(step, Sums):
            seen.append(step.values(seen[-1]))
        elif isinstance(step, Winners):
            seen.append(np.array([seen[-1][places].max() for places in step.inputs]))
        else:
            seen.append(np.maximum(seen[-1], 0))
    return seen


def shares(rule: str, x: Floats, w: Floats, bias: float, amount: float, size: float, low: Floats, high: Floats) -> Floats:
    """What part of a unit's relevance each of its inputs gets."""
    terms = x * w
    z = float(terms.sum()) + bias
    up, down = terms.clip(min=0), terms.clip(max=0)
    if rule == "epsilon":
        return terms / (z + amount * size * math.copysign(1, z)) if z else np.zeros_like(terms)
    if rule == "gamma":
        part, own = (up, max(bias, 0.0)) if z >= 0 else (down, min(bias, 0.0))
        below = z + amount * (float(part.sum()) + own)
        return (terms + amount * part) / below if below else np.zeros_like(terms)
    if rule == "alpha-beta":
        raised, lowered = float(up.sum()) + max(bias, 0.0), float(down.sum()) + min(bias, 0.0)
        if amount == 1 or not lowered:
            return up / raised if raised else np.zeros_like(terms)
        if not raised:
            return down / lowered
        return amount * up / raised - (amount - 1) * down / lowered
    if rule == "positive":
        return up / up.sum() if up.sum() else np.zeros_like(terms)
    line = {"box": terms - low * w.clip(min=0) - high * w.clip(max=0), "w-square": w**2, "flat": np.ones_like(w)}[rule]
    return line / line.sum()


def relevance(
    steps: list[Step], x: Floats, target: int, rules: list[tuple[str, float]], low: Floats | None = None, high: Floats | None = None
) -> Floats:
    """Relevance of the inputs for output ``target``; ``rules`` name one rule and its amount for every step that is a sum, in order."""
    seen = forward(steps, x)
    found = np.zeros(len(seen[-1]))
    found[target] = seen[-1][target]
    left = list(rules)
    for number in range(len(steps) - 1, -1, -1):
        step, given, values = steps[number], seen[number], seen[number + 1]
        if isinstance(step, Rectified):
            continue  # what a unit has it hands on
        below = np.zeros(len(given))
        if isinstance(step, Winners):
            for unit, places in enumerate(step.inputs):
                below[places[given[places].argmax()]] += found[unit]
        else:
            rule, amount = left.pop()
            size = float(np.sqrt((values**2).mean()))
            edge = (np.zeros(len(given)), np.zeros(len(given))) if low is None or high is None else (low, high)
            for unit, (places, weights) in enumerate(zip(step.inputs, step.weights, strict=True)):
                part = shares(rule, given[places], weights, step.biases[unit], amount, size, *(e[places % len(e)] for e in edge))
                below[places] += part * found[unit]
        found = below
    return found
