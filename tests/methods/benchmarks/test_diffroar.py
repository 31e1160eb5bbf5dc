"""DiffROAR: what is kept, what can be learnt from it, and an oracle above a random map above the inverted oracle."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from microtome.core.context import SilentContext
from microtome.core.errors import InvalidInput, RunCancelled
from microtome.methods.benchmarks import diffroar as module
from microtome.methods.benchmarks.diffroar import Params, difference, diffroar, held_out
from microtome.methods.benchmarks.retraining import kept, learnt, masked
from microtome.probes import open_probe
from tests import micro


def _set(count: int = 150) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
    """Noise with a square in the colour of the class, at a place of its own; images, labels, and where the squares are."""
    generator = torch.Generator().manual_seed(0)
    images = 0.3 * torch.randn(count, 3, 24, 24, generator=generator)
    labels = torch.arange(count) % 3
    where = np.zeros((count, 24, 24), bool)
    for i in range(count):
        y, x = torch.randint(0, 18, (2,), generator=generator).tolist()
        where[i, y : y + 6, x : x + 6] = True
        images[i, :, y : y + 6, x : x + 6] = -1.0
        images[i, labels[i], y : y + 6, x : x + 6] = 2.0
    return images, labels, where


def test_kept_are_as_many_pixels_as_asked_of_the_largest_or_smallest_absolute_values() -> None:
    maps = np.array([[[0.0, -9.0], [3.0, 1.0]]])
    np.testing.assert_array_equal(kept(maps, 0.25, True, 0)[0], [[False, True], [False, False]])
    np.testing.assert_array_equal(kept(maps, 0.25, False, 0)[0], [[True, False], [False, False]])
    ties = kept(np.zeros((1, 20, 20)), 0.1, True, 1)[0]
    assert ties.sum() == 40
    assert 8 < ties[:10].sum() < 32  # by lot, not the first rows
    one, other = kept(np.arange(16.0).reshape(1, 4, 4), 0.4, True, 0), kept(np.arange(16.0).reshape(1, 4, 4), 0.4, False, 0)
    assert not (one & other).any()


def test_what_is_not_kept_has_the_mean_colour() -> None:
    images = torch.rand(4, 3, 10, 10, generator=torch.Generator().manual_seed(0))
    keep = np.zeros((4, 10, 10), bool)
    keep[:, 2] = True
    out = masked(images, keep)
    torch.testing.assert_close(out[:, :, 2], images[:, :, 2])
    torch.testing.assert_close(out[:, :, 3:], images.mean((0, 2, 3), keepdim=True).expand(4, 3, 7, 10))
    assert masked(torch.zeros(1, 3, 96, 96), np.ones((1, 96, 96), bool)).shape == (1, 3, 48, 48)


def test_an_oracle_stands_above_a_random_map_above_the_inverted_oracle() -> None:
    images, labels, where = _set()
    held = held_out(labels.numpy(), 0)
    values = {}
    noise = np.random.default_rng(0).standard_normal(where.shape)
    jitter = 1e-3 * np.abs(noise)
    for name, maps in {"oracle": where + jitter, "random": noise, "inverted": ~where + jitter}.items():
        right = [
            np.stack(
                [
                    learnt(masked(images, kept(maps, 36 / 576, top, 0)), labels, held, 3, epochs=12, seed=s, check=lambda: None)
                    for s in (0, 1)
                ]
            )
            for top in (True, False)
        ]
        values[name] = difference(*right, 0)
    assert values["oracle"][1] > 0.3  # the whole interval: squares alone name the class, noise alone does not
    assert values["inverted"][2] < -0.3
    assert values["random"][1] <= 0 <= values["random"][2]
    assert values["oracle"][0] > values["random"][0] > values["inverted"][0]


def test_learning_is_a_function_of_the_seed() -> None:
    images, labels, _ = _set(60)
    held = held_out(labels.numpy(), 0)
    one, again, other = (learnt(images, labels, held, 3, epochs=2, seed=s, check=lambda: None) for s in (4, 4, 5))
    np.testing.assert_array_equal(one, again)
    assert one.shape == (held.sum(),) == other.shape


def test_a_third_of_every_class_is_held_out() -> None:
    labels = np.array([0] * 9 + [1] * 3 + [2])
    held = held_out(labels, 0)
    assert [int(held[labels == k].sum()) for k in (0, 1, 2)] == [3, 1, 0]


def test_the_interval_draws_networks_and_images() -> None:
    top, bottom = np.ones((2, 50), bool), np.zeros((2, 50), bool)
    assert difference(top, bottom, 0) == (1.0, 1.0, 1.0)
    top[0] = False  # one network of two learns nothing: the interval says so
    value, low, high = difference(top, bottom, 0)
    assert (value, low, high) == (0.5, 0.0, 1.0)


@pytest.mark.parametrize("family", ["resnet", "vit"])
def test_methods_a_random_map_and_the_null_block_stand_in_one_table(family: str) -> None:
    params = Params(methods=["saliency", "grad-cam"], examples=24, networks=1, epochs=1)
    card = diffroar.function(model=micro.load(family), probe=open_probe("builtin:blocks#val:24"), params=params, run=SilentContext())[
        "scores"
    ]
    found = {(s.group, s.name): s for s in card.scores}  # type: ignore[attr-defined]
    assert {group for group, _ in found} == {"Saliency", "Grad-CAM", module.RANDOM}
    for group in ("Saliency", module.RANDOM):
        score = found[group, "diffroar"]
        assert score.value == pytest.approx(found[group, "power-top"].value - found[group, "power-bottom"].value)
        assert found[group, "null-block"].chance == pytest.approx(0.5, abs=0.02)
    assert found[module.RANDOM, "null-block"].value == pytest.approx(0.5, abs=0.03)


def test_without_labels_networks_learn_what_the_model_says_if_it_says_two_things() -> None:
    params = Params(methods=["saliency"], examples=12, networks=1, epochs=1)
    said = []
    for family in micro.FAMILIES:
        try:
            card = diffroar.function(model=micro.load(family), probe=micro.probe(), params=params, run=SilentContext())["scores"]
            said.append(str(card.facts["classes by"]))  # type: ignore[attr-defined]
        except InvalidInput as refusal:
            said.append(f"{refusal.field}: {refusal.detail}")
    assert set(said) == {
        "predictions of the model",
        "model: Networks are trained to tell classes apart: this needs two with two images each; the set has no labels, and the model "
        "gives all images one.",
    }


def test_a_cancelled_run_ends() -> None:
    class Cancelled(SilentContext):
        def check(self) -> None:
            raise RunCancelled("stopped")

    with pytest.raises(RunCancelled):
        diffroar.function(
            model=micro.load("resnet"), probe=open_probe("builtin:blocks#val:24"), params=Params(examples=24), run=Cancelled()
        )
