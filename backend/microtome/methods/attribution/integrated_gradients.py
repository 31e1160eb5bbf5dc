"""Integrated gradients."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from microtome.methods.attribution.baseline import Baseline, baseline_input
from microtome.methods.attribution.explain import FORWARD_BATCH, Attribution, Call, ExplainParams, attribution, portions
from microtome.methods.attribution.gradient import sampled_gradients
from microtome.methods.attribution.target import numbers
from microtome.methods.contract import Cost

#: The steps double until the gap is at most one per cent of the difference explained, or a thousandth of a logit.
_RELATIVE, _ABSOLUTE = 0.01, 1e-3

Quadrature = Literal["gausslegendre", "riemann_middle"]


class Params(ExplainParams):
    baseline: Baseline = Field("black", description="Image that stands for 'nothing': black, white, the mean colour, blurred, or noise.")
    more_baselines: list[Baseline] = Field([], max_length=4, description="More of them; the map is the mean over all baselines.")
    quadrature: Quadrature = Field("gausslegendre", description="Rule of the path integral.")
    steps: int = Field(32, ge=2, le=2048, description="Steps to begin with, for each baseline; doubled until the map adds up.")
    max_steps: int = Field(256, ge=2, le=4096, description="Where doubling stops.")


def path_rule(rule: Quadrature, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions in [0, 1] and weights, float64 [steps]."""
    if rule == "gausslegendre":
        nodes, weights = np.polynomial.legendre.leggauss(steps)
        return (nodes + 1) / 2, weights / 2
    return (np.arange(steps) + 0.5) / steps, np.full(steps, 1 / steps)


def integrate(call: Call, rows: list[int], baselines: Tensor, rule: Quadrature, steps: int) -> Tensor:
    """float64 [len(rows), 3, H, W]: (input - baseline) times the path integral of the gradient (equation 1), mean over baselines.

    Args:
        baselines: [baselines, B, 3, H, W], one image for every baseline and row of the call.
    """
    positions, weights = path_rule(rule, steps)
    at = torch.tensor(positions, dtype=torch.float32, device=call.inputs.device).view(-1, 1, 1, 1)
    total = torch.zeros(len(rows), *call.inputs.shape[1:], dtype=torch.float64, device=call.inputs.device)
    for base in baselines:
        difference = call.inputs - base

        def points(own: Tensor, sample: Tensor, base: Tensor = base, difference: Tensor = difference) -> Tensor:
            return torch.addcmul(base[own], at[sample], difference[own])

        total += sampled_gradients(call, rows, steps, points, weights=torch.tensor(weights)) * difference[rows].double()
    return total / len(baselines)


def outputs(call: Call, inputs: Tensor) -> Tensor:
    """[B]: the targets' numbers at other inputs of the same shape."""
    parts = []
    for start, end in portions(len(inputs), FORWARD_BATCH):
        call.run.check()
        with torch.inference_mode():
            parts.append(numbers(call.model, inputs[start:end], call.targets[start:end]))
    return torch.cat(parts).double()


@attribution(
    "integrated-gradients",
    title="Integrated Gradients",
    params=Params,
    example_params=Params(steps=4, max_steps=8),
    cite="Sundararajan, Taly, Yan 2017, arXiv:1703.01365",
    quantity="{} per pixel",
    cost=Cost(passes=3.0, times="steps"),
    passes=lambda p: 3.0 * p.steps * (1 + len(set(p.more_baselines) - {p.baseline})),
)
def integrated_gradients(call: Call, params: Params) -> Attribution:
    """Gradient of the target, integrated from a baseline to the image, times their difference; summed over colours.

    Completeness: the map adds up to the target's difference between image and baseline. The steps double, up to a cap, until
    the gap is at most one per cent of it or 1e-3; what is left is reported with the map.

    Formula:
        `map_i = (x_i - b_i) * integral over a in [0, 1] of df(b + a (x - b)) / dx_i`, summed over the three colours, by
        Gauss-Legendre or the midpoint rule. With several baselines: the mean of their maps.

    Known failures:
        The map depends on the baseline: a pixel that equals it gets nothing, whatever it means. Gradients along the path are
        noisy far from the data, so single pixels say little; look at regions. In deep networks with shattered gradients the
        steps reach their cap before the map adds up: the gap says so.
    """
    names = list(dict.fromkeys([params.baseline, *params.more_baselines]))
    baselines = torch.stack([baseline_input(call.model, call.inputs, name, call.seed) for name in names])
    start = torch.stack([outputs(call, base) for base in baselines]).mean(0)
    expected = (outputs(call, call.inputs) - start).tolist()
    maps = torch.zeros(len(expected), *call.inputs.shape[2:], dtype=torch.float64, device=call.inputs.device)
    completeness: list[dict[str, float]] = [{} for _ in expected]
    steps, rows = params.steps, list(range(len(expected)))
    while rows:
        found = integrate(call, rows, baselines, params.quadrature, steps).sum(1)
        for place, row in enumerate(rows):
            total = float(found[place].sum())
            maps[row] = found[place]
            gap = abs(total - expected[row])
            completeness[row] = {"total": total, "expected": expected[row], "gap": gap, "steps": float(steps)}
        steps *= 2
        rows = [r for r in rows if completeness[r]["gap"] > max(_RELATIVE * abs(expected[r]), _ABSOLUTE) and steps <= params.max_steps]
    note = f"Baseline: {names[0]}." if len(names) == 1 else f"Mean over the baselines {', '.join(names)}."
    return Attribution(maps.float(), completeness, {"baseline": ", ".join(names)}, note)
