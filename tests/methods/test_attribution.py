"""Attribution against Captum, against formulas written independently, and against the axioms of the papers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from microtome.core.context import SilentContext
from microtome.core.errors import InvalidInput
from microtome.methods.attribution import grad_cam as gc
from microtome.methods.attribution import integrated_gradients as ig
from microtome.methods.attribution import occlusion as occ
from microtome.methods.attribution.predict import Params as PredictParams
from microtome.methods.attribution.predict import predict, predictions
from microtome.methods.contract import MethodParams
from microtome.probes import Example
from tests import micro
from tests.reference import attribution as reference

RUN = SilentContext()


def example(seed: int = 0) -> Example:
    image = np.random.default_rng(seed).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    return Example(image, None, "noise")


def maps(spec, params: MethodParams, family: str = "resnet", targets: list[int] | None = None) -> np.ndarray:  # type: ignore[no-untyped-def]
    out = spec.function(model=micro.load(family), example=example(), targets=targets, params=params, run=RUN)
    return out["map"].arrays["maps"]


@pytest.mark.parametrize("family", ["resnet", "vit", "convnext"])
@pytest.mark.parametrize("quadrature", ["gausslegendre", "riemann_middle"])
@pytest.mark.parametrize("baseline", ["black", "blur"])
def test_integrated_gradients_equal_captum(family: str, quadrature: str, baseline: str) -> None:
    from captum.attr import IntegratedGradients

    model = micro.load(family)
    inputs = model.inputs([example().image])
    base = ig.baseline_input(model, inputs, baseline)
    ours = ig.integrate(model, inputs, base, 1, quadrature, 20, RUN)
    theirs = IntegratedGradients(model.forward).attribute(inputs, base, target=1, n_steps=20, method=quadrature)[0]
    scale = theirs.abs().max()
    assert ((ours - theirs).abs().max() / scale) <= 1e-5


def test_integrated_gradients_add_up_or_say_by_how_much_not() -> None:
    model = micro.load("resnet")
    result = ig.integrated_gradients.function(model=model, example=example(), targets=[0, 2], params=ig.Params(), run=RUN)["map"]
    for row, note in zip(result.arrays["maps"], result.completeness, strict=True):
        assert note["total"] == pytest.approx(float(row.sum(dtype=np.float64)), abs=1e-4)
        assert note["gap"] == pytest.approx(abs(note["total"] - note["expected"]), abs=1e-9)
        assert note["gap"] <= max(0.01 * abs(note["expected"]), 1e-3) or note["steps"] == 256


def test_steps_double_only_up_to_the_cap() -> None:
    result = ig.integrated_gradients.function(
        model=micro.load("resnet"), example=example(), targets=[0], params=ig.Params(steps=2, max_steps=4), run=RUN
    )["map"]
    assert result.completeness[0]["steps"] in (2.0, 4.0)


def test_integrated_gradients_ignore_what_does_not_matter() -> None:
    """Sensitivity: a pixel equal to its baseline gets exactly nothing."""
    model = micro.load("resnet")
    image = example().image.copy()
    image[:20] = 0
    result = ig.integrated_gradients.function(model=model, example=Example(image, None, ""), params=ig.Params(steps=4), run=RUN)
    # The processor enlarges and crops, so stay clear of the edge between black and noise.
    assert not result["map"].arrays["maps"][0, :14].any()


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
    ours = maps(gc.grad_cam, gc.Params(), family, [2])[0]
    assert np.abs(ours - expected).max() <= 1e-5 * max(np.abs(expected).max(), 1e-9)


def test_grad_cam_equals_captum_before_upsampling() -> None:
    from captum.attr import LayerGradCam

    model = micro.load("resnet")
    layer = model.layer("stage3.0")
    inputs = model.inputs([example().image])
    theirs = LayerGradCam(model.forward, model.module(layer)).attribute(inputs, target=1, relu_attributions=True)
    theirs = torch.nn.functional.interpolate(theirs, model.preprocess.size, mode="bilinear")[0, 0].detach().numpy()
    ours = maps(gc.grad_cam, gc.Params(layer="stage3.0"), targets=[1])[0]
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5 * np.abs(theirs).max())


def test_grad_cam_on_a_transformer_uses_a_layer_the_class_token_still_reads() -> None:
    assert micro.load("vit").attribution_layer().label == "layer1"
    assert maps(gc.grad_cam, gc.Params(relu=False), "vit").any()
    with pytest.raises(InvalidInput, match="earlier layer"):
        maps(gc.grad_cam, gc.Params(layer="layer2"), "vit")


def test_occlusion_equals_one_pass_per_square() -> None:
    model = micro.load("resnet")
    inputs = model.inputs([example().image])
    fill = ig.baseline_input(model, inputs, "mean")

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
    fill = ig.baseline_input(model, inputs, "mean")
    theirs = Occlusion(model.forward).attribute(inputs, (3, 16, 16), strides=(3, 16, 16), baselines=fill, target=0)[0, 0]
    ours = maps(occ.occlusion, occ.Params(window=16, stride=16), targets=[0])[0]
    np.testing.assert_allclose(ours, theirs.detach().numpy(), atol=1e-5)


def test_several_classes_at_once_equal_one_at_a_time() -> None:
    for spec, params in ((gc.grad_cam, gc.Params(relu=False)), (ig.integrated_gradients, ig.Params(steps=4, max_steps=4))):
        both = maps(spec, params, targets=[0, 2])
        np.testing.assert_allclose(both[1], maps(spec, params, targets=[2])[0], atol=1e-6)


def test_a_window_larger_than_the_image_is_refused() -> None:
    with pytest.raises(InvalidInput) as caught:
        maps(occ.occlusion, occ.Params(window=65, stride=8))
    assert caught.value.field == "params.window"


def test_a_class_the_model_does_not_have() -> None:
    with pytest.raises(InvalidInput, match="0 to 2"):
        maps(gc.grad_cam, gc.Params(), targets=[7])


def test_probabilities_sum_to_one_and_match_between_methods() -> None:
    model, probe = micro.load("resnet"), micro.probe()
    one = predict.function(model=model, example=probe.example(3), params=MethodParams(), run=RUN)["prediction"]
    assert sum(s.value for s in one.scores) == pytest.approx(1)
    table = predictions.function(model=model, probe=probe, params=PredictParams(), run=RUN)
    values = table["probabilities"].arrays["values"]
    np.testing.assert_allclose(values[3], [s.value for s in one.scores], atol=1e-5)
    assert table["accuracy"].scores == []
    assert "not defined" in table["accuracy"].note
