"""KernelSHAP against Shapley values by their definition and against Captum; its axioms; squares and superpixels."""

from __future__ import annotations

from math import comb
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from microtome.core.errors import InvalidInput
from microtome.methods.attribution.baseline import baseline_input
from microtome.methods.attribution.coalitions import coalitions, shapley
from microtome.methods.attribution.features import features_of, squares
from microtome.methods.attribution.kernel_shap import Params, kernel_shap
from microtome.methods.attribution.superpixels import lab, superpixels
from microtome.methods.attribution.target import numbers
from tests import micro
from tests.methods.attribution.calls import call_of, close, example, explained
from tests.methods.attribution.nets import as_model
from tests.reference import perturbation as reference

EXACT = 2**9 - 2


def by_feature(map: torch.Tensor, places: np.ndarray) -> np.ndarray:
    return np.bincount(places.reshape(-1), map.double().numpy().reshape(-1))


def game(call: Any, places: np.ndarray, baseline: Any, target: Any) -> Any:
    """The number for a subset of features, one forward pass each."""
    off = baseline_input(call.model, call.inputs[:1], baseline)

    def number(present: tuple[bool, ...]) -> float:
        with torch.inference_mode():
            return float(numbers(call.model, reference.switched(call.inputs[:1], off, places, present), [target]))

    return number


@pytest.mark.parametrize(("family", "baseline"), [("resnet", "mean"), ("vit", "blur")])
def test_all_coalitions_give_the_shapley_values(family: str, baseline: Any) -> None:
    call = call_of(family, [0, {"minus": [1, 2]}])
    found = kernel_shap.explain(call, Params(count=9, samples=EXACT, baseline=baseline))  # type: ignore[misc]
    places = squares(64, 64, 9)
    assert found.facts["exact"] == ["yes", "yes"]
    for row, target in enumerate(call.targets):
        close(by_feature(found.maps[row], places), reference.shapley(9, game(call, places, baseline, target)), 1e-4)


def test_superpixels_have_shapley_values_too() -> None:
    call = call_of("resnet", [1], image=micro.probe().example(2))
    params = Params(count=8, samples=1000, features="superpixels")
    (part,) = features_of(call, params)
    places = part.places.numpy()
    assert 4 <= part.count <= 8
    found = kernel_shap.explain(call, params)  # type: ignore[misc]
    close(by_feature(found.maps[0], places), reference.shapley(part.count, game(call, places, "mean", call.targets[0])), 1e-4)


@pytest.mark.parametrize("family", ["resnet", "vit"])
def test_all_coalitions_equal_captums_shapley_values(family: str) -> None:
    """Captum's KernelShap draws its coalitions, so nothing but the limit is common: the values over all permutations."""
    from captum.attr import ShapleyValues

    call = call_of(family, [1])
    places = squares(64, 64, 4)
    black = baseline_input(call.model, call.inputs, "black")
    mask = torch.tensor(places).expand(1, 3, -1, -1).contiguous()
    theirs = ShapleyValues(call.model.forward).attribute(call.inputs, black, target=1, feature_mask=mask)[0, 0]
    found = kernel_shap.explain(call, Params(count=4, samples=14, baseline="black"))  # type: ignore[misc]
    close(found.maps[0] * 32 * 32, theirs, 1e-5)  # Captum gives every pixel its feature's whole value


def test_adds_up_whatever_the_samples() -> None:
    for samples in (98, 300):
        found = explained(kernel_shap, Params(samples=samples), "vit", [0, {"layer": "layer1", "unit": 3}])
        assert found.completeness
        for map, note in zip(found.maps, found.completeness, strict=True):
            assert abs(note["expected"]) > 1e-4
            assert note["gap"] < 1e-9
            assert float(map.double().sum()) == pytest.approx(note["expected"], rel=1e-3, abs=1e-6)
        assert found.facts["exact"] == ["no", "no"]


@pytest.mark.parametrize("samples", [98, 250])
def test_a_linear_model_is_answered_exactly_by_any_sample(samples: int) -> None:
    torch.manual_seed(1)
    model = as_model(nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(3 * 32 * 32, 3)))
    call = call_of(model, [1])
    found = kernel_shap.explain(call, Params(samples=samples, baseline="black"))  # type: ignore[misc]
    black = baseline_input(model, call.inputs, "black")
    leaf = black.clone().requires_grad_(True)
    share = (torch.autograd.grad(model.network(leaf)[0, 1], leaf)[0] * (call.inputs - black)).sum(1)[0]
    places = squares(64, 64, 49)
    close(by_feature(found.maps[0], places), by_feature(share, places), 1e-4)


def test_axioms_of_a_game_with_interactions() -> None:
    """Dummy and symmetry, on a game of 12 players of which samples see a part; and more samples come nearer."""

    def play(present: np.ndarray) -> np.ndarray:
        a, b, c, d = (present[:, i].astype(float) for i in range(4))
        return (3 * a * b + 2 * c * d - a * c * d + 0.5 * present[:, 5])[:, None]

    full = play(np.ones((1, 12), bool))[0]
    wanted = reference.shapley(12, lambda key: float(play(np.array([key]))[0, 0]))
    assert wanted[4] == 0
    assert wanted[2] == pytest.approx(wanted[3])
    errors = []
    for samples in (60, 600, 2**12 - 2):
        chosen = [coalitions(12, samples, seed) for seed in range(8)]
        found = [shapley(c.present, c.weights, play(c.present), full)[0] for c in chosen]
        errors.append(np.mean([np.square(f - wanted).sum() for f in found]) ** 0.5)
    assert errors[0] > 1.3 * errors[1] > 0
    assert errors[2] < 1e-12


@pytest.mark.parametrize(("features", "samples"), [(9, 100), (10, 1022), (30, 64), (49, 1024), (4, 14), (5, 9999)])
def test_coalitions_are_paired_weighted_and_no_more_than_asked(features: int, samples: int) -> None:
    chosen = coalitions(features, samples, 3)
    sizes = chosen.present.sum(1)
    assert len(chosen.present) <= samples
    assert len(np.unique(chosen.present, axis=0)) == len(chosen.present)
    assert sizes.min() == 1
    assert sizes.max() == features - 1
    assert chosen.weights.sum() == pytest.approx(1)
    weight = {row.tobytes(): w for row, w in zip(chosen.present, chosen.weights, strict=True)}
    for row in chosen.present:
        assert weight[(~row).tobytes()] == pytest.approx(weight[row.tobytes()])
    kernel = np.array([1 / (s * (features - s)) for s in range(1, features)])
    kernel /= kernel.sum()
    for size in range(1, chosen.enumerated + 1):
        assert (sizes == size).sum() == comb(features, size)
        assert chosen.weights[sizes == size].sum() == pytest.approx(kernel[size - 1])
    assert chosen.exact == (len(chosen.present) == 2**features - 2)


def test_too_few_samples_are_refused_by_name() -> None:
    with pytest.raises(InvalidInput, match="at least 98 are needed") as caught:
        explained(kernel_shap, Params(samples=97))
    assert caught.value.field == "params.samples"


def test_shared_rows_and_images_stay_apart() -> None:
    one, other = call_of("resnet", [0, 1]), call_of("resnet", [2], image=micro.probe().example(2))
    params = Params(count=9, samples=64)
    before = one.model.forward_passes
    alone = kernel_shap.explain(one, params).maps  # type: ignore[misc]
    assert one.model.forward_passes <= before + 64 + 2
    both = type(one)(one.model, torch.cat([one.inputs, other.inputs]), [*one.targets, *other.targets], one.run, 0)
    found = kernel_shap.explain(both, params).maps  # type: ignore[misc]
    close(found[:2], alone, 1e-4)
    close(found[2], kernel_shap.explain(other, params).maps[0], 1e-4)  # type: ignore[misc]


# --- features -----------------------------------------------------------------------------------------------------------


def test_squares_are_as_equal_as_pixels_allow() -> None:
    areas = np.bincount(squares(64, 50, 49).reshape(-1))
    assert len(areas) == 49
    assert areas.min() >= 9 * 7
    assert areas.max() <= 10 * 8


def test_superpixels_are_connected_parts_that_keep_to_borders() -> None:
    image = np.zeros((60, 80, 3))
    image[:, 33:] = (1, 0.2, 0.1)
    image[40:, :] = (0.1, 0.3, 0.9)
    found = superpixels(image, 24)
    assert np.array_equal(np.unique(found), np.arange(found.max() + 1))
    assert 12 <= found.max() + 1 <= 24
    for part in range(found.max() + 1):
        assert len(np.unique(image[found == part], axis=0)) == 1, "a superpixel crosses a border of colour"
        assert _reached(found == part) == (found == part).sum()


@pytest.mark.parametrize("count", [4, 49, 200])
def test_superpixels_of_noise_are_connected_and_no_more_than_asked(count: int) -> None:
    found = superpixels(example().image / 255, count)
    assert count / 3 <= found.max() + 1 <= count
    for part in range(found.max() + 1):
        assert _reached(found == part) == (found == part).sum() > 0


def test_colours_are_those_of_cielab() -> None:
    """Values of CIE 15 for sRGB primaries under D65."""
    np.testing.assert_allclose(
        lab(np.array([[1, 1, 1], [1, 0, 0], [0, 0, 1]], float)), [[100, 0, 0], [53.24, 80.09, 67.20], [32.30, 79.19, -107.86]], atol=0.02
    )


def _reached(mask: np.ndarray) -> int:
    """Pixels reached from one of the mask by its edges."""
    todo = [tuple(np.argwhere(mask)[0])]
    seen = set(todo)
    while todo:
        y, x = todo.pop()
        for near in ((y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)):
            if 0 <= near[0] < mask.shape[0] and 0 <= near[1] < mask.shape[1] and mask[near] and near not in seen:
                seen.add(near)
                todo.append(near)
    return len(seen)
