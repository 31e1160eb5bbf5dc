"""Extremal perturbations: the mask operator and the area constraint by their definitions, regions and channels that are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from microtome.core.errors import InvalidInput
from microtome.methods.attribution.baseline import baseline_input
from microtome.methods.attribution.extremal_perturbation import Params, extremal_perturbation
from microtome.methods.attribution.smooth_masks import SmoothMask, area_loss
from microtome.methods.attribution.target import Target
from tests import micro
from tests.methods.attribution.calls import call_of, close, explained
from tests.methods.attribution.nets import as_model

WHERE = (slice(20, 36), slice(36, 52))  # a sixteenth of the image


def test_masks_are_smooth_maxima_of_their_cells() -> None:
    cells = torch.rand(2, 5, 5, generator=torch.Generator().manual_seed(1))
    found = SmoothMask(5, (30, 20), torch.device("cpu"))(cells)
    for n, y, x in [(0, 0, 0), (0, 14, 9), (1, 29, 19), (1, 7, 13), (0, 22, 4)]:
        values = []
        for v in range(y * 5 // 30 - 2, y * 5 // 30 + 3):
            for u in range(x * 5 // 20 - 2, x * 5 // 20 + 3):
                away = np.hypot((y + 0.5) / 6 - 0.5 - v, (x + 0.5) / 4 - 0.5 - u)
                inside = 0 <= v < 5 and 0 <= u < 5
                values.append(float(cells[n, v, u]) * np.exp(-2 * max(away - 0.5, 0) ** 2) if inside else 0.0)
        weights = np.exp(np.array(values) * 20)
        assert float(found[n, y, x]) == pytest.approx(float(np.array(values) @ weights / weights.sum()), rel=1e-4)


def test_a_mask_of_the_area_has_no_loss_and_equal_values_are_treated_alike() -> None:
    mask = torch.zeros(3, 10, 10)
    mask[0, :2], mask[1, :4], mask[2, :2], mask[2, 2:] = 1, 1, 0.9, 0.3
    mask.requires_grad_(True)
    loss = area_loss(mask, torch.tensor([0.2, 0.2, 0.2]))
    assert loss[0] == 0
    assert float(loss[1]) == pytest.approx(0.4 * 0.25)  # forty ones in twenty places: a half is asked of each
    assert float(loss[2]) == pytest.approx(0.2 * 0.01 + 0.8 * 0.09, rel=1e-5)
    (gradient,) = torch.autograd.grad(loss.sum(), mask)
    assert len(gradient[1, :4].unique()) == 1
    assert (gradient[2, :2] < 0).all()
    assert (gradient[2, 2:] > 0).all()


class Watching(nn.Module):
    """Class 1 is the mean brightness of one square; class 0 of another."""

    def __init__(self) -> None:
        super().__init__()
        self.look = nn.Conv2d(3, 2, 1, bias=False)
        nn.init.constant_(self.look.weight, 1 / 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        maps = self.look(x)
        return torch.stack([maps[:, 0, 44:60, 4:20].mean((1, 2)), maps[:, 1, WHERE[0], WHERE[1]].mean((1, 2)), maps[:, 0].mean((1, 2))], 1)


def watching(target: int = 1) -> Any:
    model = as_model(Watching())
    call = call_of(model, [target])
    return type(call)(model, torch.full_like(call.inputs[:1], 2.0), call.targets, call.run, 0)


@pytest.mark.parametrize("variant", ["preserve", "delete", "dual"])
def test_finds_the_region_that_is_looked_at(variant: Any) -> None:
    found = extremal_perturbation.explain(watching(), Params(areas=[1 / 16], variant=variant, fill="black", steps=100))  # type: ignore[misc]
    mask = found.maps[0] > 0.5
    wanted = torch.zeros(64, 64, dtype=torch.bool)
    wanted[WHERE] = True
    assert float((mask & wanted).sum() / (mask | wanted).sum()) > 0.7
    assert found.facts["area reached"][0] == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("family", ["resnet", "vit"])
def test_the_area_is_kept_and_the_target_held(family: str) -> None:
    """On networks with random weights: the area within a quarter, and the target seen through the mask above that of masks elsewhere."""
    call = call_of(family, [1], image=micro.probe().example(2))
    found = extremal_perturbation.explain(call, Params(areas=[0.2], steps=60))  # type: ignore[misc]
    assert found.facts["area reached"][0] == pytest.approx(1, abs=0.25)
    fill = baseline_input(call.model, call.inputs[:1], "blur")
    mask = found.maps[0]
    turned = torch.stack([mask, *(mask.roll((dy, dx), (0, 1)) for dy, dx in ((32, 0), (0, 32), (32, 32), (16, 48)))])
    with torch.inference_mode():
        numbers = call.model.forward(torch.lerp(fill, call.inputs[:1], turned[:, None]))[:, 1]
    assert int(numbers.argmax()) == 0


def test_the_map_is_the_mean_over_areas() -> None:
    both = explained(extremal_perturbation, Params(areas=[0.1, 0.3], steps=10)).maps
    apart = [explained(extremal_perturbation, Params(areas=[a], steps=10)).maps for a in (0.1, 0.3)]
    close(both, (apart[0] + apart[1]) / 2, 1e-3)


def channel_net() -> Any:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3))
    nn.init.constant_(network[0].bias, 0.5)
    nn.init.zeros_(network[4].weight)
    with torch.no_grad():
        network[4].weight[1, 2] = network[4].weight[1, 5] = 1.0
        network[4].weight[1, 0] = -1.0
    return as_model(network)


@pytest.mark.parametrize("variant", ["preserve", "delete", "dual"])
def test_finds_the_channels_that_are_read(variant: Any) -> None:
    call = call_of(channel_net(), [1])
    found = extremal_perturbation.explain(call, Params(areas=[1 / 3], variant=variant, layer="1", steps=100))  # type: ignore[misc]
    named = str(found.facts["channels"][0])  # type: ignore[index]
    assert {int(part.split(" ")[0]) for part in named.split(", ")} == {2, 5}
    activation = call.model.network[:2](call.inputs[:1])[0]
    close(found.maps[0], activation[2] + activation[5], 0.1)


@pytest.mark.parametrize(("family", "layer"), [("resnet", "stage3.0"), ("vit", "layer1"), ("convnext", "stage3.1")])
def test_channels_of_every_layout(family: str, layer: str) -> None:
    found = explained(extremal_perturbation, Params(areas=[0.25], layer=layer, steps=40), family)
    assert found.facts["area reached"][0] == pytest.approx(1, abs=0.35)  # type: ignore[index]
    assert found.maps[0].abs().max() > 0


def test_a_layer_behind_the_target_is_refused() -> None:
    call = call_of("resnet", [{"layer": "stage1.0", "unit": 1}])
    assert isinstance(call.targets[0], Target)
    with pytest.raises(InvalidInput, match="does not depend on"):
        extremal_perturbation.explain(call, Params(layer="stage4.1", steps=2))  # type: ignore[misc]


def test_rows_stay_apart() -> None:
    one, other = call_of("resnet", [0, 1]), call_of("resnet", [2], image=micro.probe().example(2))
    params = Params(areas=[0.2], steps=6)
    both = type(one)(one.model, torch.cat([one.inputs, other.inputs]), [*one.targets, *other.targets], one.run, 0)
    found = extremal_perturbation.explain(both, params).maps  # type: ignore[misc]
    close(found[:2], extremal_perturbation.explain(one, params).maps, 1e-3)  # type: ignore[misc]
    close(found[2], extremal_perturbation.explain(other, params).maps[0], 1e-3)  # type: ignore[misc]
