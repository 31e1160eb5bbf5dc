"""Contributions of units: exact where the network is linear behind the unit, and first order elsewhere."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from microtome.core.context import SilentContext
from microtome.methods.attribution.target import targets_of
from microtome.methods.attribution.unit_contributions import Params, contributions, unit_contributions
from tests import micro


def answer(family: str, **given: object) -> dict:
    model, probe = micro.load(family), micro.probe()
    return unit_contributions.function(
        model=model, example=probe.example(1), params=Params(**given.pop("params", {})), run=SilentContext(), **given
    )  # type: ignore[arg-type]


@pytest.mark.parametrize("family", ["resnet", "vit"])
def test_what_is_linear_behind_adds_up_and_is_what_ablation_measures(family: str) -> None:
    """Behind the last spatial maps of a ResNet lie a mean and a linear layer: contributions add up to logit minus bias."""
    model, probe = micro.load(family), micro.probe()
    found = answer(family, targets=[0, 2], params={"units": 200})
    values, measured = found["contributions"].arrays["values"], found["ablation"].arrays["values"]
    last = model.default_layers()[-1]
    at = [i for i, name in enumerate(found["contributions"].rows) if name.rpartition("/")[0] == last.name]
    if family == "resnet":
        assert len(at) == last.units
        with torch.inference_mode():
            logits = model.forward(model.inputs([probe.image(1)]))[0]
        head = next(m for m in reversed(list(model.network.modules())) if isinstance(m, torch.nn.Linear))
        np.testing.assert_allclose(values[at].sum(0), (logits - head.bias)[[0, 2]].numpy(), atol=1e-4)
        np.testing.assert_allclose(values[at], measured[at], atol=1e-4)
    assert found["contributions"].columns == [model.classes[0], model.classes[2]]


@pytest.mark.parametrize("family", ["resnet", "vit"])
def test_first_order_is_the_slope_of_scaling_a_unit(family: str) -> None:
    """dy/dt at t = 1 of the number with the unit's maps multiplied by t, by central differences in float64."""
    model, probe = copy.deepcopy(micro.load(family)), micro.probe()
    inputs = model.inputs([probe.image(2)]).double()
    model.network.double()
    layers = model.default_layers()[:2]
    targets = targets_of(model, inputs, [1])
    found = contributions(model, inputs, targets, layers)[0]

    def scaled(unit: int, factor: float) -> float:
        layer = layers[0]

        def hook(_: object, __: object, output: object) -> object:
            tensor = output[0] if isinstance(output, tuple) else output
            changed = tensor.clone()  # type: ignore[union-attr]
            if layer.layout == "tokens":
                changed[:, layer.special :, unit] *= factor
            else:
                changed[:, unit] *= factor
            return (changed, *output[1:]) if isinstance(output, tuple) else changed

        handle = model.module(layer).register_forward_hook(hook)
        with torch.inference_mode():
            value = float(model.forward(inputs)[0, 1])
        handle.remove()
        return value

    for unit in range(3):
        slope = (scaled(unit, 1 + 1e-4) - scaled(unit, 1 - 1e-4)) / 2e-4
        assert found[unit] == pytest.approx(slope, abs=1e-5)


def test_listed_units_are_the_largest_of_either_sign() -> None:
    found = answer("resnet", params={"units": 5, "measured": False})
    values = found["contributions"].arrays["values"]
    assert values.shape == (5, 1)
    assert "ablation" not in found
    assert (np.diff(np.abs(values[:, 0])) <= 0).all()
