"""Targets: what number of a model is explained."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from microtome.core.errors import InvalidInput, NotFound
from microtome.methods.attribution.target import every_number, numbers, resolve, targets_of
from tests import micro
from tests.methods.attribution.calls import example

SPECS: list[Any] = [
    2, {"minus": [0, 2]}, {"layer": "LAYER", "unit": 3}, {"layer": "LAYER", "unit": 3, "site": [1, 2]},
    {"layer": "LAYER", "weights": {"1": 0.5, "4": -2.0}},
]  # fmt: skip


def specs(family: str) -> list[Any]:
    name = micro.load(family).default_layers()[1].name
    return [{**s, "layer": name} if isinstance(s, dict) and "layer" in s else s for s in SPECS]


@pytest.mark.parametrize("family", micro.FAMILIES)
def test_numbers_are_what_their_names_say(family: str) -> None:
    model = micro.load(family)
    inputs = model.inputs([example(i).image for i in range(5)])
    layer = model.default_layers()[1]
    with torch.inference_mode(), model.record([layer]) as recorded:
        logits = model.forward(inputs)
    maps = layer.canonical(recorded[layer.name])
    wanted = torch.stack([
        logits[:, 2], logits[:, 0] - logits[:, 2], maps[:, 3].mean((1, 2)), maps[:, 3, 1, 2],
        0.5 * maps[:, 1].mean((1, 2)) - 2 * maps[:, 4].mean((1, 2)),
    ], 1)  # fmt: skip
    targets = [resolve(model, logits[0], s) for s in specs(family)]
    with torch.inference_mode():
        torch.testing.assert_close(every_number(model, inputs, targets), wanted)
        # row i is target i of input i, in any order and with repetitions
        order = [4, 0, 2, 0, 3]
        found = numbers(model, inputs, [targets[i] for i in order])
    torch.testing.assert_close(found, wanted[range(5), order])


def test_gradients_flow_from_every_kind() -> None:
    model = micro.load("resnet")
    inputs = model.inputs([example().image])
    for spec in specs("resnet"):
        leaf = inputs.clone().requires_grad_(True)
        with torch.enable_grad():
            numbers(model, leaf, [resolve(model, torch.zeros(3), spec)]).sum().backward()
        assert leaf.grad is not None
        assert leaf.grad.any()


def test_names_and_the_predicted_class() -> None:
    model = micro.load("resnet")
    inputs = model.inputs([example().image])
    names = [t.name for t in targets_of(model, inputs, specs("resnet"))]
    assert names == ["stripe", "disc - stripe", "stage1.0 / 3", "stage1.0 / 3 at 1, 2", "stage1.0 / direction of 2 units"]
    (predicted,) = targets_of(model, inputs, None)
    assert predicted.index == int(model.forward(inputs)[0].argmax())
    assert len(targets_of(model, inputs, [1, 1, 2])) == 2
    assert [t.index for t in targets_of(model, inputs, specs("resnet"))] == [2, None, None, None, None]


@pytest.mark.parametrize(
    ("spec", "error", "text"),
    [
        (7, InvalidInput, "0 to 2"),
        ({"minus": [1, 1]}, InvalidInput, "itself"),
        ({"layer": "nowhere", "unit": 0}, NotFound, "no layer"),
        ({"layer": "stage1.0", "unit": 8}, InvalidInput, "0 to 7"),
        ({"layer": "stage1.0", "unit": 0, "site": [16, 0]}, InvalidInput, "sites"),
        ({"layer": "stage1.0", "weights": {"3": float("nan")}}, InvalidInput, "finite"),
    ],
)
def test_what_a_model_does_not_have_is_refused_by_name(spec: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        resolve(micro.load("resnet"), torch.zeros(3), spec)


def test_logits_that_are_not_finite_are_refused() -> None:
    model = micro.load("resnet")
    with pytest.raises(InvalidInput, match="not finite"):
        targets_of(model, torch.full((1, 3, 64, 64), float("nan")), None)
