"""Targets: what number of a model is explained."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from microtome.core.errors import InvalidInput, NotFound
from microtome.methods.attribution.saliency import saliency
from microtome.methods.attribution.target import every_number, numbers, resolve, targets_of
from tests import micro
from tests.methods.attribution.calls import RUN, example
from tests.methods.attribution.nets import modules

SPECS: list[Any] = [
    2, {"minus": [0, 2]}, {"layer": "LAYER", "unit": 3}, {"layer": "LAYER", "unit": 3, "site": [1, 2]},
    {"layer": "LAYER", "weights": {"1": 0.5, "4": -2.0}}, {"like": "noise:9", "layer": "LAYER", "example": example(9)},
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
    with torch.inference_mode(), model.record([layer]) as recorded:
        model.forward(model.inputs([example(9).image]))
    other = layer.canonical(recorded[layer.name])[0].mean((1, 2))
    ours = maps.mean((2, 3))
    wanted = torch.stack([
        logits[:, 2], logits[:, 0] - logits[:, 2], maps[:, 3].mean((1, 2)), maps[:, 3, 1, 2],
        0.5 * maps[:, 1].mean((1, 2)) - 2 * maps[:, 4].mean((1, 2)), (ours @ other) / (ours.norm(dim=1) * other.norm()),
    ], 1)  # fmt: skip
    targets = [resolve(model, logits[0], s) for s in specs(family)]
    with torch.inference_mode():
        torch.testing.assert_close(every_number(model, inputs, targets), wanted)
        # row i is target i of input i, in any order and with repetitions
        order = [4, 0, 5, 0, 3]
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
    *names, likeness = [t.name for t in targets_of(model, inputs, specs("resnet"))]
    assert names == [
        "stripe",
        "disc - stripe",
        "stage1.0 / 3",
        "stage1.0 / 3 at 1, 2",
        "stage1.0 / direction of 2 units",
    ]
    assert likeness == "like noise/9 at stage1.0"
    (predicted,) = targets_of(model, inputs, None)
    assert predicted.index == int(model.forward(inputs)[0].argmax())
    assert len(targets_of(model, inputs, [1, 1, 2])) == 2
    assert [t.index for t in targets_of(model, inputs, specs("resnet"))] == [2, None, None, None, None, None]


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


def test_an_image_is_most_like_itself_and_the_last_main_layer_says_so() -> None:
    model = micro.load("vit")
    upload = "upload:" + "ab" * 32
    inputs = model.inputs([example(i).image for i in (4, 5)])
    target = resolve(model, torch.zeros(3), {"like": upload, "example": example(4)})
    assert (target.name, target.unit, target.index) == ("like upload abababab", "cosine similarity", None)
    assert target.layer == model.default_layers()[-1]
    same, other = every_number(model, inputs, [target])[:, 0].tolist()
    assert same == pytest.approx(1, abs=1e-5)
    assert -1 <= other < same - 1e-4


def test_references_are_the_same_where_what_they_show_is() -> None:
    model = micro.load("resnet")
    first, again, other = (resolve(model, torch.zeros(3), {"like": "noise:1", "example": example(seed)}) for seed in (1, 1, 2))
    assert first == again != other
    assert len({first, again, other}) == 2
    inputs = model.inputs([example(0).image])
    assert len(targets_of(model, inputs, [{"like": "noise:1", "example": example(seed)} for seed in (1, 1, 2)])) == 2


def test_nothing_is_like_a_layer_that_is_silent() -> None:
    model = modules()
    with torch.no_grad():
        model.network.two.weight.zero_()  # type: ignore[union-attr,operator]
        model.network.two.bias.zero_()  # type: ignore[union-attr,operator]
    with pytest.raises(InvalidInput, match="zero for noise:1") as caught:
        resolve(model, torch.zeros(3), {"like": "noise:1", "layer": "two", "example": example(1)})
    assert caught.value.field == "targets"


def test_a_map_of_likeness_has_its_evidence() -> None:
    found = saliency.function(
        model=micro.load("resnet"), example=example(), targets=[{"like": "noise:3", "example": example(3)}], params=saliency.params(),
        run=RUN,
    )  # fmt: skip
    assert found["map"].targets == ["like noise/3"]  # type: ignore[attr-defined]
    assert found["map"].target_indices == [-1]  # type: ignore[attr-defined]
    scores = {score.name: score for score in found["evidence"].scores}  # type: ignore[attr-defined]
    assert scores["insertion"].unit == "cosine similarity"
    assert scores["insertion"].chance is not None
