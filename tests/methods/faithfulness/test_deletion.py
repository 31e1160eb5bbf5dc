"""Deletion and insertion against one image at a time, and where the best order is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from microtome.core.context import SilentContext
from microtome.methods.attribution.baseline import baseline_input
from microtome.methods.attribution.target import Target, resolve
from microtome.methods.faithfulness import deletion
from microtome.methods.faithfulness.chance import random_fields
from microtome.methods.faithfulness.order import SHARES, answers, counts, ranks
from microtome.models.image import ImageModel
from tests import micro
from tests.methods.faithfulness.common import call_for, class_target, gradients, linear_model, picture
from tests.reference import faithfulness as reference

RUN = SilentContext()


def test_what_is_taken_at_one_share_is_left_at_its_mirror_image() -> None:
    for pixels in (64, 96 * 96, 224 * 224):
        taken = counts(pixels)
        assert taken[0] == 0
        assert taken[-1] == pixels
        assert [pixels - k for k in reversed(taken)] == taken
        np.testing.assert_allclose(np.array(taken) / pixels, SHARES, atol=1 / pixels + 0.5 / pixels)
    assert sorted(counts(25)) == counts(25)


def test_ranks_are_signed_and_ties_go_by_index() -> None:
    np.testing.assert_array_equal(ranks(np.array([[0.0, -3.0, 2.0, 0.0, 2.0]])), [[2, 4, 0, 3, 1]])


def measured(model: ImageModel, target: Target, maps: np.ndarray) -> tuple[list[tuple[np.ndarray, np.ndarray]], torch.Tensor, torch.Tensor]:
    image = model.inputs([picture(64).image])
    fill = baseline_input(model, image, "blur")
    said = answers(model, image, fill, ranks(maps), deletion.removals(len(maps), maps.shape[1]), [target], RUN)
    return [deletion.curves(said.values(target), row) for row in range(len(maps))], image, fill


@pytest.mark.parametrize("family", ["resnet", "vit"])
@pytest.mark.parametrize("spec", [1, {"minus": [0, 2]}, "unit"])
def test_curves_equal_one_forward_pass_per_step(family: str, spec: object) -> None:
    model = micro.load(family)
    if spec == "unit":
        spec = {"layer": model.default_layers()[1].name, "unit": 3}
    target = resolve(model, torch.zeros(3), spec)
    maps = np.random.default_rng(0).standard_normal((2, 64 * 64)).round(1)  # many ties
    found, image, fill = measured(model, target, maps)

    def number(inputs: torch.Tensor) -> float:
        with torch.inference_mode(), model.record([target.layer] if target.layer else []) as recorded:
            logits = model.forward(inputs)
        return float(logits.softmax(1)[0, target.index] if target.index is not None else target.number(logits, recorded)[0])

    for (deleted, inserted), map in zip(found, maps, strict=True):
        np.testing.assert_allclose(deleted, reference.deletion(image, fill, map, number, counts(map.size)), atol=2e-5)
        np.testing.assert_allclose(inserted, reference.insertion(image, fill, map, number, counts(map.size)), atol=2e-5)
        assert deletion.area(deleted) == pytest.approx(reference.area(SHARES, list(deleted)))


def test_for_a_linear_model_no_order_beats_its_contributions() -> None:
    model = linear_model()
    target = Target("disc, twice", None, ((0, 2.0),))  # no class, so that the number itself is followed
    call = call_for(model, picture(), [target])
    fill = baseline_input(model, call.inputs[:1], "blur")
    exact = gradients(call).maps.double().numpy().reshape(1, -1)
    maps = np.concatenate([exact, -exact, random_fields(16, 16, 0).reshape(200, -1)])
    said = answers(model, call.inputs[:1], fill, ranks(maps), deletion.removals(len(maps), maps.shape[1]), [target], RUN)
    areas = np.array([[float(deletion.area(c)) for c in deletion.curves(said.values(target), row)] for row in range(len(maps))])
    best, worst, random = areas[0], areas[1], areas[2:]
    assert (random[:, 0] > best[0]).all()
    assert (random[:, 1] < best[1]).all()
    assert (random[:, 0] < worst[0]).all()
    assert (random[:, 1] > worst[1]).all()


def test_ends_are_the_image_and_the_fill() -> None:
    model = micro.load("resnet")
    target = class_target(model, 0)
    [(deleted, inserted)], image, fill = measured(model, target, np.arange(64.0 * 64)[None])
    with torch.inference_mode():
        ends = model.forward(torch.cat([image, fill])).softmax(1)[:, 0].numpy()
    np.testing.assert_allclose(deleted[[0, -1]], ends, atol=1e-6)
    np.testing.assert_array_equal(inserted[[-1, 0]], deleted[[0, -1]])
