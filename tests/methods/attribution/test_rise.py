"""RISE against the paper's formula with loops, and against its expectation, known in closed form for a linear model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from microtome.methods.attribution.baseline import baseline_input
from microtome.methods.attribution.explain import FORWARD_BATCH
from microtome.methods.attribution.rise import Params, random_masks, rise
from microtome.methods.attribution.target import numbers
from tests import micro
from tests.methods.attribution.calls import call_of, close, explained, maps
from tests.methods.attribution.nets import as_model
from tests.reference import perturbation as reference


@pytest.mark.parametrize("family", ["resnet", "vit"])
@pytest.mark.parametrize("centre", [True, False])
@pytest.mark.parametrize("fill", ["mean", "blur"])
def test_equals_the_formula_with_loops(family: str, centre: bool, fill: Any) -> None:
    params = Params(masks=FORWARD_BATCH + 9, grid=5, keep=0.3, fill=fill, centre=centre, seed=4)
    call = call_of(family, [0, {"minus": [1, 2]}])
    found = rise.explain(call, params)  # type: ignore[misc]
    masks = torch.cat(list(random_masks(params.masks, 5, 0.3, (64, 64), 4))).numpy()
    cover = baseline_input(call.model, call.inputs[:1], fill)
    with torch.inference_mode():
        for row, target in enumerate(call.targets):
            wanted, error = reference.rise(
                call.inputs[:1], cover, lambda x, t=target: float(numbers(call.model, x, [t])), masks, 0.3, centre
            )  # fmt: skip
            # A pixel's map is a sum of numbers that nearly cancel; float32 numbers bear it to about 1e-5 of what is summed.
            close(found.maps[row], wanted, 1e-5 if not centre else 1e-4)
            assert found.facts["standard_error"][row] == pytest.approx(error.mean(), rel=1e-4)


def test_masks_are_those_of_the_paper() -> None:
    """Values in 0 to 1, expectation `keep` at every pixel, drawn alike for a seed whatever is asked, shifted by less than a cell."""
    masks = torch.cat(list(random_masks(4000, 4, 0.25, (30, 22), 1)))
    assert masks.shape == (4000, 30, 22)
    assert masks.min() >= 0
    assert masks.max() <= 1 + 1e-6
    error = (masks.mean(0) - 0.25) / (masks.std(0) / 4000**0.5)
    assert float(error.abs().max()) < 5
    assert error.square().mean() < 1.5
    torch.testing.assert_close(torch.cat(list(random_masks(64, 4, 0.25, (30, 22), 1))), masks[:64], rtol=0, atol=0)
    spread = torch.cov(masks[:, ::7, ::7].flatten(1).T.double())
    wanted = reference.rise_covariance(4, 0.25, (30, 22)).reshape(30, 22, 30, 22)[::7, ::7, ::7, ::7].reshape(spread.shape)
    assert float((spread - torch.tensor(wanted)).abs().max()) < 0.015


@pytest.mark.parametrize("centre", [True, False])
def test_a_linear_models_map_is_known(centre: bool) -> None:
    """Expected map: covariance of the masks times the contributions; the stated standard error says how far away we are."""
    torch.manual_seed(3)
    model = as_model(nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(3 * 32 * 32, 3)))
    call = call_of(model, [1])
    found = rise.explain(call, Params(masks=3000, grid=4, keep=0.5, fill="black", centre=centre))  # type: ignore[misc]
    black = baseline_input(model, call.inputs, "black")
    leaf = black.clone().requires_grad_(True)
    start = model.network(leaf)[0, 1]
    share = (torch.autograd.grad(start, leaf)[0] * (call.inputs - black)).sum(1).flatten().double().numpy()
    wanted = reference.rise_covariance(4, 0.5, (64, 64)) @ share / 0.5
    if not centre:
        wanted += float(start.detach()) + 0.5 * share.sum()
    off = found.maps[0].flatten().double().numpy() - wanted
    error = found.facts["standard_error"][0]  # type: ignore[index]
    assert np.abs(wanted - wanted.mean()).max() > 5 * error, "a map that drowns in its noise proves nothing"
    assert np.abs(off).max() < 5 * error
    assert 0.2 < (off**2).mean() ** 0.5 / error < 2


def test_the_stated_error_is_the_spread_over_seeds() -> None:
    runs = [explained(rise, Params(masks=60, grid=4, seed=s)) for s in range(12)]
    spread = torch.stack([r.maps[0] for r in runs]).std(0).mean()
    stated = np.mean([r.facts["standard_error"][0] for r in runs])  # type: ignore[index]
    assert float(spread) == pytest.approx(float(stated), rel=0.25)


def test_targets_of_an_image_share_their_passes_and_images_stay_apart() -> None:
    one, other = call_of("resnet", [0, 1]), call_of("resnet", [2], image=micro.probe().example(2))
    params = Params(masks=40, grid=4)
    before = one.model.forward_passes
    alone = rise.explain(one, params).maps  # type: ignore[misc]
    assert one.model.forward_passes == before + 40
    both = type(one)(one.model, torch.cat([one.inputs, other.inputs]), [*one.targets, *other.targets], one.run, 0)
    found = rise.explain(both, params).maps  # type: ignore[misc]
    close(found[:2], alone, 1e-4)
    close(found[2], rise.explain(other, params).maps[0], 1e-4)  # type: ignore[misc]


def test_where_nothing_matters_the_map_is_nothing() -> None:
    model = as_model(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3)))
    nn.init.zeros_(model.network[2].weight)
    assert np.abs(maps(rise, Params(masks=40), model)).max() < 1e-6
    published = maps(rise, Params(masks=40, centre=False), model)
    assert np.ptp(published) > 0.01 * abs(published).max(), "as published a constant number shows how often pixels were kept"
