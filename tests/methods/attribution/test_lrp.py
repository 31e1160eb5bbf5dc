"""LRP and deep Taylor decomposition against explicit loops, against Captum, and against what the rules promise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from microtome.core.errors import InvalidInput
from microtome.methods.attribution import lrp_rules as rules
from microtome.methods.attribution.baseline import baseline_input
from microtome.methods.attribution.deep_taylor import deep_taylor
from microtome.methods.attribution.explain import BATCH
from microtome.methods.attribution.input_x_gradient import input_x_gradient
from microtome.methods.attribution.layerwise import Layerwise, Plan
from microtome.methods.attribution.lrp import lrp
from microtome.methods.attribution.operations import Operations
from tests import micro
from tests.methods.attribution.calls import call_of, close, explained, maps
from tests.methods.attribution.nets import as_model, modules, twins
from tests.reference import lrp as reference

P = lrp.params
TARGETS: list[Any] = [0, 1, 2, {"minus": [0, 1]}]
EVERY = [
    P(rule="epsilon", epsilon=0.0), P(rule="epsilon"), P(rule="gamma"), P(rule="gamma", gamma=3.0, input_rule="flat"), P(rule="z-plus"),
    P(rule="z-plus", input_rule="box"), P(rule="alpha-beta"), P(rule="alpha-beta", alpha=1.0, input_rule="w-square"), P(rule="composite"),
    P(rule="composite", epsilon=0.1, gamma=0.1),
]  # fmt: skip


def sequential(seed: int = 0, *, bias: float | None = None, norm: bool = True) -> nn.Sequential:
    """Convolution, batch normalisation with moved statistics, maxima, convolution, linear layer."""
    torch.manual_seed(seed)
    layers: list[nn.Module] = [nn.Conv2d(3, 4, 5, stride=6, padding=1)]
    if norm:
        layers.append(nn.BatchNorm2d(4))
        layers[-1].running_mean.uniform_(-0.5, 0.5)  # type: ignore[operator,union-attr]
        layers[-1].running_var.uniform_(0.5, 2)  # type: ignore[operator,union-attr]
        nn.init.uniform_(layers[-1].weight, 0.5, 1.5)  # type: ignore[arg-type]
        nn.init.uniform_(layers[-1].bias, -0.5, 0.5)  # type: ignore[arg-type]
    layers += [nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 5, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(125, 3)]
    network = nn.Sequential(*layers)
    if bias is not None:
        for module in network:
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.constant_(module.bias, bias)  # type: ignore[arg-type]
    return network.eval()


def steps_of(network: nn.Sequential) -> list[reference.Step]:
    """The network in the reference's terms, batch normalisation merged by hand."""
    one, norm, two, head = network[0], network[1], network[4], network[7]
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()  # type: ignore[operator]
    with torch.no_grad():
        first = reference.convolution(
            one.weight * scale.view(-1, 1, 1, 1), (one.bias - norm.running_mean) * scale + norm.bias, 6, 1, (3, 64, 64)
        )  # fmt: skip
        pool = reference.largest(2, first.shape)
        second = reference.convolution(two.weight, two.bias, 1, 1, pool.shape)
        last = reference.linear(head.weight, head.bias)
    return [first, reference.Rectified(), pool, second, reference.Rectified(), last]


#: The rules of the three layers of :func:`sequential` under each preset: two convolutions, of which one is in the lower half.
@pytest.mark.parametrize(
    ("params", "wanted"),
    [
        (P(rule="epsilon", epsilon=0.0), [("epsilon", 0.0)] * 3),
        (P(rule="epsilon", epsilon=0.25), [("epsilon", 0.25)] * 3),
        (P(rule="gamma", gamma=0.5), [("gamma", 0.5)] * 3),
        (P(rule="z-plus"), [("alpha-beta", 1.0)] * 3),
        (P(rule="alpha-beta", alpha=2.0), [("alpha-beta", 2.0)] * 3),
        (P(rule="alpha-beta", alpha=3.0, input_rule="w-square"), [("w-square", 0.0)] + [("alpha-beta", 3.0)] * 2),
        (P(rule="gamma", input_rule="flat"), [("flat", 0.0)] + [("gamma", 0.25)] * 2),
        (P(rule="composite", epsilon=0.1), [("box", 0.0), ("epsilon", 0.1), ("epsilon", 0.0)]),
        (P(rule="composite", gamma=0.3, input_rule="same"), [("gamma", 0.3), ("epsilon", 0.01), ("epsilon", 0.0)]),
    ],
)
def test_every_preset_is_what_loops_over_units_give(params: Any, wanted: list[tuple[str, float]]) -> None:
    network = sequential()
    model, steps = as_model(network), steps_of(network)
    call = call_of(model, [0, 2])
    x = call.inputs[0].double().flatten().numpy()
    edges = [baseline_input(model, call.inputs[:1], kind)[0].double().flatten().numpy() for kind in ("black", "white")]
    ours = lrp.explain(call, params).maps  # type: ignore[misc]
    for row, target in enumerate((0, 2)):
        theirs = reference.relevance(steps, x, target, wanted, *edges).reshape(3, 64, 64).sum(0)
        close(ours[row], theirs, 1e-4)


@pytest.mark.parametrize("domain", ["box", "real"])
def test_deep_taylor_is_what_loops_over_units_give(domain: str) -> None:
    network = sequential(3)
    model, steps = as_model(network), steps_of(network)
    call = call_of(model, [0, 1, 2])
    x = call.inputs[0].double().flatten().numpy()
    edges = [baseline_input(model, call.inputs[:1], kind)[0].double().flatten().numpy() for kind in ("black", "white")]
    wanted = [("box" if domain == "box" else "w-square", 0.0), ("positive", 0.0), ("positive", 0.0)]
    ours = deep_taylor.explain(call, deep_taylor.params(domain=domain)).maps  # type: ignore[misc]
    for row in range(3):
        close(ours[row], reference.relevance(steps, x, row, wanted, *edges).reshape(3, 64, 64).sum(0), 1e-4)


class Plain(nn.Module):
    """:func:`sequential` without batch normalisation, flattened by a function: Captum has no rule for modules that flatten."""

    def __init__(self, bias: float | None) -> None:
        super().__init__()
        parts = sequential(1, bias=bias, norm=False)
        self.features, self.head = parts[:-2], parts[-1]

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).flatten(1))  # type: ignore[no-any-return]


@pytest.mark.parametrize(("rule", "bias"), [("epsilon", None), ("gamma", 0.0), ("z-plus", 0.0)])
def test_lrp_equals_captum(rule: str, bias: float | None) -> None:
    """On positive inputs and for a positive logit, where Captum's rules are those of the papers; Captum leaves biases as they are in
    the denominators of gamma and z-plus, so these are compared without."""
    from captum.attr import LRP
    from captum.attr._utils.lrp_rules import Alpha1_Beta0_Rule, EpsilonRule, GammaRule

    network = Plain(bias).eval()
    inputs = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    scores = network(inputs)[0].detach()
    target = int(scores.argmax())
    assert scores[target] > 0
    call = replace(call_of(as_model(network), [target]), inputs=inputs)
    ours = lrp.explain(call, P(rule=rule, epsilon=0.0)).maps[0]  # type: ignore[misc]
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            own = {"epsilon": EpsilonRule(), "gamma": GammaRule(gamma=0.25), "z-plus": Alpha1_Beta0_Rule()}
            module.rule = own[rule]  # type: ignore[assignment]
    close(ours, LRP(network).attribute(inputs.clone(), target=target)[0].sum(0).detach(), 1e-4)


def without_biases(seed: int = 0) -> Any:
    network = modules(seed, norm=False).network
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]
    return as_model(network)


@pytest.mark.parametrize("params", [p for p in EVERY if p.epsilon == 0 or p.rule in ("gamma", "z-plus", "alpha-beta")], ids=str)
def test_without_biases_and_epsilon_relevance_is_the_number(params: Any) -> None:
    """Also over a sum of branches, maxima and averages."""
    found = explained(lrp, params, without_biases(), TARGETS)
    for note in found.completeness or []:
        assert note["total"] == pytest.approx(note["expected"], rel=1e-4)
        assert note["absorbed"] == pytest.approx(0, abs=1e-5 * abs(note["expected"]))
    assert len(found.completeness or []) == 4


@pytest.mark.parametrize("params", EVERY, ids=str)
@pytest.mark.parametrize("family", ["resnet", "mobilenet"])
def test_a_network_accounts_for_all_of_the_number(params: Any, family: str) -> None:
    """What pixels get and what biases, constants and epsilon absorb is the number, in float32 through dozens of layers."""
    model = micro.load(family)
    layer = model.default_layers()[2].name
    targets = [*TARGETS, {"layer": layer, "unit": 1}] if family == "resnet" else [{"layer": layer, "unit": 1}]
    found = explained(lrp, params, family, targets)
    for row, note in enumerate(found.completeness or []):
        most = max(float(found.maps[row].abs().sum()), abs(note["expected"]), abs(note["absorbed"]))
        assert abs(note["total"] + note["absorbed"] - note["expected"]) <= 1e-4 * most


@pytest.mark.parametrize("family", ["vit", "convnext"])
@pytest.mark.parametrize("rule", ["epsilon", "gamma"])
@pytest.mark.parametrize("amount", [0.0, 0.25])
def test_transformers_account_for_all_of_the_number(family: str, rule: str, amount: float) -> None:
    found = explained(lrp, P(rule=rule, epsilon=amount, gamma=amount), family, TARGETS)
    assert found.maps.abs().max() > 0
    for row, note in enumerate(found.completeness or []):
        most = max(float(found.maps[row].abs().sum()), abs(note["expected"]), abs(note["absorbed"]))
        assert abs(note["total"] + note["absorbed"] - note["expected"]) <= 1e-4 * most


def test_a_lost_share_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The account is no tautology: position embeddings that go unnoticed leave a hole in it."""
    model = micro.load("vit")
    monkeypatch.setattr(Layerwise, "_constant", lambda self, value, carrier, sign: value)
    note = (explained(lrp, P(rule="epsilon"), model).completeness or [])[0]
    assert abs(note["total"] + note["absorbed"] - note["expected"]) > 1e-3 * abs(note["expected"])


def test_without_rules_it_is_input_x_gradient() -> None:
    """Plain proportion in a network of ReLUs, by another road (Shrikumar et al. 2016)."""
    close(maps(lrp, P(rule="epsilon", epsilon=0.0), "resnet", TARGETS), maps(input_x_gradient, None, "resnet", TARGETS), 1e-3)


@pytest.mark.parametrize("family", ["resnet", "vit"])
def test_gamma_without_favour_is_epsilon_without_epsilon(family: str) -> None:
    plain = maps(lrp, P(rule="epsilon", epsilon=0.0), family, TARGETS)
    close(maps(lrp, P(rule="gamma", gamma=0.0), family, TARGETS), plain, 1e-6)
    close(maps(lrp, P(rule="gamma", gamma=1e-6), family, TARGETS), plain, 1e-2)


def test_alpha_one_is_z_plus_and_much_gamma_comes_near() -> None:
    one = maps(lrp, P(rule="z-plus"), "resnet", [0])
    close(maps(lrp, P(rule="alpha-beta", alpha=1.0), "resnet", [0]), one, 1e-6)
    model, target = without_biases(), 0
    found = maps(lrp, P(rule="gamma", gamma=1000.0), model, [0, 1, 2])
    wanted = maps(lrp, P(rule="z-plus"), model, [0, 1, 2])
    target = int(call_of(model).model.forward(call_of(model).inputs)[0].argmax())
    close(found[target], wanted[target], 0.02)


def test_z_plus_is_deep_taylor_where_biases_are_not_positive() -> None:
    """Paper: behind ReLUs and for biases that are not positive; input rule alike."""
    model = as_model(sequential(1, bias=-0.05, norm=False))
    z_plus, taylor = maps(lrp, P(rule="z-plus", input_rule="box"), model, [0, 1, 2]), maps(deep_taylor, None, model, [0, 1, 2])
    close(z_plus, taylor, 1e-5)
    with_biases = modules()
    other = maps(lrp, P(rule="z-plus", input_rule="box"), with_biases, [0]) - maps(deep_taylor, None, with_biases, [0])
    assert np.abs(other).max() > 0


@pytest.mark.parametrize("family", ["resnet", "modules"])
@pytest.mark.parametrize("domain", ["box", "real"])
def test_deep_taylor_is_positive_and_complete(family: str, domain: str) -> None:
    found = explained(deep_taylor, deep_taylor.params(domain=domain), modules() if family == "modules" else family, [0, 1, 2])
    assert found.completeness
    for row, note in enumerate(found.completeness):
        assert note["total"] == pytest.approx(note["expected"], rel=1e-4)
        assert float((found.maps[row] * np.sign(note["expected"])).min()) >= -1e-9
    assert ("Negative here" in found.note) == any(note["expected"] < 0 for note in found.completeness)


@pytest.mark.parametrize("params", EVERY, ids=str)
def test_a_layer_counts_however_it_is_written(params: Any) -> None:
    """As a module, as a function, in place, one module for several places: the same map."""
    plain, awkward = twins()
    close(maps(lrp, params, awkward, [0, 2]), maps(lrp, params, plain, [0, 2]), 1e-5)


def test_a_norm_behind_a_rectifier_in_place_is_a_layer_of_its_own() -> None:
    """Convolution, ReLU, batch normalisation: nothing to merge, though the tensor is the one the convolution gave."""
    found = []
    for inplace in (False, True):
        torch.manual_seed(0)
        norm = nn.BatchNorm2d(4)
        norm.running_mean.uniform_(0, 0.5)  # type: ignore[union-attr]
        head = [nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 3)]
        network = nn.Sequential(nn.Conv2d(3, 4, 5, stride=4), nn.ReLU(inplace=inplace), norm, *head)
        found.append(explained(lrp, P(rule="z-plus"), as_model(network)))
    close(found[1].maps, found[0].maps, 1e-5)
    note = (found[1].completeness or [])[0]
    assert note["total"] + note["absorbed"] == pytest.approx(note["expected"], rel=1e-4)


def passing(leaf: Tensor) -> Operations:
    walk = Layerwise(leaf, "LRP", rules.one_rule(rules.epsilon(0.0), None), None, Plan())
    return Operations(walk.rules())


def test_a_sum_of_branches_is_shared_by_the_rule() -> None:
    """a + b, by hand: in proportion, and among positive parts."""
    a = torch.tensor([[2.0, -1.0, 3.0]], requires_grad=True)
    b = torch.tensor([[1.0, 4.0, -1.0]], requires_grad=True)
    arriving = torch.tensor([[0.5, 2.0, -1.0]])  # multipliers: relevance 1.5, 6 and -2
    for rule, first, second in (
        (rules.epsilon(0.0), [1.0, -2.0, -3.0], [0.5, 8.0, 1.0]),
        (rules.alpha_beta(1.0), [1.0, 0.0, -2.0], [0.5, 6.0, 0.0]),
        (rules.positive, [1.0, 0.0, -2.0], [0.5, 6.0, 0.0]),
        (rules.alpha_beta(2.0), [1.0, -6.0, -4.0], [0.5, 12.0, 2.0]),
    ):
        with torch.enable_grad(), Operations(Layerwise(a, "LRP", rules.one_rule(rule, None), None, Plan()).rules()):
            out = a + b
        one, other = torch.autograd.grad(out, (a, b), arriving)
        torch.testing.assert_close((one * a).detach(), torch.tensor([first]))
        torch.testing.assert_close((other * b).detach(), torch.tensor([second]))


def test_attention_follows_attnlrp() -> None:
    """The formulas of Achtibat et al. (2024), sections 3.3.1 and 3.3.2, one term at a time."""
    torch.manual_seed(0)
    q, k, v = (torch.randn(1, 1, 4, 3, requires_grad=True) for _ in range(3))
    arriving = torch.randn(1, 1, 4, 3)
    with torch.enable_grad(), passing(q):
        out = nn.functional.scaled_dot_product_attention(q, k, v)
    torch.testing.assert_close(out, nn.functional.scaled_dot_product_attention(q, k, v))
    ours = [(g * t).detach()[0, 0].double().numpy() for g, t in zip(torch.autograd.grad(out, (q, k, v), arriving), (q, k, v), strict=True)]
    queries, keys, values = (t.detach()[0, 0].double().numpy() for t in (q, k, v))
    scores = queries @ keys.T / np.sqrt(3)
    weights = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    answer = weights @ values
    given = answer * arriving[0, 0].double().numpy()
    of_weights, of_values, of_queries, of_keys = np.zeros((4, 4)), np.zeros((4, 3)), np.zeros((4, 3)), np.zeros((4, 3))
    for j in range(4):
        for i in range(4):
            for p in range(3):
                share = weights[j, i] * values[i, p] * given[j, p] / (2 * answer[j, p])
                of_weights[j, i] += share
                of_values[i, p] += share
    for j in range(4):
        for i in range(4):
            of_score = scores[j, i] * (of_weights[j, i] - weights[j, i] * of_weights[j].sum())
            for p in range(3):
                share = queries[j, p] * keys[i, p] / np.sqrt(3) * of_score / (2 * scores[j, i])
                of_queries[j, p] += share
                of_keys[i, p] += share
    for found, wanted in zip(ours, (of_queries, of_keys, of_values), strict=True):
        close(found, wanted, 1e-4)


def test_attention_is_the_same_written_out() -> None:
    """The fused function and products around a softmax: one map."""
    torch.manual_seed(1)
    q, k, v = (torch.randn(2, 2, 5, 4, requires_grad=True) for _ in range(3))
    arriving = torch.randn(2, 2, 5, 4)
    with torch.enable_grad(), passing(q):
        fused = nn.functional.scaled_dot_product_attention(q, k, v)
        plain = nn.functional.softmax(torch.matmul(q, k.transpose(2, 3)) * 0.5, dim=-1) @ v
    for one, other in zip(torch.autograd.grad(fused, (q, k, v), arriving), torch.autograd.grad(plain, (q, k, v), arriving), strict=True):
        close(one, other, 1e-4)


def test_layer_norm_and_functions_of_one_value_follow_attnlrp() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 5, 6, requires_grad=True)
    weight, bias, arriving = torch.randn(6), torch.randn(6), torch.randn(2, 5, 6)
    with torch.enable_grad(), passing(x):
        out = nn.functional.layer_norm(x, (6,), weight, bias)
    deviation = (x.var(-1, correction=0, keepdim=True) + 1e-5).sqrt().detach()
    wanted = torch.autograd.grad((x - x.mean(-1, keepdim=True)) / deviation * weight + bias, x, arriving)[0]
    torch.testing.assert_close(torch.autograd.grad(out, x, arriving)[0], wanted)
    for function in (nn.functional.gelu, nn.functional.silu, nn.functional.relu6, nn.functional.hardswish, torch.tanh):
        with torch.enable_grad(), passing(x):
            out = function(x * 4)
        torch.testing.assert_close(out, function(x * 4))
        kept = torch.autograd.grad(out, x, arriving)[0] * x
        torch.testing.assert_close(kept, arriving * function(x * 4))  # relevance passes on as it is


@pytest.mark.parametrize("rule", ["composite", "z-plus", "alpha-beta"])
@pytest.mark.parametrize(("family", "has"), [("vit", "attention and layer normalisation"), ("convnext", "layer normalisation")])
def test_presets_of_relus_are_refused_elsewhere(rule: str, family: str, has: str) -> None:
    with pytest.raises(InvalidInput, match=f"'{rule}' rests on values .* {has}") as caught:
        maps(lrp, P(rule=rule), family)
    assert caught.value.field == "params.rule"


@pytest.mark.parametrize("family", ["vit", "convnext"])
def test_deep_taylor_is_refused_without_relus(family: str) -> None:
    with pytest.raises(InvalidInput, match="networks of ReLUs, and this one has") as caught:
        maps(deep_taylor, None, family)
    assert caught.value.field == "model"


class Odd(nn.Module):
    """A network with one function that LRP has no rule for."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.one, self.head, self.function = nn.Conv2d(3, 4, 3), nn.Linear(4, 3), function

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.function(self.one(x)).mean((2, 3)))  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("function", "named"),
    [(torch.sigmoid, "'sigmoid'"), (torch.exp, "'exp'"), (lambda x: x**2, "'pow'"), (lambda x: x / x.abs().sum(), "'abs'"),
     (lambda x: x / x.mean(), "division"), (lambda x: nn.functional.group_norm(x, 2), "'group_norm'")],
)  # fmt: skip
def test_a_function_without_rule_is_refused_by_name(function: Any, named: str) -> None:
    with pytest.raises(InvalidInput, match=f"LRP has no rule for .*{named}") as caught:
        maps(lrp, None, as_model(Odd(function)))
    assert caught.value.field == "model"


def test_an_input_rule_needs_a_layer_that_sees_the_image() -> None:
    model = as_model(nn.Sequential(nn.AvgPool2d(4), nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)))
    with pytest.raises(InvalidInput, match="in this network none does") as caught:
        maps(lrp, P(rule="z-plus", input_rule="box"), model)
    assert caught.value.field == "model"
    assert explained(lrp, P(rule="composite"), model).facts["input rule"] == "same"


@pytest.mark.parametrize("spec", [lrp, deep_taylor])
def test_rows_do_not_influence_each_other(spec: Any) -> None:
    targets: list[Any] = [0, 1, 2, {"minus": [0, 1]}] * (BATCH // 4 + 1)
    alone, together = maps(spec, None, "resnet", targets[3:4])[0], maps(spec, None, "resnet", targets)
    close(together[3], alone, 1e-5)
    close(together[-1], alone, 1e-5)


def test_a_pass_under_rules_leaves_no_trace() -> None:
    call = call_of("resnet")
    before = call.model.forward(call.inputs)
    lrp.explain(call, P())  # type: ignore[misc]
    torch.testing.assert_close(call.model.forward(call.inputs), before, rtol=0, atol=0)
