"""Grad-CAM, integrated gradients and occlusion against Captum, independent formulas, and the axioms of the papers; predictions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from microtome.core.context import SilentContext
from microtome.core.errors import InvalidInput
from microtome.methods.attribution import grad_cam as gc
from microtome.methods.attribution import integrated_gradients as ig
from microtome.methods.attribution import occlusion as occ
from microtome.methods.attribution.baseline import baseline_input
from microtome.methods.attribution.cam import CamParams
from microtome.methods.attribution.predict import Params as PredictParams
from microtome.methods.attribution.predict import predict, predictions
from microtome.methods.contract import MethodParams
from microtome.probes import Example
from tests import micro
from tests.methods.attribution.calls import call_of, example, explained, maps
from tests.reference import attribution as reference

RUN = SilentContext()


@pytest.mark.parametrize("family", ["resnet", "vit", "convnext"])
@pytest.mark.parametrize("quadrature", ["gausslegendre", "riemann_middle"])
@pytest.mark.parametrize("baseline", ["black", "blur"])
def test_integrated_gradients_equal_captum(family: str, quadrature: str, baseline: str) -> None:
    from captum.attr import IntegratedGradients

    call = call_of(family, [1])
    model, inputs = call.model, call.inputs
    base = baseline_input(model, inputs, baseline)
    ours = ig.integrate(call, [0], base[None], quadrature, 20)[0]
    theirs = IntegratedGradients(model.forward).attribute(inputs, base, target=1, n_steps=20, method=quadrature)[0]
    scale = theirs.abs().max()
    assert ((ours - theirs).abs().max() / scale) <= 1e-5


def test_integrated_gradients_add_up_or_say_by_how_much_not() -> None:
    result = explained(ig.integrated_gradients, ig.Params(), targets=[0, {"minus": [0, 2]}, {"layer": "stage3.0", "unit": 3}])
    assert result.completeness
    for row, note in zip(result.maps.numpy(), result.completeness, strict=True):
        assert note["total"] == pytest.approx(float(row.sum(dtype=np.float64)), abs=1e-4)
        assert note["gap"] == pytest.approx(abs(note["total"] - note["expected"]), abs=1e-9)
        assert note["gap"] <= max(0.01 * abs(note["expected"]), 1e-3) or note["steps"] == 256


def test_steps_double_only_up_to_the_cap() -> None:
    result = explained(ig.integrated_gradients, ig.Params(steps=2, max_steps=4), targets=[0])
    assert result.completeness
    assert result.completeness[0]["steps"] in (2.0, 4.0)


def test_integrated_gradients_ignore_what_does_not_matter() -> None:
    """Sensitivity: a pixel equal to its baseline gets exactly nothing."""
    image = example().image.copy()
    image[:20] = 0
    found = maps(ig.integrated_gradients, ig.Params(steps=4), image=Example(image, None, ""))
    # The processor enlarges and crops, so stay clear of the edge between black and noise.
    assert not found[0, :14].any()
    assert found[0, 20:].any()


def test_several_baselines_are_the_mean_of_each() -> None:
    one = [maps(ig.integrated_gradients, ig.Params(baseline=b, steps=8, max_steps=8))[0] for b in ("black", "blur", "noise")]
    together = explained(ig.integrated_gradients, ig.Params(more_baselines=["blur", "noise"], steps=8, max_steps=8))
    np.testing.assert_allclose(together.maps[0], np.mean(one, 0), atol=1e-6)
    assert together.completeness
    assert together.completeness[0]["gap"] < 0.05


@pytest.mark.parametrize("family", ["resnet", "mobilenet", "convnext"])
def test_grad_cam_equals_the_formula(family: str) -> None:
    model = micro.load(family)
    layer = model.attribution_layer()
    inputs = model.inputs([example().image])
    with model.record([layer], keep_graph=True) as recorded, torch.enable_grad():
        model.forward(inputs.requires_grad_(True))
    activation = recorded[layer.name].detach()

    def rest(leaf: torch.Tensor) -> torch.Tensor:
        handle = model.module(layer).register_forward_hook(lambda *_: leaf)
        try:
            return model.forward(inputs)[0, 2]
        finally:
            handle.remove()

    with torch.enable_grad():
        expected = reference.grad_cam(activation, rest, model.preprocess.size)
    ours = maps(gc.grad_cam, CamParams(), family, [2])[0]
    assert np.abs(ours - expected).max() <= 1e-5 * max(np.abs(expected).max(), 1e-9)


def test_grad_cam_equals_captum_before_upsampling() -> None:
    from captum.attr import LayerGradCam

    model = micro.load("resnet")
    layer = model.layer("stage3.0")
    inputs = model.inputs([example().image])
    theirs = LayerGradCam(model.forward, model.module(layer)).attribute(inputs, target=1, relu_attributions=True)
    theirs = torch.nn.functional.interpolate(theirs, model.preprocess.size, mode="bilinear")[0, 0].detach().numpy()
    ours = maps(gc.grad_cam, CamParams(layer="stage3.0"), targets=[1])[0]
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5 * np.abs(theirs).max())


def test_grad_cam_on_a_transformer_uses_a_layer_the_class_token_still_reads() -> None:
    assert micro.load("vit").attribution_layer().label == "layer1"
    assert maps(gc.grad_cam, CamParams(relu=False), "vit").any()
    with pytest.raises(InvalidInput, match="earlier layer"):
        maps(gc.grad_cam, CamParams(layer="layer2"), "vit")


def test_occlusion_equals_one_pass_per_square() -> None:
    model = micro.load("resnet")
    inputs = model.inputs([example().image])
    fill = baseline_input(model, inputs, "mean")

    def logit(x: torch.Tensor) -> float:
        with torch.inference_mode():
            return float(model.forward(x)[0, 1])

    expected = reference.occlusion(inputs, fill, logit, 24, 16)
    ours = maps(occ.occlusion, occ.Params(window=24, stride=16), targets=[1])[0]
    np.testing.assert_allclose(ours, expected, atol=1e-5 * max(1.0, np.abs(expected).max()))


def test_occlusion_equals_captum_where_squares_tile_the_image() -> None:
    from captum.attr import Occlusion

    model = micro.load("resnet")
    inputs = model.inputs([example().image])
    fill = baseline_input(model, inputs, "mean")
    theirs = Occlusion(model.forward).attribute(inputs, (3, 16, 16), strides=(3, 16, 16), baselines=fill, target=0)[0, 0]
    ours = maps(occ.occlusion, occ.Params(window=16, stride=16), targets=[0])[0]
    np.testing.assert_allclose(ours, theirs.detach().numpy(), atol=1e-5)


def test_several_classes_at_once_equal_one_at_a_time() -> None:
    for spec, params in ((gc.grad_cam, CamParams(relu=False)), (ig.integrated_gradients, ig.Params(steps=4, max_steps=4))):
        both = maps(spec, params, targets=[0, 2])
        np.testing.assert_allclose(both[1], maps(spec, params, targets=[2])[0], atol=1e-6)


def test_a_window_larger_than_the_image_is_refused() -> None:
    with pytest.raises(InvalidInput) as caught:
        maps(occ.occlusion, occ.Params(window=65, stride=8))
    assert caught.value.field == "params.window"


def test_grad_cam_runs_the_network_once_whatever_the_number_of_classes() -> None:
    call = call_of("resnet", [0, 1, 2, {"minus": [0, 1]}])
    before = call.model.forward_passes
    gc.grad_cam.explain(call, CamParams())
    assert call.model.forward_passes == before + 1


def test_a_subset_of_maps_and_neurons() -> None:
    """Maps of subsets that together are everything add up to the whole."""
    params = {"layer": "stage3.0", "relu": False}
    whole = maps(gc.grad_cam, CamParams(**params))
    some, rest = ([0, 3, 5], [u for u in range(16) if u not in (0, 3, 5)])
    both = maps(gc.grad_cam, CamParams(units=some, **params)) + maps(gc.grad_cam, CamParams(units=rest, **params))
    np.testing.assert_allclose(both, whole, atol=1e-6)
    side = micro.load("resnet").layer("stage3.0").height
    sites = [(y, x) for y in range(side) for x in range(side)]
    both = maps(gc.grad_cam, CamParams(sites=sites[:3], **params)) + maps(gc.grad_cam, CamParams(sites=sites[3:], **params))
    np.testing.assert_allclose(both, whole, atol=1e-6)
    with pytest.raises(InvalidInput, match="there is no 16"):
        maps(gc.grad_cam, CamParams(units=[16], **params))
    with pytest.raises(InvalidInput, match="none is at"):
        maps(gc.grad_cam, CamParams(sites=[(side, 0)], **params))


def test_a_unit_behind_the_layer_can_be_explained_and_one_before_it_not() -> None:
    assert maps(gc.grad_cam, CamParams(layer="stage2.0", relu=False), targets=[{"layer": "stage4.0", "unit": 5}]).any()
    with pytest.raises(InvalidInput, match="earlier layer"):
        maps(gc.grad_cam, CamParams(layer="stage4.0"), targets=[{"layer": "stage2.0", "unit": 5}])


def test_probabilities_sum_to_one_and_match_between_methods() -> None:
    model, probe = micro.load("resnet"), micro.probe()
    one = predict.function(model=model, example=probe.example(3), params=MethodParams(), run=RUN)["prediction"]
    assert sum(s.value for s in one.scores) == pytest.approx(1)
    table = predictions.function(model=model, probe=probe, params=PredictParams(), run=RUN)
    values = table["probabilities"].arrays["values"]
    np.testing.assert_allclose(values[3], [s.value for s in one.scores], atol=1e-5)
    assert table["accuracy"].scores == []
    assert "not defined" in table["accuracy"].note
