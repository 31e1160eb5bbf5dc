"""What the tests of faithfulness share: a linear model, calls, explainers of known worth."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from microtome.core.context import SilentContext
from microtome.methods.attribution.baseline import baseline_input
from microtome.methods.attribution.explain import Attribution, Call
from microtome.methods.attribution.target import Target, numbers
from microtome.models.image import ImageModel
from microtome.models.preprocess import Preprocessor
from microtome.probes import Example

SIDE = 16


def linear_model(seed: int = 0) -> ImageModel:
    """Logits linear in the pixels; no identity, so that nothing is kept of it."""
    torch.manual_seed(seed)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * SIDE * SIDE, 3))
    preprocess = Preprocessor(None, SimpleNamespace(image_size=SIDE))
    return ImageModel(
        source="linear", network=network, preprocess=preprocess, classes=["disc", "square", "stripe"], family="linear", hash="", bytes=0,
        config={},
    )  # fmt: skip


def picture(side: int = SIDE, seed: int = 3) -> Example:
    return Example(np.random.default_rng(seed).integers(0, 255, (side, side, 3), np.uint8), None, "noise")


def class_target(model: ImageModel, index: int) -> Target:
    return Target(model.classes[index], None, ((index, 1.0),))


def call_for(model: ImageModel, example: Example, targets: list[Target], seed: int = 0, run: Any = None) -> Call:
    inputs = model.inputs([example.image])
    return Call(model, inputs.expand(len(targets), -1, -1, -1), targets, run or SilentContext(), seed)


def gradients(call: Call, params: Any = None) -> Attribution:
    """Input times gradient, from the blurred image: exact for a linear model."""
    with torch.enable_grad():
        inputs = call.inputs.detach().clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad(numbers(call.model, inputs, call.targets).sum(), inputs)
    fill = baseline_input(call.model, call.inputs, "blur")
    return Attribution(maps=((call.inputs - fill) * gradient).sum(1).detach())


def edges(call: Call, params: Any = None) -> Attribution:
    """How steep the picture is: knows nothing of the model."""
    grey = call.inputs.mean(1)
    return Attribution(maps=torch.hypot(*torch.gradient(grey, dim=(1, 2))))
