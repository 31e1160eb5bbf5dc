"""Calls of attribution methods on micro models, without their evidence."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from microtome.core.context import SilentContext
from microtome.methods.attribution.explain import Attribution, Call
from microtome.methods.attribution.target import resolve
from microtome.probes import Example
from tests import micro

RUN = SilentContext()


def example(seed: int = 0) -> Example:
    image = np.random.default_rng(seed).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    return Example(image, None, "noise")


def call_of(family: Any = "resnet", targets: list[Any] | None = None, *, seed: int = 0, image: Example | None = None) -> Call:
    """A call on one image; ``family`` is that of a micro model, or a model."""
    model = micro.load(family) if isinstance(family, str) else family
    inputs = model.inputs([(image or example()).image])
    chosen = [resolve(model, model.forward(inputs)[0], spec) for spec in (targets or [1])]
    return Call(model, inputs.expand(len(chosen), -1, -1, -1), chosen, RUN, seed)


def explained(spec: Any, params: Any = None, family: Any = "resnet", targets: list[Any] | None = None, **more: Any) -> Attribution:
    return spec.explain(call_of(family, targets, **more), params or spec.params())  # type: ignore[no-any-return]


def maps(spec: Any, params: Any = None, family: Any = "resnet", targets: list[Any] | None = None, **more: Any) -> np.ndarray:
    return explained(spec, params, family, targets, **more).maps.detach().numpy()


def close(ours: Any, theirs: Any, tolerance: float) -> None:
    """The largest difference, in parts of the largest value of ``theirs``."""
    ours, theirs = torch.as_tensor(np.asarray(ours)).double(), torch.as_tensor(np.asarray(theirs)).double()
    scale = float(theirs.abs().max())
    assert scale > 0, "an oracle of zeros proves nothing"
    assert float((ours - theirs).abs().max()) <= tolerance * scale
