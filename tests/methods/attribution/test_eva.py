"""EVA: no input of the box exceeds a bound, whoever looks for it; bounds of affine networks are their maxima."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from microtome.core.errors import InvalidInput
from microtome.methods.attribution.bounds import Bounds, Box, Intervals, upper_bounds
from microtome.methods.attribution.eva import Params, boxes_of, eva, goals_of, surroundings
from microtome.methods.attribution.explain import Call
from microtome.methods.attribution.features import squares
from microtome.methods.attribution.target import Target, every_number
from microtome.probes import Example
from tests import micro
from tests.methods.attribution import nets
from tests.methods.attribution.calls import RUN, call_of, close, explained


class Affine(nn.Module):
    """Convolution, batch norm, a sum of branches, pooling, a mean: affine, though not one layer."""

    def __init__(self) -> None:
        super().__init__()
        twin = nets.Modules()
        self.one, self.two, self.norm, self.head = twin.one, twin.two, twin.norm, twin.head
        nn.init.uniform_(self.norm.weight, -1, 1)  # type: ignore[arg-type]
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.one(x))
        y = (self.two(x) - 0.5 * x).add_(x)
        y = nn.functional.avg_pool2d(y, 2).permute(0, 2, 3, 1).mean((1, 2))
        return self.head(self.drop(y.reshape(len(y), -1)))  # type: ignore[no-any-return]


class Bent(nn.Module):
    """Rectifiers with and without a ceiling, and overlapping maxima with a border, dilation and sizes rounded up."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.head = nn.Conv2d(3, 5, 5, stride=4), nn.Conv2d(5, 4, 3), nn.Linear(4 * 4 * 4, 3)
        self.pool = nn.MaxPool2d(3, 2, padding=1, ceil_mode=True)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.hardtanh(self.pool(self.one(x)), -0.2, 0.3)
        x = nn.functional.relu6(nn.functional.pad(self.two(x), (0, 1, 0, 1)), inplace=True)
        x = nn.functional.max_pool2d(x, 2, 1, dilation=2)
        return self.head(nn.functional.adaptive_avg_pool2d(x, 4).flatten(1))  # type: ignore[no-any-return]


def made(kind: str) -> Any:
    torch.manual_seed(1)
    if kind in ("resnet", "mobilenet"):
        return micro.load(kind)
    return nets.twins()[1] if kind == "in place" else nets.as_model({"affine": Affine, "bent": Bent, "modules": nets.Modules}[kind]())


def bounded(call: Call, goals: Sequence[Target], radius: float, count: int = 4) -> tuple[Box, Tensor]:
    low, high = surroundings(call, 0, radius)
    boxes = boxes_of(call.inputs[0], low, high, torch.from_numpy(squares(64, 64, count)))
    return boxes, upper_bounds(call.model, boxes, goals)


def worst_found(call: Call, box: Box, goal: Target) -> Tensor:
    """[B]: the largest value found in every box, at points drawn within, at corners, and by small steps uphill."""
    generator = torch.Generator().manual_seed(7)
    best = torch.full((len(box.low),), -torch.inf)
    for start in range(6):
        part = torch.rand(box.low.shape, generator=generator)
        x = torch.lerp(box.low, box.high, part.round() if start % 2 else part)
        for _ in range(6):
            leaf = x.detach().requires_grad_(True)
            value = every_number(call.model, leaf, [goal])[:, 0]
            best = torch.maximum(best, value.detach())
            slope = torch.autograd.grad(value.sum(), leaf)[0]
            x = torch.clamp(x + slope.sign() * (box.high - box.low) / 3, box.low, box.high)
    return best


@pytest.mark.parametrize("kind", ["modules", "in place", "bent", "affine", "resnet"])
@pytest.mark.parametrize("radius", [0.002, 0.05])
def test_nothing_in_the_box_exceeds_the_bound(kind: str, radius: float) -> None:
    call = call_of(made(kind), [1, {"minus": [2, 0]}])
    layer = next(name for name in call.model.layers if call.model.layers[name].height > 1)
    units = call_of(call.model, [{"layer": layer, "unit": 2}, {"layer": layer, "weights": {"0": 1.0, "1": -2.0}, "site": [3, 2]}])
    both = Call(call.model, call.inputs[:1].expand(4, -1, -1, -1), [*call.targets, *units.targets], RUN, 0)
    logits = call.model.forward(call.inputs[:1])[0]
    goals = [goal for row in range(4) for goal in goals_of(both, row, logits, 5)]
    assert len(goals) == 2 + 1 + 2
    boxes, found = bounded(both, goals, radius)
    for place, goal in enumerate(goals):
        worst = worst_found(both, boxes, goal)
        start = every_number(call.model, call.inputs[:1], [goal])[0, 0]
        assert float(worst[0]) > float(start), "a search that finds nothing proves nothing"
        assert bool((found[:, place] >= worst - 1e-5 * (1 + worst.abs())).all())


def affine_maximum(call: Call, box: Box, goal: Target) -> Tensor:
    """What a network that is affine in the box reaches there: at each pixel the end that its slope points to."""
    leaf = box.image[None].clone().requires_grad_(True)
    value = every_number(call.model, leaf, [goal])[0, 0]
    slope = torch.autograd.grad(value, leaf)[0]
    ends = torch.where(slope > 0, box.high, box.low) - box.image
    return value.detach().double() + (slope * ends).double().flatten(1).sum(1)


@pytest.mark.parametrize(("kind", "radius"), [("affine", 0.1), ("affine", 0.003), ("modules", 1e-6), ("bent", 1e-6), ("in place", 1e-6)])
def test_where_the_network_is_affine_the_bound_is_its_maximum(kind: str, radius: float) -> None:
    """The others are affine where the radius is so small that no rectifier changes sides (all but a few are decided)."""
    call = call_of(made(kind), [1])
    goals = goals_of(call, 0, call.model.forward(call.inputs)[0], 5)
    boxes, found = bounded(call, goals, radius)
    for place, goal in enumerate(goals):
        wanted = affine_maximum(call, boxes, goal)
        start = every_number(call.model, call.inputs[:1], [goal])[0, 0].double()
        assert float((wanted - start).min()) > 0
        close(found[:, place] - start, wanted - start, 1e-4 if kind == "affine" else 0.25)


def test_the_map_of_an_affine_network_is_known_and_its_bound_is_reached() -> None:
    call = call_of(made("affine"), [1, {"minus": [1, 0]}])
    answer = eva.explain(call, Params(radius=0.02, count=9))  # type: ignore[misc]
    places = torch.from_numpy(squares(64, 64, 9))
    low, high = surroundings(call, 0, 0.02)
    boxes = boxes_of(call.inputs[0], low, high, places)
    for row in range(2):
        goals = goals_of(call, row, call.model.forward(call.inputs[:1])[0], 12)
        worst = torch.stack([affine_maximum(call, boxes, goal) for goal in goals]).amax(0)
        close(answer.maps[row], (worst[0] - worst[1:])[places], 1e-4)
        assert answer.facts["bound"][row] == pytest.approx(float(worst[0]), rel=1e-4)  # type: ignore[index]
        assert answer.facts["reached by search"][row] == pytest.approx(float(worst[0]), rel=1e-4)  # type: ignore[index]
    assert answer.facts["vacuous"] == ["no", "no"]
    assert "vacuous" not in answer.note


def test_boxes_hold_colours_only_and_the_image_itself() -> None:
    """White may only become darker; an input beyond white stays where it is."""
    white = Example(np.full((64, 64, 3), 255, np.uint8), None, "white")
    call = call_of("resnet", [0], image=white)
    low, high = surroundings(call, 0, 0.1)
    torch.testing.assert_close(high, call.inputs[0], rtol=1e-5, atol=1e-5)
    std = torch.tensor(call.model.preprocess.std).view(-1, 1, 1)
    torch.testing.assert_close((call.inputs[0] - low) * std, torch.full_like(low, 0.1), rtol=1e-3, atol=1e-4)
    beyond = Call(call.model, call.inputs + 1, call.targets, RUN, 0)
    low, high = surroundings(beyond, 0, 0.1)
    assert bool((low <= beyond.inputs[0]).all() and (high >= beyond.inputs[0]).all())


def test_the_cell_that_alone_matters_is_found() -> None:
    network = nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(3 * 16 * 16, 8), nn.ReLU(), nn.Linear(8, 3))
    torch.manual_seed(2)
    weight = torch.zeros(8, 3, 16, 16)
    weight[:, :, 4:8, 8:12] = torch.randn(8, 3, 4, 4)  # row 1, column 2 of 4 x 4 cells
    network[2].weight.data = weight.flatten(1)
    answer = explained(eva, Params(radius=0.01, count=16), nets.as_model(network), [1])
    found = answer.maps[0]
    assert float(found[16:32, 32:48].min()) > 0
    assert float(found[16:32, 32:48].min()) == float(found.max())
    outside = found.clone()
    outside[16:32, 32:48] = 0
    assert float(outside.max()) <= 1e-5 * float(found.max())


def test_a_deep_network_at_a_large_radius_is_called_vacuous_and_a_small_one_is_not() -> None:
    deep = explained(eva, Params(radius=0.02, count=4), "resnet", [1])
    assert deep.facts["vacuous"] == ["yes"]
    assert "vacuous" in deep.note
    small = explained(eva, Params(radius=0.002, count=4), nets.modules(), [1])
    assert small.facts["vacuous"] == ["no"]
    value, bound, worst = (small.facts[k][0] for k in ("value", "bound", "reached by search"))  # type: ignore[index]
    assert value < worst <= bound


def test_images_and_targets_stay_apart() -> None:
    model = made("modules")
    one, other = call_of(model, [0, {"minus": [1, 2]}]), call_of(model, [2], seed=0, image=micro.probe().example(2))
    params = Params(radius=0.01, count=9)
    together = Call(model, torch.cat([one.inputs, other.inputs]), [*one.targets, *other.targets], RUN, 0)
    found = eva.explain(together, params)  # type: ignore[misc]
    close(found.maps[:2], eva.explain(one, params).maps, 1e-4)  # type: ignore[misc]
    close(found.maps[2], eva.explain(other, params).maps[0], 1e-4)  # type: ignore[misc]


@pytest.mark.parametrize(("family", "name"), [("vit", "layer_norm"), ("convnext", "layer_norm|permute|gelu")])
def test_networks_with_other_functions_are_refused_by_name(family: str, name: str) -> None:
    with pytest.raises(InvalidInput, match=name) as caught:
        explained(eva, Params(count=4), family)
    assert caught.value.field == "model"


@pytest.mark.parametrize(
    "function",
    [
        torch.sigmoid, lambda x: x * x, lambda x: x.mean(), lambda x: x.mean((0, 2)), lambda x: x.permute(1, 0, 2, 3),
        lambda x: x.flatten(0, 1), lambda x: x.view(-1), lambda x: torch.cat([x, x]),
        lambda x: torch.add(x, x, alpha=2), lambda x: x.T, lambda x: x[:, 0],
        lambda x: x / x, lambda x: nn.functional.dropout(x, 0.5, training=True), lambda x: torch.zeros_like(x), lambda x: (x > 0).any(),
        lambda x: torch.zeros(2, 3, 4, 4).add_(x), lambda x: nn.functional.batch_norm(x, None, None, training=True), torch.detach,
    ],
)  # fmt: skip
def test_what_is_not_known_is_refused(function: Any) -> None:
    with pytest.raises(InvalidInput) as caught, Intervals():
        function(torch.randn(2, 3, 4, 4).as_subclass(Bounds))
    assert caught.value.field == "model"


def test_a_likeness_is_refused() -> None:
    model = micro.load("resnet")
    call = call_of(model, [{"like": "upload:0123456789", "example": micro.probe().example(1)}])
    with pytest.raises(InvalidInput, match="no weighted sum") as caught:
        eva.explain(call, Params(count=4))  # type: ignore[misc]
    assert caught.value.field == "targets"
