"""Integrated gradients."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from pydantic import Field

from microtome.core.context import RunContext
from microtome.methods.attribution.common import image_map, prepare, resolve_targets
from microtome.methods.contract import Cost, MethodParams, method
from microtome.models.model import Model
from microtome.probes import Example
from microtome.results import ImageMap

_BATCH = 16
#: The steps double until the gap is at most one per cent of the difference explained, or a thousandth of a logit.
_RELATIVE, _ABSOLUTE = 0.01, 1e-3

Quadrature = Literal["gausslegendre", "riemann_middle"]
Baseline = Literal["black", "white", "mean", "blur"]


class Params(MethodParams):
    baseline: Baseline = Field("black", description="Image that stands for 'nothing': black, white, the mean colour, or blurred.")
    quadrature: Quadrature = Field("gausslegendre", description="Rule of the path integral.")
    steps: int = Field(32, ge=2, le=2048, description="Steps to begin with; doubled until the map adds up.")
    max_steps: int = Field(256, ge=2, le=4096, description="Where doubling stops.")


def path_rule(rule: Quadrature, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions in [0, 1] and weights, float64 [steps]."""
    if rule == "gausslegendre":
        nodes, weights = np.polynomial.legendre.leggauss(steps)
        return (nodes + 1) / 2, weights / 2
    return (np.arange(steps) + 0.5) / steps, np.full(steps, 1 / steps)


def baseline_input(model: Model, inputs: torch.Tensor, kind: Baseline) -> torch.Tensor:
    """The baseline in input space, [1, 3, H, W]."""
    mean = torch.tensor(model.preprocess.mean, device=inputs.device).view(1, 3, 1, 1)
    std = torch.tensor(model.preprocess.std, device=inputs.device).view(1, 3, 1, 1)
    if kind == "blur":
        side = max(3, min(inputs.shape[2:]) // 4 | 1)
        sigma = side / 4
        line = torch.exp(-((torch.arange(side, device=inputs.device) - side // 2) ** 2) / (2 * sigma**2))
        line = (line / line.sum()).view(1, 1, 1, -1)
        padded = torch.nn.functional.pad(inputs, [side // 2] * 4, mode="reflect").transpose(0, 1)
        return torch.nn.functional.conv2d(
            torch.nn.functional.conv2d(padded, line), line.transpose(2, 3)
        ).transpose(0, 1)  # fmt: skip
    level = {"black": torch.zeros_like(mean), "white": torch.ones_like(mean), "mean": mean}[kind]
    return ((level - mean) / std).expand_as(inputs).clone()


def integrate(
    model: Model, inputs: torch.Tensor, baseline: torch.Tensor, target: int, rule: Quadrature, steps: int, run: RunContext
) -> torch.Tensor:
    """Attribution [3, H, W]: (input - baseline) times the path integral of the gradient (equation 1)."""
    positions, weights = path_rule(rule, steps)
    total = torch.zeros_like(inputs[0], dtype=torch.float64)
    for start in range(0, steps, _BATCH):
        run.check()
        alpha = torch.tensor(positions[start : start + _BATCH], dtype=torch.float32, device=inputs.device).view(-1, 1, 1, 1)
        weight = torch.tensor(weights[start : start + _BATCH], device=inputs.device).view(-1, 1, 1, 1)
        with torch.enable_grad():
            points = (baseline + alpha * (inputs - baseline)).requires_grad_(True)
            gradient = torch.autograd.grad(model.forward(points)[:, target].sum(), points)[0]
        total += (gradient.double() * weight).sum(0)
    return ((inputs - baseline)[0].double() * total).float()


@method(
    "integrated-gradients",
    title="Integrated Gradients",
    question="Where did the model look?",
    subjects=("model", "example"),
    optional_subjects=("targets",),
    returns=(ImageMap,),
    params=Params,
    example_params=Params(steps=4, max_steps=8),
    interactive=True,
    cite="Sundararajan, Taly, Yan 2017, arXiv:1703.01365",
    cost=Cost(passes=3.0, times="steps"),
)
def integrated_gradients(  # type: ignore[no-untyped-def]
    *, model: Model, example: Example, targets: list[int] | None = None, params: Params, run: RunContext
):
    """Gradient of the class logit, integrated from a baseline to the image, times their difference; summed over colours.

    Completeness: the map adds up to the logit's difference between image and baseline. The steps double, up to a cap, until
    the gap is at most one per cent of it or 1e-3 logits; what is left is reported with the map. Unit: logits per pixel.
    """
    inputs = prepare(model, example)
    chosen, logits = resolve_targets(model, inputs, targets)
    baseline = baseline_input(model, inputs, params.baseline)
    with torch.inference_mode():
        start = model.forward(baseline)[0]
    maps, completeness = [], []
    for number, target in enumerate(chosen):
        expected = float(logits[target] - start[target])
        steps = params.steps
        while True:
            attribution = integrate(model, inputs, baseline, target, params.quadrature, steps, run)
            total = float(attribution.double().sum())
            gap = abs(total - expected)
            if gap <= max(_RELATIVE * abs(expected), _ABSOLUTE) or steps * 2 > params.max_steps:
                break
            steps *= 2
        maps.append(attribution.sum(0))
        completeness.append({"total": total, "expected": expected, "gap": gap, "steps": float(steps)})
        run.progress(number + 1, len(chosen), "classes")
    return {
        "map": image_map(
            model, torch.stack(maps), chosen, logits, title="Integrated gradients", quantity="logits per pixel",
            note=f"Baseline: {params.baseline}.", completeness=completeness,
        )
    }  # fmt: skip
