"""PatternNet and PatternAttribution against data whose patterns are known, and against explicit loops."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from microtome.core.errors import InvalidInput
from microtome.methods.attribution import patterns as module
from microtome.methods.attribution.explain import BATCH, Call, neighbours_of
from microtome.methods.attribution.pattern_attribution import pattern_attribution
from microtome.methods.attribution.patterns import Patterns, patterns_of
from microtome.methods.attribution.propagation import plan_of
from microtome.models.image import ImageModel
from tests import micro
from tests.methods.attribution.calls import call_of, close
from tests.methods.attribution.nets import as_model, modules

P = pattern_attribution.params


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    module._kept.clear()
    yield
    module._kept.clear()


class Drawn:
    """Images of a set, and how often they were asked for."""

    def __init__(self, images: Tensor) -> None:
        self.images, self.times = images, 0

    def __call__(self, count: int) -> Tensor:
        self.times += 1
        return self.images[:count]


def noise(count: int = 20, seed: int = 5) -> Tensor:
    return torch.randn(count, 3, 64, 64, generator=torch.Generator().manual_seed(seed))


def with_images(family: Any, images: Tensor | None = None, targets: list[Any] | None = None) -> Call:
    return replace(call_of(family, targets), neighbours=Drawn(noise() if images is None else images))


def estimated(call: Call, count: int = 20, estimator: Any = "two-component") -> Patterns:
    return patterns_of(call, count, plan_of(call, "patterns"), estimator, "patterns")


def explain(call: Call, **params: Any) -> Tensor:
    return pattern_attribution.explain(call, P(**{"images": 20, **params})).maps  # type: ignore[misc, no-any-return]


def toy(count: int) -> tuple[Tensor, Tensor]:
    """Images of signal and distractor, as in the paper's toy example: x = a s + d e, of which the weights see only s."""
    signal, distractor = torch.tensor([1.0, -0.5, 2.0]), torch.tensor([2.0, 2.0, 0.0])
    s, e = noise(count)[:, :1], noise(count, 6)[:, :1]
    e = e - (e * s).sum() / (s * s).sum() * s  # without chance correlation the estimate is exact
    s, e = s - s.mean(), e - e.mean()
    e = e - (e * s).sum() / (s * s).sum() * s
    return signal, signal.view(1, 3, 1, 1) * s + distractor.view(1, 3, 1, 1) * e


def test_a_pattern_is_the_signal_where_the_weights_cancel_a_distractor() -> None:
    network = nn.Sequential(nn.Conv2d(3, 1, 1), nn.AdaptiveAvgPool2d(1), nn.ReLU(), nn.Flatten(), nn.Linear(1, 3))
    weight = torch.tensor([0.2, -0.2, 0.35])  # times the signal 1, times the distractor 0
    network[0].weight.data = weight.view(1, 3, 1, 1)
    call = call_of(as_model(network))
    signal, images = toy(20)
    call = replace(call, neighbours=Drawn(images))
    found = estimated(call, estimator="linear").of[0].flatten()
    torch.testing.assert_close(found, signal, rtol=1e-4, atol=1e-4)
    assert float((found * weight).sum()) == pytest.approx(1, rel=1e-5)


def loops(network: nn.Sequential, images: Tensor, *, positive: bool) -> list[np.ndarray]:
    """Patterns of convolution and linear layer, from patches cut out one by one, in float64."""
    conv, head = network[0], network[3]
    assert isinstance(conv, nn.Conv2d)
    assert isinstance(head, nn.Linear)
    with torch.no_grad():
        after = torch.relu(conv(images))
    rows = []
    for image in nn.functional.pad(images, [1] * 4).double().numpy():
        rows += [image[:, y : y + 5, x : x + 5].ravel() for y in range(0, 61, 6) for x in range(0, 61, 6)]
    found = []
    for x, layer, rectified in ((np.array(rows), conv, positive), (after.flatten(1).double().numpy(), head, False)):
        w, bias = layer.weight.detach().double().flatten(1).numpy(), layer.bias.detach().double().numpy()  # type: ignore[union-attr]
        patterns = []
        for unit in range(len(w)):
            y = x @ w[unit]
            seen = y + bias[unit] > 0 if rectified else np.ones(len(y), bool)
            moving = (x[seen] * y[seen, None]).mean(0) - x[seen].mean(0) * y.mean()
            patterns.append(moving / (w[unit] @ moving))
        found.append(np.array(patterns).reshape(layer.weight.shape))
    return found


def small(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 5, stride=6, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(484, 3)).eval()


@pytest.mark.parametrize("estimator", ["two-component", "linear"])
@pytest.mark.parametrize("shows", ["attribution", "signal"])
def test_patterns_and_maps_are_what_loops_give(estimator: str, shows: str) -> None:
    network = small()
    call = with_images(as_model(network), targets=[0, 2])
    wanted = loops(network, noise(), positive=estimator == "two-component")
    found = estimated(call, estimator=estimator)
    assert found.without == 0
    assert found.units == 7
    for place, pattern in enumerate(wanted):
        close(found.of[place], pattern, 1e-3)
    ours = explain(call, estimator=estimator, shows=shows)
    conv, head = network[0], network[3]
    first, last = (torch.from_numpy(w).float() for w in wanted)
    if shows == "attribution":
        first, last = first * conv.weight, last * head.weight  # type: ignore[operator]
    with torch.no_grad():
        before, scores = conv(call.inputs[:1]), network(call.inputs[:1])[0]
        for row, target in enumerate((0, 2)):
            at = (last[target] * scores[target]).view_as(before) * (before > 0)
            back = nn.functional.conv_transpose2d(at, first, stride=6, padding=1, output_padding=1)
            close(ours[row], back.sum(1)[0], 1e-3)


@pytest.mark.parametrize("family", ["resnet", "modules"])
@pytest.mark.parametrize("estimator", ["two-component", "linear"])
def test_weights_times_patterns_are_one(family: str, estimator: str) -> None:
    """For every unit: of merged batch normalisations and sums of branches too."""
    call = with_images(modules() if family == "modules" else family)
    plan = plan_of(call, "patterns")
    found = estimated(call, estimator=estimator)
    assert set(found.of) == set(range(len(plan.kinds)))
    assert "sum" in plan.kinds
    for place, kind in enumerate(plan.kinds):
        if kind == "sum":
            torch.testing.assert_close(found.of[place].sum(0), torch.ones(found.of[place].shape[1]), rtol=1e-3, atol=1e-3)
    norm = modules().network.norm
    if family == "modules":
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()  # type: ignore[operator, union-attr]
        merged = modules().network.one.weight * scale.view(-1, 1, 1, 1)  # type: ignore[union-attr, operator]
        torch.testing.assert_close((found.of[0] * merged).flatten(1).sum(1), torch.ones(6), rtol=1e-3, atol=1e-3)


def test_a_unit_that_never_fires_has_its_weights_direction_and_is_counted() -> None:
    network = small()
    network[0].bias.data[1] = -1e3  # type: ignore[union-attr, operator, index]
    call = with_images(as_model(network))
    found = estimated(call)
    weight = network[0].weight[1].detach()  # type: ignore[index]
    torch.testing.assert_close(found.of[0][1], weight / weight.square().sum())
    assert found.without == 1
    answer = pattern_attribution.explain(call, P(images=20))  # type: ignore[misc]
    assert "1 of them hardly varied" in answer.note
    assert answer.facts["units without pattern"] == 1


def named(model: ImageModel, hash: str) -> ImageModel:
    model.hash = hash
    return model


def test_patterns_are_kept_by_model_and_set() -> None:
    images = noise()
    call = replace(call_of(named(as_model(small()), "a" * 64)), neighbours=Drawn(images))
    first = estimated(call)
    assert estimated(call) is first
    assert call.neighbours.times == 1  # type: ignore[union-attr]
    assert estimated(replace(call, neighbours=Drawn(images.clone()))) is first  # the same images, drawn by somebody else
    assert estimated(call, 10) is not first
    other = replace(call, model=named(as_model(small(1)), "b" * 64))
    assert float((estimated(other).of[0] - first.of[0]).abs().max()) > 0.01
    assert estimated(replace(call, neighbours=Drawn(noise(20, 9)))) is not first
    nameless = replace(call, model=named(as_model(small()), ""))
    assert estimated(nameless) is not estimated(nameless)
    assert len(module._kept) <= module._KEPT


@pytest.mark.parametrize("shows", ["attribution", "signal"])
def test_rows_do_not_influence_each_other(shows: str) -> None:
    targets: list[Any] = [0, 1, 2, {"minus": [0, 1]}] * (BATCH // 4 + 1)
    draw = Drawn(noise())
    together = explain(replace(call_of("resnet", targets), neighbours=draw), shows=shows)
    alone = explain(replace(call_of("resnet", targets[3:4]), neighbours=draw), shows=shows)
    close(together[3], alone[0], 1e-5)
    close(together[-1], alone[0], 1e-5)


def test_it_runs_on_images_of_the_example_s_set_and_says_how_many() -> None:
    model, probe = micro.load("resnet"), micro.probe()
    call = replace(call_of(model), neighbours=neighbours_of(model, probe.example(3), 0))
    answer = pattern_attribution.explain(call, P())  # type: ignore[misc]
    assert "11 other images" in answer.note  # as many as there are
    assert answer.maps.abs().max() > 0


def test_an_upload_and_a_network_without_relus_are_refused() -> None:
    with pytest.raises(InvalidInput, match="this image belongs to none") as caught:
        explain(call_of("resnet"))
    assert caught.value.field == "example"
    for family in ("vit", "convnext"):
        with pytest.raises(InvalidInput, match="networks of ReLUs, and this one has") as caught:
            explain(with_images(family))
        assert caught.value.field == "model"
