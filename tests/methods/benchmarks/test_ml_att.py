"""Methods at a layer, against gradients taken there by hand and against the same methods on the whole network."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from microtome.core.context import SilentContext
from microtome.core.errors import InvalidInput
from microtome.methods.attribution.explain import Call
from microtome.methods.attribution.grad_cam import grad_cam
from microtome.methods.attribution.input_x_gradient import input_x_gradient
from microtome.methods.attribution.integrated_gradients import integrated_gradients
from microtome.methods.attribution.occlusion import occlusion
from microtome.methods.attribution.saliency import saliency
from microtome.methods.benchmarks.behind import Behind, chosen_layers
from microtome.methods.benchmarks.grids import images_of
from microtome.methods.benchmarks.scenes import scene
from microtome.methods.registry import methods
from tests import micro
from tests.methods.attribution.calls import close
from tests.methods.attribution.test_cams import at_layer, call_of

PLACES = [("resnet", "stage2.0"), ("resnet", "stage4.1"), ("vit", "layer1"), ("convnext", "stage3.1")]


def behind(family: str, place: str) -> tuple[Call, Call]:
    """A question about an image, and the same about a layer of it."""
    call = call_of(family, [1, 2])
    model = Behind(call.model, call.model.layer(place), call.inputs[:1])
    return call, Call(model, model.maps.expand(2, -1, -1, -1), call.targets, call.run, 0)


@pytest.mark.parametrize(("family", "place"), PLACES)
def test_the_rest_of_the_network_says_what_the_whole_says(family: str, place: str) -> None:
    call, own = behind(family, place)
    before = call.model.forward_passes
    both = torch.cat([own.inputs, own.inputs * 0.5])
    said = own.model.forward(both)
    assert call.model.forward_passes == before + 4
    torch.testing.assert_close(said[:1], call.model.forward(call.inputs[:1]), rtol=1e-4, atol=1e-5)
    with call.model.changed(call.model.layer(place), lambda raw: scaled(call.model.layer(place), raw)):
        torch.testing.assert_close(said[2:3], call.model.forward(call.inputs[:1]), rtol=1e-3, atol=1e-4)


def scaled(layer: Any, raw: torch.Tensor) -> torch.Tensor:
    """Half of a layer's sites; a class token stays."""
    out = raw.clone()
    if layer.layout == "tokens":
        out[:, layer.special :] *= 0.5
        return out
    return out * 0.5


@pytest.mark.parametrize(("family", "place"), PLACES)
def test_gradients_at_a_layer_are_those_taken_there_by_hand(family: str, place: str) -> None:
    _, _, activation, gradient = at_layer(family, place)
    _, own = behind(family, place)
    close(saliency.explain(own, saliency.params()).maps[0], np.abs(gradient).max(0), 1e-4)
    product = activation * gradient
    ours = input_x_gradient.explain(own, input_x_gradient.params()).maps[0].numpy()
    # In parts of what is added up: before a layer norm it all but cancels.
    assert np.abs(ours - product.sum(0)).max() <= 1e-4 * np.abs(product).sum(0).max()


@pytest.mark.parametrize(("family", "place"), PLACES)
def test_grad_cam_at_a_layer_is_grad_cam_of_that_layer_before_it_is_enlarged(family: str, place: str) -> None:
    call, own = behind(family, place)
    small = grad_cam.explain(own, grad_cam.params(relu=False)).maps
    layer = call.model.layer(place)
    assert small.shape[1:] == (layer.height, layer.width)
    large = torch.nn.functional.interpolate(small[:, None], call.model.preprocess.size, mode="bilinear", align_corners=False)[:, 0]
    close(large, grad_cam.explain(call, grad_cam.params(relu=False, layer=place)).maps, 1e-4)


def test_a_path_from_zeros_at_a_layer_adds_up() -> None:
    _, own = behind("resnet", "stage3.0")
    found = integrated_gradients.explain(own, integrated_gradients.params(steps=64, max_steps=512))
    with torch.inference_mode():
        ends = own.model.forward(own.inputs[:1])[0], own.model.forward(torch.zeros_like(own.inputs[:1]))[0]
    for row, index in enumerate((1, 2)):
        total = float(ends[0][index] - ends[1][index])
        assert float(found.maps[row].sum()) == pytest.approx(total, abs=max(0.02 * abs(total), 2e-3))


def test_occlusion_of_a_site_is_the_network_with_that_site_at_zero() -> None:
    call, own = behind("resnet", "stage3.0")
    found = occlusion.explain(own, occlusion.params(window=1, stride=1, baseline="black")).maps
    layer = call.model.layer("stage3.0")

    def covered(raw: torch.Tensor) -> torch.Tensor:
        out = raw.clone()
        out[:, :, 1, 2] = 0.0
        return out

    with torch.inference_mode():
        whole = call.model.forward(call.inputs[:1])[0]
        with call.model.changed(layer, covered):
            drop = whole - call.model.forward(call.inputs[:1])[0]
    assert float(found[0, 1, 2]) == pytest.approx(float(drop[1]), abs=1e-5)


@pytest.mark.parametrize("family", ["resnet", "vit"])
def test_behind_a_layer_of_difull_every_cell_is_alone(family: str) -> None:
    images = images_of(micro.load(family), micro.probe(), [0, 1, 2, 3])
    place = scene("difull", micro.load(family), 2)
    for name, layer in chosen_layers(place.model):
        model = Behind(place.model, layer, place.inputs(images))
        target = place.target(2, 0)
        call = Call(model, model.maps, [target], SilentContext(), 0)
        map = saliency.explain(call, saliency.params()).maps[0].numpy()
        region = place.region(2, map.shape)
        assert map[region].any(), name
        assert not map[~region].any(), name


def run_of(family: str = "resnet", **params: Any) -> dict[str, Any]:
    spec = methods()["ml-att"]
    given = {"cells": 2, "images": 2, "confidence": 0.0, **params}
    return dict(spec.function(model=micro.load(family), probe=micro.probe(), params=spec.parse(given), run=SilentContext()))


def test_all_methods_stand_at_the_same_layers_and_those_without_one_are_named() -> None:
    squares = {"occlusion": {"window": 16, "stride": 16}}  # none across a border of cells
    results = run_of(methods=["saliency", "grad-cam", "layer-cam", "occlusion", "fullgrad"], method_params=squares, smoothing=33)
    card = results["scores"]
    places = ["input", "middle: stage2.0", "last: stage4.1"]
    for title in ("Saliency", "Grad-CAM", "Layer-CAM", "Occlusion"):
        own = {s.name: s for s in card.scores if s.group == title}
        assert list(own) == [n for p in places for n in (p, f"{p}, smoothed")]
        assert all(s.chance == 0.25 for s in own.values())
        if title in ("Saliency", "Layer-CAM", "Occlusion"):
            # Nothing crosses a border of cells but the rounding of convolutions, which depends on the processor.
            assert [own[p].value for p in places] == pytest.approx([1.0] * 3, abs=1e-4)
    assert [k for k in card.facts if k.startswith("refused")] == [f"refused: FullGrad at {p}" for p in places]
    assert card.facts["sites of middle: stage2.0"] == "16 x 16"
    assert results["distribution"].rows == [f"{s.group}, {s.name}" for s in card.scores]


def test_at_the_input_it_is_the_benchmark_of_the_setting() -> None:
    ask = {"methods": ["saliency", "input-x-gradient"], "explained": 2}
    ours = {s.group: s.value for s in run_of(setting="dipart", **ask)["scores"].scores if s.name == "input"}
    spec = methods()["dipart"]
    params = spec.parse({"cells": 2, "images": 2, "confidence": 0.0, **ask})
    theirs = spec.function(model=micro.load("resnet"), probe=micro.probe(), params=params, run=SilentContext())["scores"]
    assert ours == pytest.approx({s.group: s.value for s in theirs.scores}, rel=1e-6)


def test_a_layer_is_not_to_be_chosen() -> None:
    with pytest.raises(InvalidInput, match="nothing to compare"):
        run_of(methods=["grad-cam"], method_params={"grad-cam": {"layer": "stage3.0"}})
