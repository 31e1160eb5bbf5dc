"""Random maps: what they are, what their curves are, and that all methods share them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from microtome.core.context import SilentContext
from microtome.core.errors import RunCancelled
from microtome.methods.attribution.baseline import baseline_input
from microtome.methods.attribution.target import Target
from microtome.methods.faithfulness import chance
from microtome.methods.faithfulness.order import counts
from tests import micro
from tests.methods.faithfulness.common import class_target, linear_model, picture
from tests.reference import faithfulness as reference

RUN = SilentContext()


@pytest.fixture(autouse=True)
def _empty() -> None:
    chance._shared.clear()


def drawn(model: Any, targets: list[Target], seed: int = 0, example: int = 3, run: Any = RUN) -> tuple[chance.Chance, Any, Any]:
    image = model.inputs([picture(model.preprocess.size[0], example).image])
    fill = baseline_input(model, image, "blur")
    return chance.chance_of(model, image, fill, targets, seed, run), image, fill


def test_random_fields_have_five_grains_and_no_preferred_place() -> None:
    fields = chance.random_fields(48, 48, 0)
    assert len(fields) == chance.DRAWS == 200
    np.testing.assert_array_equal(fields, chance.random_fields(48, 48, 0))
    assert not np.array_equal(fields, chance.random_fields(48, 48, 1))
    steep = [np.abs(np.diff(fields[g::5], axis=1)).mean() / fields[g::5].std() for g in range(5)]
    assert steep == sorted(steep, reverse=True)
    first = chance.random_ranks(48, 48, 0).mean(0) / (48 * 48)
    # The mean rank of a place over independent draws: one half, with the deviation of a uniform value over the root of the draws.
    assert abs(first.mean() - 0.5) < 1e-3
    assert np.abs(first - 0.5).max() < 6 / np.sqrt(12 * 200)


def test_curves_equal_one_forward_pass_per_step_and_read_backwards_are_those_of_the_reversed_order() -> None:
    model = micro.load("resnet")
    target = class_target(model, 1)
    found, image, fill = drawn(model, [target])

    def number(inputs: torch.Tensor) -> float:
        with torch.inference_mode():
            return float(model.forward(inputs).softmax(1)[0, 1])

    curves = found.curves(target, number(image), number(fill))
    assert curves.shape == (200, 11)
    for row in (0, 4, 199):
        map = -found.places[row].astype(np.float64)
        np.testing.assert_allclose(curves[row], reference.deletion(image, fill, map, number, counts(64 * 64)), atol=2e-5)
        np.testing.assert_allclose(curves[row, ::-1], reference.insertion(image, fill, -map, number, counts(64 * 64)), atol=2e-5)


def test_a_second_method_costs_no_pass_and_another_seed_does() -> None:
    model = micro.load("resnet")
    first = drawn(model, [class_target(model, 0)])[0]
    before = model.forward_passes
    assert drawn(model, [class_target(model, 2)])[0] is first  # other classes are read off the same logits
    assert model.forward_passes == before
    drawn(model, [class_target(model, 0)], seed=1)
    drawn(model, [class_target(model, 0)], example=4)
    assert model.forward_passes == before + 2 * 200 * 9


def test_progress_is_told_of_what_is_drawn_only() -> None:
    class Told(SilentContext):
        def __init__(self) -> None:
            super().__init__()
            self.told: list[tuple[int, int, str]] = []

        def progress(self, done: int, total: int, what: str = "") -> None:
            self.told.append((done, total, what))

    model, run = micro.load("resnet", size=32), Told()
    drawn(model, [class_target(model, 0)], example=7, run=run)
    assert [t[0] for t in run.told] == list(range(0, 1800, 64))
    assert {t[1:] for t in run.told} == {(1800, "images with random fills")}
    count = len(run.told)
    drawn(model, [class_target(model, 0)], example=7, run=run)
    assert len(run.told) == count


def test_a_target_at_a_layer_is_added_to_what_is_there() -> None:
    model = micro.load("vit")
    layer = model.default_layers()[0]
    unit, other = (Target(f"{layer.label} / {u}", layer, ((u, 1.0),)) for u in (1, 2))
    both = drawn(model, [unit, other])[0].numbers(other)
    chance._shared.clear()
    drawn(model, [unit])
    np.testing.assert_allclose(drawn(model, [other])[0].numbers(other), both, atol=1e-6)
    before = model.forward_passes
    drawn(model, [unit, other, class_target(model, 0)])
    assert model.forward_passes == before


def test_a_model_without_identity_is_never_taken_for_another() -> None:
    one = drawn(linear_model(0), [class_target(linear_model(), 0)])[0]
    two = drawn(linear_model(1), [class_target(linear_model(), 0)])[0]
    assert not torch.equal(one.said.logits, two.said.logits)
    assert not chance._shared


def test_few_are_kept_and_a_cancel_keeps_nothing() -> None:
    model = micro.load("resnet", size=32)
    for example in range(chance._KEPT + 1):
        drawn(model, [class_target(model, 0)], example=example)
    assert len(chance._shared) == chance._KEPT

    class Cancelled(SilentContext):
        def check(self) -> None:
            raise RunCancelled("stopped")

    kept = list(chance._shared)
    with pytest.raises(RunCancelled):
        drawn(model, [class_target(model, 0)], example=99, run=Cancelled())
    assert list(chance._shared) == kept


def test_shuffled_maps_have_the_same_values_in_the_order_of_the_draw() -> None:
    values = np.array([3.0, -1.0, 7.0, 7.0])
    np.testing.assert_array_equal(chance.shuffled(values, np.array([[0, 1, 2, 3], [3, 0, 2, 1]], np.int32)), [[7, 7, 3, -1], [-1, 7, 3, 7]])
