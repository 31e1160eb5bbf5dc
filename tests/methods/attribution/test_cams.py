"""The CAM family against formulas written with loops, against other libraries' definitions, and against the axioms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from microtome.core.errors import InvalidInput
from microtome.methods.attribution.ablation_cam import ablation_cam
from microtome.methods.attribution.baseline import normal_draws
from microtome.methods.attribution.cam import CamParams
from microtome.methods.attribution.class_activation_map import cam
from microtome.methods.attribution.eigen_cam import eigen_cam
from microtome.methods.attribution.grad_cam import grad_cam
from microtome.methods.attribution.grad_cam_plus_plus import grad_cam_plus_plus
from microtome.methods.attribution.layer_cam import layer_cam
from microtome.methods.attribution.score_cam import score_cam
from microtome.methods.attribution.smooth_grad_cam_plus_plus import smooth_grad_cam_plus_plus
from microtome.methods.attribution.xgrad_cam import xgrad_cam
from tests import micro
from tests.methods.attribution.calls import call_of, close, explained, maps
from tests.methods.attribution.nets import as_model
from tests.reference import attribution as reference

GRADIENT = {"grad-cam": grad_cam, "xgrad-cam": xgrad_cam, "grad-cam-plus-plus": grad_cam_plus_plus, "layer-cam": layer_cam}
EVERY = [cam, *GRADIENT.values(), smooth_grad_cam_plus_plus, eigen_cam, score_cam, ablation_cam]
#: One CNN, one transformer of tokens, one network whose blocks keep the units last.
PLACES = [("resnet", "stage3.0"), ("resnet", "stage4.1"), ("vit", "layer0"), ("vit", "layer1"), ("convnext", "stage3.1")]


def at_layer(family: str, name: str, target: int = 1) -> tuple[Any, Any, np.ndarray, np.ndarray]:
    """Call, layer, activation and gradient [K, h, w] in float64, found without any of our hooks."""
    call = call_of(family, [target])
    layer = call.model.layer(name)
    inputs = call.inputs.clone().requires_grad_(True)
    found = reference.layer_and_gradient(
        call.model.network, call.model.module(layer), lambda: call.model.network(inputs).logits[0, target]
    )  # fmt: skip
    activation, gradient = (layer.canonical(t)[0].double().numpy() for t in found)
    return call, layer, activation, gradient


@pytest.mark.parametrize("name", GRADIENT)
@pytest.mark.parametrize(("family", "place"), PLACES)
@pytest.mark.parametrize("relu", [True, False])
def test_gradient_maps_equal_their_formulas(name: str, family: str, place: str, relu: bool) -> None:
    call, _, activation, gradient = at_layer(family, place)
    heat = (reference.cam_weights(name, activation, gradient) * activation).sum(0)
    wanted = reference.upsample(np.maximum(heat, 0) if relu else heat, call.model.preprocess.size)
    spec = GRADIENT[name]
    ours = maps(spec, spec.params(layer=place, relu=relu), family)[0]
    if wanted.any():
        # Denominators that cross zero make Grad-CAM++ and XGrad-CAM ill-conditioned where maps have both signs.
        loose = name in ("xgrad-cam", "grad-cam-plus-plus") and activation.min() < 0
        close(ours, wanted, 1e-2 if loose else 1e-4)
    else:
        assert not ours.any()


def test_gradients_come_from_one_pass_and_go_no_further_than_the_layer() -> None:
    """Nothing before the layer keeps a graph, and the input gets no gradient."""
    call = call_of("resnet", [0, 1])
    before, seen = call.model.forward_passes, []
    first = call.model.module(call.model.layer("stage1.0"))
    handle = first.register_forward_hook(lambda _, __, out: seen.append(out.requires_grad))
    try:
        grad_cam.explain(call, CamParams(layer="stage3.0"))  # type: ignore[misc]
    finally:
        handle.remove()
    assert call.model.forward_passes == before + 1
    assert seen == [False]


@pytest.mark.parametrize("spec", [s for s in EVERY if s is not cam])
@pytest.mark.parametrize("family", ["resnet", "vit"])
def test_shared_rows_equal_rows_of_their_own(spec: Any, family: str) -> None:
    call = call_of(family, [0, 1, {"minus": [0, 2]}])
    params = spec.example_params.model_copy(update={"relu": False})
    together = spec.explain(call, params).maps
    apart = spec.explain(type(call)(call.model, call.inputs.clone(), call.targets, call.run, 0), params).maps
    close(together, apart, 1e-4)
    for row, target in enumerate([0, 1, {"minus": [0, 2]}]):
        close(maps(spec, params, family, [target])[0], apart[row], 1e-4)


@pytest.mark.parametrize("spec", EVERY)
def test_two_images_in_one_call_stay_apart(spec: Any) -> None:
    one, other = call_of("resnet", [1]), call_of("resnet", [1], image=micro.probe().example(2))
    both = type(one)(one.model, torch.cat([one.inputs, other.inputs]), [*one.targets, *other.targets], one.run, 0)
    found = spec.explain(both, spec.example_params).maps
    for row, call in enumerate((one, other)):
        alone = spec.explain(call, spec.example_params).maps[0]
        assert alone.any()
        close(found[row], alone, 1e-4)


# --- CAM ----------------------------------------------------------------------------------------------------------------


def test_cam_is_the_maps_in_the_weights_of_the_classifier() -> None:
    call, layer, activation, _ = at_layer("resnet", "stage4.1", 2)
    head = call.model.network.classifier[1]
    heat = np.einsum("k,khw->hw", head.weight[2].double().numpy(), activation)
    found = explained(cam, cam.params(relu=False), "resnet", [2])
    close(found.maps[0], reference.upsample(heat, call.model.preprocess.size), 1e-4)
    assert found.completeness
    note = found.completeness[0]
    assert note["total"] == pytest.approx(float(call.model.forward(call.inputs)[0, 2] - head.bias[2]), abs=1e-5)
    assert note["gap"] < 1e-5
    assert layer.label == found.facts["layer"]


def test_cam_equals_grad_cam_times_sites_where_it_is_defined() -> None:
    """Selvaraju et al., section 3.1: Grad-CAM generalises CAM."""
    layer = micro.load("resnet").attribution_layer()
    close(maps(cam, cam.params(relu=False)), maps(grad_cam, CamParams(relu=False)) * layer.height * layer.width, 1e-4)


@pytest.mark.parametrize(
    ("family", "layer", "field"), [("resnet", "stage3.0", "params.layer"), ("vit", None, "model"), ("convnext", None, "model")]
)
def test_cam_refuses_where_no_linear_layer_follows(family: str, layer: str | None, field: str) -> None:
    with pytest.raises(InvalidInput, match="linear layer") as caught:
        maps(cam, cam.params(layer=layer), family)
    assert caught.value.field == field


# --- axioms of XGrad-CAM ------------------------------------------------------------------------------------------------


def homogeneous(bias: bool) -> Any:
    torch.manual_seed(2)
    return as_model(
        nn.Sequential(
            nn.Conv2d(3, 6, 3, stride=4), nn.ReLU(), nn.Conv2d(6, 5, 3, stride=2, bias=bias), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
            nn.Flatten(), nn.Linear(5, 3, bias=bias),
        )
    )  # fmt: skip


def test_xgrad_cam_conserves_in_a_relu_network_without_bias_and_not_with_one() -> None:
    """Theorem of the paper: there f is the sum of gradient x activation."""
    for bias in (False, True):
        model = homogeneous(bias)
        found = explained(xgrad_cam, xgrad_cam.params(layer="1", axiom_units=6), model)
        (gap,) = found.facts["conservation_gap"]  # type: ignore[misc]
        assert (gap < 1e-5) is not bias


def test_xgrad_cam_reports_the_gaps_by_their_definition() -> None:
    call, layer, activation, gradient = at_layer("resnet", "stage3.0")
    found = explained(xgrad_cam, xgrad_cam.params(layer="stage3.0", axiom_units=16), "resnet", [0, 1])
    shares = (reference.cam_weights("xgrad-cam", activation, gradient) * activation).sum((1, 2))
    with torch.inference_mode():
        whole = float(call.model.forward(call.inputs)[0, 1])
        falls = []
        for unit in range(layer.units):
            with call.model.ablated(layer, [unit]):
                falls.append(whole - float(call.model.forward(call.inputs)[0, 1]))
    missing, taken = np.abs(np.array(falls) - shares).sum(), np.abs(falls).sum()
    assert found.facts["sensitivity_gap"][1] == pytest.approx(missing / taken, rel=1e-3)  # type: ignore[index]
    assert found.facts["conservation_gap"][1] == pytest.approx(abs(whole - shares.sum()) / abs(whole), rel=1e-3)  # type: ignore[index]


def test_xgrad_cam_is_sensitive_where_only_a_linear_layer_follows() -> None:
    (gap,) = explained(xgrad_cam, xgrad_cam.params(axiom_units=24)).facts["sensitivity_gap"]  # type: ignore[misc]
    assert gap < 1e-4


# --- without gradients --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("family", "place"), PLACES)
@pytest.mark.parametrize("component", [1, 2])
def test_eigen_cam_is_an_eigenvector_of_the_units(family: str, place: str, component: int) -> None:
    call, _, activation, _ = at_layer(family, place)
    flat = activation.reshape(len(activation), -1).T
    values, vectors = np.linalg.eigh(flat.T @ flat)
    heat = (flat @ vectors[:, -component]).reshape(activation.shape[1:])
    heat *= np.sign(heat.sum())
    found = explained(eigen_cam, eigen_cam.params(layer=place, component=component), family, [0, 1])
    close(found.maps[0], reference.upsample(heat, call.model.preprocess.size), 1e-4)
    torch.testing.assert_close(found.maps[0], found.maps[1])
    assert found.facts["energy"][0] == pytest.approx(values[-component] / values.sum(), rel=1e-4)  # type: ignore[index]


def test_a_component_the_layer_does_not_have() -> None:
    with pytest.raises(InvalidInput, match="there is no component 5"):
        maps(eigen_cam, eigen_cam.params(layer="stage4.1", component=5))


@pytest.mark.parametrize(("family", "place"), PLACES)
@pytest.mark.parametrize("weights", ["softmax", "score"])
def test_score_cam_is_one_masked_image_per_map(family: str, place: str, weights: str) -> None:
    call, _, activation, _ = at_layer(family, place)
    size, scores = call.model.preprocess.size, []
    varied = [unit for unit in activation if unit.max() > unit.min()]
    with torch.inference_mode():
        dark = float(call.model.forward(torch.zeros_like(call.inputs[:1]))[0, 1])
        for unit in varied:
            if family == "convnext":  # its norms magnify the last digits where a mask is near zero: the same digits, then
                mask = torch.nn.functional.interpolate(torch.tensor(unit)[None, None].float(), size, mode="bilinear")[0, 0]
            else:
                mask = torch.tensor(reference.upsample(unit, size)).float()
            mask = (mask - mask.min()) / (mask.max() - mask.min())
            scores.append(float(call.model.forward(call.inputs[:1] * mask)[0, 1]) - dark)
    values = np.exp(scores) / np.exp(scores).sum() if weights == "softmax" else np.array(scores)
    wanted = reference.upsample(np.einsum("k,khw->hw", values, np.stack(varied)), size)
    close(maps(score_cam, score_cam.params(layer=place, relu=False, weights=weights), family)[0], wanted, 1e-3)


@pytest.mark.parametrize(("family", "place"), PLACES)
def test_ablation_cam_switches_units_off_one_at_a_time(family: str, place: str) -> None:
    call, layer, activation, _ = at_layer(family, place)
    with torch.inference_mode():
        whole = call.model.forward(call.inputs)[0, 1]
        weights = []
        for unit in range(layer.units):
            with call.model.ablated(layer, [unit]):
                weights.append(float(whole - call.model.forward(call.inputs)[0, 1]))
    wanted = reference.upsample(np.einsum("k,khw->hw", weights, activation), call.model.preprocess.size)
    close(maps(ablation_cam, ablation_cam.params(layer=place, relu=False), family)[0], wanted, 1e-3)


@pytest.mark.parametrize(("spec", "name"), [(score_cam, "maps"), (ablation_cam, "maps")])
def test_fewer_maps_are_those_that_vary_most(spec: Any, name: str) -> None:
    _, _, activation, _ = at_layer("resnet", "stage3.0")
    best = sorted(np.argsort(-activation.reshape(16, -1).std(1, ddof=1), kind="stable")[:5].tolist())
    some = explained(spec, spec.params(layer="stage3.0", most=5))
    assert some.facts[name] == 5
    close(some.maps, maps(spec, spec.params(layer="stage3.0", units=best)), 1e-5)


# --- Smooth Grad-CAM++ --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("family", "place"), [("resnet", "stage3.0"), ("vit", "layer1")])
def test_smooth_grad_cam_plus_plus_averages_powers_of_gradients(family: str, place: str) -> None:
    call, layer, activation, _ = at_layer(family, place)
    spread = 0.2 * float(call.inputs.max() - call.inputs.min())
    gradients = []
    for i in range(5):
        noisy = (call.inputs[:1] + spread * normal_draws(call.inputs, 0, [i])[0]).requires_grad_(True)
        _, g = reference.layer_and_gradient(
            call.model.network, call.model.module(layer), lambda noisy=noisy: call.model.network(noisy).logits[0, 1]
        )  # fmt: skip
        gradients.append(layer.canonical(g)[0].double().numpy())
    stack = np.stack(gradients)
    first, second, third = (np.mean(stack**p, 0) for p in (1, 2, 3))
    alpha = second / (2 * second + activation.sum((1, 2), keepdims=True) * third)
    weights = (alpha * np.maximum(first, 0)).sum((1, 2), keepdims=True)
    wanted = reference.upsample((weights * activation).sum(0), call.model.preprocess.size)
    params = smooth_grad_cam_plus_plus.params(layer=place, samples=5, noise=0.2, relu=False)
    close(maps(smooth_grad_cam_plus_plus, params, family)[0], wanted, 1e-3)


@pytest.mark.parametrize("spec", [s for s in EVERY if s not in (cam, score_cam, eigen_cam)])
def test_subsets_of_maps_and_neurons_add_up_to_the_whole(spec: Any) -> None:
    """For every map that is a sum over units: what is left out is exactly what is missing."""
    base = {**spec.example_params.model_dump(), "layer": "stage3.0", "relu": False} | (
        {"most": None} if "most" in spec.params.model_fields else {}
    )
    whole = maps(spec, spec.params(**base))
    units, side = list(range(16)), micro.load("resnet").layer("stage3.0").height
    parts = [maps(spec, spec.params(**{**base, "units": u})) for u in (units[:5], units[5:])]
    close(sum(parts), whole, 1e-4)
    sites = [(y, x) for y in range(side) for x in range(side)]
    parts = [maps(spec, spec.params(**{**base, "sites": s})) for s in (sites[:4], sites[4:])]
    close(sum(parts), whole, 1e-4)
