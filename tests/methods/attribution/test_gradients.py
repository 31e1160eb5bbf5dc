"""The gradient family against Captum, against closed forms, and against the axioms of the papers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from microtome.core.errors import InvalidInput
from microtome.methods.attribution import expected_gradients as eg
from microtome.methods.attribution import smoothgrad as sg
from microtome.methods.attribution.baseline import baseline_input, normal_draws
from microtome.methods.attribution.deconvnet import deconvnet
from microtome.methods.attribution.deeplift import deeplift
from microtome.methods.attribution.explain import BATCH, Call, neighbours_of
from microtome.methods.attribution.fullgrad import fullgrad
from microtome.methods.attribution.gradient_shap import gradient_shap
from microtome.methods.attribution.guided_backpropagation import guided_backpropagation
from microtome.methods.attribution.input_x_gradient import input_x_gradient
from microtome.methods.attribution.integrated_gradients import integrated_gradients
from microtome.methods.attribution.saliency import Params as SaliencyParams
from microtome.methods.attribution.saliency import saliency
from microtome.probes import Example
from tests import micro
from tests.methods.attribution.calls import RUN, call_of, close, explained, maps
from tests.methods.attribution.nets import as_model, modules, twins
from tests.reference import attribution as reference

FAMILIES = ["resnet", "vit", "convnext"]


@pytest.mark.parametrize("family", FAMILIES)
def test_saliency_and_input_x_gradient_equal_captum(family: str) -> None:
    from captum.attr import InputXGradient, Saliency

    call = call_of(family, [1])
    theirs = Saliency(call.model.forward).attribute(call.inputs, target=1)[0]
    close(maps(saliency, None, family)[0], theirs.amax(0), 1e-6)
    close(maps(saliency, SaliencyParams(colours="sum"), family)[0], theirs.sum(0), 1e-6)
    signed = Saliency(call.model.forward).attribute(call.inputs, target=1, abs=False)[0]
    close(maps(saliency, SaliencyParams(colours="signed"), family)[0], signed.sum(0), 1e-6)
    close(maps(saliency, SaliencyParams(colours="norm"), family)[0], signed.norm(dim=0), 1e-6)
    close(
        maps(input_x_gradient, None, family)[0],
        InputXGradient(call.model.forward).attribute(call.inputs, target=1)[0].sum(0).detach(),
        1e-6,
    )


@pytest.mark.parametrize("family", ["resnet", "vit"])
def test_saliency_is_the_slope(family: str) -> None:
    """Finite differences in float64 of the pixel with the largest gradient and of another."""
    call = call_of(family, [{"minus": [0, 2]}])
    found = maps(saliency, SaliencyParams(colours="signed"), family, [{"minus": [0, 2]}])[0]
    place = np.unravel_index(np.abs(found).argmax(), found.shape)
    network = call.model.network.double()
    try:
        for y, x in (place, (20, 31)):
            step = torch.zeros_like(call.inputs[:1], dtype=torch.float64)
            step[0, :, y, x] = 1e-6
            with torch.inference_mode():
                up, down = (network(call.inputs[:1].double() + s * step).logits[0] for s in (1, -1))
            slope = float((up[0] - up[2] - down[0] + down[2]) / 2e-6)
            assert found[y, x] == pytest.approx(slope, rel=1e-3, abs=1e-6)
    finally:
        network.float()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("average", ["gradient", "square", "variance"])
def test_smoothgrad_is_what_a_loop_gives(family: str, average: str) -> None:
    call = call_of(family, [2])
    params = sg.Params(samples=BATCH + 5, average=average, colours="sum", noise=0.2)
    noise = [normal_draws(call.inputs, 0, [i])[0] for i in range(params.samples)]
    close(
        maps(sg.smoothgrad, params, family, [2])[0],
        reference.smoothgrad(call.inputs, lambda x: call.model.forward(x)[0, 2], noise, 0.2, average),
        1e-5,
    )


def test_smoothgrad_without_curvature_is_the_gradient() -> None:
    """A linear model: noise changes nothing, and the variance is none."""
    torch.manual_seed(3)
    model = as_model(nn.Sequential(nn.Conv2d(3, 4, 5, stride=3), nn.Flatten(), nn.Linear(4 * 20 * 20, 3)))
    plain = maps(saliency, SaliencyParams(), model)
    close(maps(sg.smoothgrad, sg.Params(samples=8, noise=1.0), model), plain, 1e-5)
    assert maps(sg.smoothgrad, sg.Params(samples=8, noise=1.0, average="variance"), model).max() < 1e-5 * plain.max() ** 2


def with_neighbours(call: Call) -> Call:
    return Call(call.model, call.inputs, call.targets, RUN, 0, neighbours_of(call.model, micro.probe().example(3), 0))


def test_neighbours_are_other_images_of_the_set() -> None:
    model, probe = micro.load("resnet"), micro.probe()
    draw = neighbours_of(model, probe.example(3), 0)
    assert draw is not None
    found = draw(50)
    rest = model.inputs([probe.image(i) for i in range(len(probe)) if i != 3])
    assert len(found) == len(rest) == 11
    assert {tuple(x.flatten()[:40].tolist()) for x in found} == {tuple(x.flatten()[:40].tolist()) for x in rest}
    torch.testing.assert_close(draw(4), draw(4))
    assert neighbours_of(model, type(probe.example(0))(probe.image(0), None, "upload"), 0) is None


def test_expected_gradients_of_a_linear_model_are_exact() -> None:
    """w * (x - mean of the baselines), whatever the places on the way."""
    torch.manual_seed(3)
    model = as_model(nn.Sequential(nn.Conv2d(3, 4, 5, stride=3), nn.Flatten(), nn.Linear(4 * 20 * 20, 3)))
    call = with_neighbours(call_of(model, [0, 2]))
    assert call.neighbours is not None
    bases = call.neighbours(4)
    found = eg.expected_gradients.explain(call, eg.Params(samples=8, references=4))  # type: ignore[misc]
    gradient = torch.stack([torch.autograd.functional.jacobian(lambda x: model.network(x)[0], call.inputs[:1])[:, 0][i] for i in (0, 2)])
    close(found.maps, (gradient * (call.inputs[0] - bases.mean(0))).sum(1), 1e-5)
    assert max(c["gap"] for c in found.completeness) < 1e-5
    assert "4 other images" in found.note


@pytest.mark.parametrize("family", ["resnet", "vit"])
def test_expected_gradients_converge_to_integrated_gradients_over_the_same_baselines(family: str) -> None:
    call = with_neighbours(call_of(family, [1]))
    assert call.neighbours is not None
    found = eg.expected_gradients.explain(call, eg.Params(samples=512, references=2))  # type: ignore[misc]
    from captum.attr import IntegratedGradients

    one = [
        IntegratedGradients(call.model.forward).attribute(call.inputs, b[None], target=1, n_steps=100, internal_batch_size=50)
        for b in call.neighbours(2)
    ]
    theirs = torch.stack([o[0].sum(0) for o in one]).mean(0).detach()
    assert np.corrcoef(found.maps[0].flatten(), theirs.flatten())[0, 1] > 0.98
    assert found.completeness[0]["total"] == pytest.approx(found.completeness[0]["expected"], rel=0.1, abs=2e-3)


@pytest.mark.parametrize("family", ["resnet", "vit"])
def test_gradient_shap_is_what_a_loop_gives_and_captum_expects(family: str) -> None:
    call = with_neighbours(call_of(family, [1]))
    assert call.neighbours is not None
    params = gradient_shap.params(samples=20, references=3, noise=0.05)
    found = gradient_shap.explain(call, params).maps[0]  # type: ignore[misc]
    bases, noise = call.neighbours(3), list(normal_draws(call.inputs, 0, range(20)))
    generator = torch.Generator().manual_seed(0)
    at = (torch.arange(20) + torch.rand(20, generator=generator)) / 20
    at = at[torch.randperm(20, generator=generator)]
    close(found, reference.gradient_shap(call.inputs, lambda x: call.model.forward(x)[0, 1], bases, at, noise, 0.05), 1e-5)

    from captum.attr import GradientShap

    torch.manual_seed(0)
    np.random.seed(0)
    spread = 0.05 * float(call.inputs.amax() - call.inputs.amin())
    theirs = GradientShap(call.model.forward).attribute(call.inputs, bases, n_samples=300, stdevs=spread, target=1)[0].sum(0).detach()
    many = gradient_shap.explain(call, gradient_shap.params(samples=300, references=3, noise=0.05)).maps[0]  # type: ignore[misc]
    assert np.corrcoef(many.flatten(), theirs.flatten())[0, 1] > 0.9


def test_an_upload_has_colour_noise_as_baselines_and_the_note_says_so() -> None:
    found = explained(eg.expected_gradients, eg.Params(samples=4, references=2))
    assert "belongs to no set" in found.note


@pytest.mark.parametrize("name", ["guided", "deconvnet"])
def test_rectified_gradients_equal_captum(name: str) -> None:
    from captum.attr import Deconvolution, GuidedBackprop

    spec, oracle = (guided_backpropagation, GuidedBackprop) if name == "guided" else (deconvnet, Deconvolution)
    for model in (micro.load("resnet"), modules()):
        call = call_of(model, [1])

        class Wrapped(nn.Module):
            def __init__(self, network: nn.Module) -> None:
                super().__init__()
                self.network = network

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                out = self.network(x)
                return out if isinstance(out, torch.Tensor) else out.logits

        theirs = oracle(Wrapped(model.network)).attribute(call.inputs, target=1)[0].detach()
        close(maps(spec, spec.params(colours="signed"), model)[0], theirs.sum(0), 1e-5)
        assert np.abs(maps(spec, spec.params(colours="signed"), model) - maps(saliency, SaliencyParams(colours="signed"), model)).max() > 0


@pytest.mark.parametrize("spec", [guided_backpropagation, deconvnet, deeplift, fullgrad, saliency, integrated_gradients])
def test_a_rectifier_counts_however_it_is_written(spec: Any) -> None:
    """As a module, as a function, in place, one module for several places: the same map."""
    plain, awkward = twins()
    close(maps(spec, spec.example_params, awkward, [0, 2]), maps(spec, spec.example_params, plain, [0, 2]), 1e-5)


@pytest.mark.parametrize("spec", [guided_backpropagation, deconvnet])
@pytest.mark.parametrize("family", ["vit", "convnext"])
def test_a_network_without_rectifiers_is_refused(spec: Any, family: str) -> None:
    with pytest.raises(InvalidInput, match="has none") as caught:
        maps(spec, None, family)
    assert caught.value.field == "model"


def test_a_pass_under_changed_rules_leaves_no_trace() -> None:
    call = call_of("resnet")
    before = call.model.forward(call.inputs)
    maps(guided_backpropagation)
    maps(deeplift)
    maps(fullgrad)
    torch.testing.assert_close(call.model.forward(call.inputs), before, rtol=0, atol=0)


TARGETS: list[Any] = [1, {"minus": [0, 2]}]


@pytest.mark.parametrize("family", micro.FAMILIES)
@pytest.mark.parametrize("baseline", ["black", "blur", "noise"])
def test_deeplift_adds_up(family: str, baseline: str) -> None:
    """Summation to delta, in float32: residual sums, overlapping max-pooling, ReLU6, GELU, layer norm, attention."""
    layer = micro.load(family).default_layers()[2].name
    found = explained(deeplift, deeplift.params(baseline=baseline), family, [*TARGETS, {"layer": layer, "unit": 1}])
    assert found.completeness
    for row, note in zip(found.maps, found.completeness, strict=True):
        assert note["gap"] <= 1e-4 * max(abs(note["expected"]), float(row.abs().max()))
        assert note["total"] == pytest.approx(float(row.double().sum()), rel=1e-4, abs=1e-5)


def test_deeplift_equals_captum_where_captum_is_defined() -> None:
    """Residual sums and average pooling with ReLU modules; Captum's max-pooling loses overlapping windows, so none here."""
    from captum.attr import DeepLift

    model = modules(pool=nn.AvgPool2d)
    call = call_of(model, [1])
    base = baseline_input(model, call.inputs, "mean")
    theirs = DeepLift(model.network).attribute(call.inputs, base, target=1)[0].sum(0).detach()
    close(maps(deeplift, deeplift.params(baseline="mean"), model)[0], theirs, 1e-4)


def test_deeplift_of_one_layer_is_the_papers_formula() -> None:
    """f = w . relu(V x): multipliers written out."""
    torch.manual_seed(5)
    network = nn.Sequential(nn.Conv2d(3, 5, 4, stride=4), nn.ReLU(), nn.Flatten(), nn.Linear(5 * 256, 3))
    call = call_of(as_model(network), [2])
    base = baseline_input(call.model, call.inputs, "black")
    with torch.no_grad():
        z, z0 = network[0](call.inputs.double().float()), network[0](base)
        m = ((z.relu() - z0.relu()) / (z - z0)) * network[3].weight[2].view_as(z)
        back = nn.functional.conv_transpose2d(m, network[0].weight, stride=4)
        wanted = ((call.inputs - base) * back).sum(1)[0]
    close(maps(deeplift, None, call.model, [2])[0], wanted, 1e-4)


def test_deeplift_shares_out_overlapping_windows() -> None:
    """Max-pooling 3 x 3, stride 2: each window's difference at its winner, in loops; a pixel may win several windows."""
    model = as_model(nn.Sequential(nn.MaxPool2d(3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    call = call_of(model, [1])
    base = baseline_input(model, call.inputs, "blur")
    x, b = (nn.functional.pad(t[0, 1], [1] * 4, value=-1e9).double().numpy() for t in (call.inputs, base))
    wanted = np.zeros((66, 66))
    for top in range(0, 64, 2):
        for left in range(0, 64, 2):
            window = (slice(top, top + 3), slice(left, left + 3))
            most_x, most_b = x[window].max(), b[window].max()
            winner = np.unravel_index((x if most_x >= most_b else b)[window].argmax(), (3, 3))
            wanted[top + winner[0], left + winner[1]] += (most_x - most_b) / 32**2
    close(maps(deeplift, deeplift.params(baseline="blur"), model)[0], wanted[1:-1, 1:-1], 1e-4)


def test_deeplift_sees_through_saturation_where_the_gradient_does_not() -> None:
    """The paper's example, at every pixel: 1 - relu(1 - x) has no gradient at white and yet rose by 1 since black."""

    class Saturated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lift = nn.Conv2d(3, 3, 1)
            like = micro.load("resnet").preprocess
            self.lift.weight.data = torch.eye(3)[:, :, None, None]
            self.lift.bias.data = torch.tensor(like.mean) / torch.tensor(like.std)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (1 - torch.relu(1 - self.lift(x))).mean((2, 3))

    model, white = as_model(Saturated()), Example(np.full((64, 64, 3), 255, np.uint8), None, "white")
    assert not maps(saliency, None, model, image=white).any()
    found = explained(deeplift, None, model, image=white)
    np.testing.assert_allclose(found.maps, 1 / 64**2, rtol=1e-4)


@pytest.mark.parametrize("family", micro.FAMILIES)
def test_fullgrad_is_complete(family: str) -> None:
    """Input and bias terms are the number explained, in float32."""
    layer = micro.load(family).default_layers()[2].name
    found = explained(fullgrad, None, family, [*TARGETS, {"layer": layer, "unit": 1}])
    assert found.completeness
    for note in found.completeness:
        assert note["gap"] <= 1e-5 * max(abs(note["expected"]), 1e-30) + 1e-7 * (family != "mobilenet")
    assert found.maps.min() >= 0


def test_fullgrad_terms_are_those_of_the_paper() -> None:
    """Every bias written out by autograd on the parameters: for a convolution, d f / d b * b; for batch norm its folded shift."""
    model = modules()
    call = call_of(model, [1])
    wanted = reference.fullgrad(model.network, call.inputs, 1, model.preprocess.size)
    close(maps(fullgrad, fullgrad.params(rescale=False), model)[0], wanted, 1e-4)


def test_fullgrad_notices_a_bias_that_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    from microtome.methods.attribution import fullgrad as module

    rules = module.bias_rules
    monkeypatch.setattr(module, "bias_rules", lambda told: {k: v for k, v in rules(told).items() if k != "batch_norm"})
    found = explained(fullgrad, None, modules(), [1])
    assert found.completeness
    assert found.completeness[0]["gap"] > 0.01


@pytest.mark.parametrize(
    "spec", [saliency, input_x_gradient, sg.smoothgrad, eg.expected_gradients, gradient_shap, deeplift, fullgrad, integrated_gradients]
)  # fmt: skip
@pytest.mark.parametrize("family", ["resnet", "vit"])
def test_rows_do_not_influence_each_other(spec: Any, family: str) -> None:
    targets: list[Any] = [0, 1, 2, {"minus": [0, 1]}] * 5  # more rows than one batch holds
    alone = maps(spec, spec.example_params, family, targets[3:4])[0]
    together = maps(spec, spec.example_params, family, targets)
    close(together[3], alone, 1e-5)
    close(together[19], alone, 1e-5)


@pytest.mark.parametrize(("spec", "name"), [(sg.smoothgrad, "samples"), (eg.expected_gradients, "samples"), (gradient_shap, "samples")])
def test_n_steps_are_n_images_forward_and_the_batch_is_constant(spec: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    call = with_neighbours(call_of("resnet", [1]))
    sizes: list[int] = []
    forward = type(call.model).forward
    monkeypatch.setattr(type(call.model), "forward", lambda self, x: sizes.append(len(x)) or forward(self, x))
    spec.explain(call, spec.params(**{name: 40}))
    with_gradient = [s for s in sizes if s == BATCH] + [40 % BATCH]
    assert sizes[: len(with_gradient)] == [BATCH, BATCH, 40 % BATCH]
    assert sum(sizes) <= 40 + 16 + 1  # the rest looks at the ends of the way, once each


def test_targets_share_the_passes_over_the_bases() -> None:
    """The bases and the image go forward once, whatever the number of targets; what is told of a row is its own target's."""
    params = eg.Params(samples=2, references=5)
    one, three = call_of("resnet", [1]), call_of("resnet", [0, 1, {"minus": [1, 2]}])
    passes = []
    for call in (one, three):
        before = call.model.forward_passes
        found = eg.expected_gradients.explain(call, params).completeness  # type: ignore[misc]
        passes.append(call.model.forward_passes - before)
    assert passes == [2 + 6, 3 * 2 + 6]
    alone = eg.expected_gradients.explain(one, params).completeness  # type: ignore[misc]
    assert found[1] == pytest.approx(alone[0], rel=1e-4)
    assert found[2]["expected"] != pytest.approx(found[1]["expected"], rel=1e-3)
