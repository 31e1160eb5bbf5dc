"""Similarity saliency: a patch that two images share, its estimators, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from microtome.core.errors import InvalidInput
from microtome.methods.attribution.occlusion import occlusion
from microtome.methods.attribution.rise import rise
from microtome.methods.attribution.similarity_saliency import Params, similarity_saliency
from microtome.models.image import ImageModel
from microtome.probes import Example
from tests.methods.attribution.calls import close, example, explained
from tests.methods.attribution.nets import as_model

LIKE: Any = {"like": "noise:5", "example": example(5)}


class Colours(nn.Module):
    """Where a colour stands out from the other two; grey is silent."""

    def __init__(self) -> None:
        super().__init__()
        self.opponent, self.relu, self.head = nn.Conv2d(3, 3, 1, bias=False), nn.ReLU(), nn.Linear(3, 3)
        with torch.no_grad():
            self.opponent.weight.copy_((1.5 * torch.eye(3) - 0.5)[:, :, None, None])

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.relu(self.opponent(x)).mean((2, 3)))


def coloured(model: ImageModel, **places: tuple[int, int]) -> Example:
    """Grey (the mean colour) with squares of 12 pixels: ``red=(8, 8)``."""
    grey = np.asarray(model.preprocess.mean) * 255
    image = np.broadcast_to(grey.round(), (64, 64, 3)).astype(np.uint8)
    for name, (y, x) in places.items():
        square = np.full(3, 20, np.uint8)
        square[["red", "green", "blue"].index(name)] = 250
        image[y : y + 12, x : x + 12] = square
    return Example(image, None, "squares")


@pytest.mark.parametrize("params", [Params(masks=400), Params(estimator="windows", window=8, stride=4)])
def test_a_patch_that_both_share_is_found_wherever_it_lies(params: Params) -> None:
    model = as_model(Colours())
    ours, other = coloured(model, red=(8, 8), green=(40, 40)), coloured(model, red=(44, 4))
    found = explained(similarity_saliency, params, model, [{"like": "squares:1", "layer": "relu", "example": other}], image=ours)
    red, green = found.maps[0, 8:20, 8:20], found.maps[0, 40:52, 40:52]
    outside = found.maps[0, 24:36, 44:56]
    assert float(red.mean()) > 5 * float(outside.abs().mean())
    assert float(green.mean()) < -5 * float(outside.abs().mean()), "without what is only here both are more alike"
    y, x = divmod(int(found.maps[0].argmax()), 64)
    assert 4 <= y < 24
    assert 4 <= x < 24


def test_masks_are_rise_and_windows_are_occlusion_of_the_similarity() -> None:
    ours = explained(similarity_saliency, Params(masks=64, grid=5, keep=0.4, seed=3), "resnet", [LIKE])
    theirs = explained(rise, rise.params(masks=64, grid=5, keep=0.4, seed=3), "resnet", [LIKE])
    close(ours.maps, theirs.maps, 1e-6)
    ours = explained(similarity_saliency, Params(estimator="windows", stride=16, fill="black"), "vit", [LIKE])
    close(ours.maps, explained(occlusion, occlusion.params(stride=16, baseline="black"), "vit", [LIKE]).maps, 1e-6)
    assert ours.facts["reference"] == "fixed"
    assert ours.facts["layer"] == ["layer2"]


def test_other_targets_are_refused_with_how_to_ask() -> None:
    with pytest.raises(InvalidInput, match="like:PROBE:INDEX") as caught:
        explained(similarity_saliency, Params(masks=8), "resnet", [LIKE, 1])
    assert caught.value.field == "targets"
