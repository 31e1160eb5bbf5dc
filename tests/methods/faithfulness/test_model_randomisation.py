"""The randomisation test as a method: which weights it draws, in which order, and what it says of good and bad maps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from microtome.core.context import SilentContext
from microtome.core.errors import InvalidInput
from microtome.methods import registry
from microtome.methods.attribution.explain import Attribution, Call
from microtome.methods.contract import MethodParams
from microtome.methods.faithfulness import model_randomisation as mr
from microtome.methods.faithfulness.randomisation import maps_elsewhere, randomised
from microtome.methods.faithfulness.similarity import spearman
from microtome.methods.registry import methods
from tests import micro
from tests.methods.faithfulness.common import call_for, class_target, edges, gradients


class Nothing(MethodParams):
    pass


@pytest.fixture
def explainers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Explainers of known worth, among the registered methods."""

    def silent(call: Call, params: Any) -> Attribution:
        changed = "drawn" in call.model.hash
        return Attribution(maps=torch.zeros_like(call.inputs[:, 0]) if changed else gradients(call).maps)

    known = methods()
    like = known["grad-cam"]
    for name, explain in (("edges", edges), ("gradients", gradients), ("silent", silent)):
        known = known | {name: replace(like, id=name, title=name, explain=explain, params=Nothing)}
    monkeypatch.setattr(registry, "methods", lambda: known)


def run_of(family: str = "resnet", targets: Any = None, **params: Any) -> dict[str, Any]:
    probe = micro.probe()
    chosen = mr.model_randomisation.parse(params)
    return dict(mr.model_randomisation.function(model=micro.load(family), probe=probe, targets=targets, params=chosen, run=SilentContext()))


@pytest.mark.parametrize("family", micro.FAMILIES)
def test_groups_cover_every_weight_once_from_the_output_down(family: str) -> None:
    model = micro.load(family)
    groups = mr.weight_groups(model)
    names = [n for _, parameters in groups for n in parameters]
    assert sorted(names) == sorted(n for n, _ in model.network.named_parameters())
    assert len({label for label, _ in groups}) == len(groups)
    assert any("classifier" in n for n in groups[0][1])
    labels = [label for label, _ in groups]
    places = [labels.index(layer.label) for layer in model.default_layers() if layer.label in labels]
    assert places == sorted(places, reverse=True)
    assert len(places) >= 3


@pytest.mark.parametrize("order", ["cascading", "independent"])
def test_similarity_is_that_of_the_maps_on_networks_randomised_by_hand(explainers: None, order: str) -> None:
    model, probe = micro.load("resnet"), micro.probe()
    found = run_of(method="gradients", order=order, examples=2, seed=5, targets=[1])
    groups = mr.weight_groups(model)
    assert found["similarity"].arrays["x"].tolist() == list(range(1, len(groups) + 1))
    for step in (1, 3, len(groups)):
        names = [n for _, g in groups[:step] for n in g] if order == "cascading" else groups[step - 1][1]
        other, expected = randomised(model, 5, names), []
        for index in range(2):
            call = call_for(model, probe.example(index), [class_target(model, 1)], seed=5)
            expected.append(spearman(gradients(call).maps[0].double().numpy(), maps_elsewhere(call, gradients, None, other)[0]))
        assert found["similarity"].arrays["y"][0, step - 1] == pytest.approx(np.mean(expected), abs=1e-3)
        assert found["layers"].scores[step - 1].value == pytest.approx(np.mean(expected), abs=1e-3)
        assert found["layers"].scores[step - 1].name == groups[step - 1][0]


@pytest.mark.parametrize("similarity", ["spearman", "ssim"])
def test_an_edge_detector_fails_and_gradients_pass(explainers: None, similarity: str) -> None:
    for name, fails in (("edges", True), ("gradients", False)):
        found = run_of(method=name, similarity=similarity, examples=2)
        assert found["layers"].facts["fails"] is fails
        assert found["layers"].facts["method"] == name
        low, y, high = (found["similarity"].arrays[a] for a in ("low", "y", "high"))
        assert (low <= y + 1e-6).all()
        assert (y <= high + 1e-6).all()
        assert found["layers"].facts["unchanged down to"] == (found["layers"].scores[-1].name if fails else None)
        if fails:
            assert y.min() == pytest.approx(1)


def test_one_example_has_an_interval_only_over_several_networks(explainers: None) -> None:
    assert "low" not in run_of(method="gradients", examples=1)["similarity"].arrays
    found = run_of(method="gradients", examples=1, draws=3)
    assert (found["similarity"].arrays["low"] < found["similarity"].arrays["high"]).all()


def test_a_layer_without_two_maps_to_compare_is_left_out_with_its_reason(explainers: None) -> None:
    found = run_of(method="silent", examples=1)
    assert found["layers"].scores == []
    assert found["similarity"].arrays["y"].shape == (1, 0)
    assert not found["layers"].facts["fails"]
    left_out = [v for k, v in found["layers"].facts.items() if k.startswith("left out: ")]
    assert len(left_out) == found["layers"].facts["layers"]
    assert "the same everywhere" in left_out[0]


def test_example_and_probe_set_are_explained_together(explainers: None) -> None:
    model, probe = micro.load("resnet"), micro.probe()
    params = mr.model_randomisation.parse({"method": "gradients", "examples": 2})
    found = mr.model_randomisation.function(model=model, probe=probe, example=probe.example(7), params=params, run=SilentContext())
    assert found["layers"].facts["maps"] == 3  # type: ignore[attr-defined]
    with pytest.raises(InvalidInput, match=r"subjects\.example"):
        mr.model_randomisation.function(model=model, params=params, run=SilentContext())


def test_parameters_of_the_method_that_is_tested_are_checked_by_name() -> None:
    for params, field, word in (
        ({"method": "predict"}, "params.method", "not an attribution method"),
        ({"method": "grad-cam", "method_params": {"steps": 3}}, "params.method_params", "steps"),
    ):
        with pytest.raises(InvalidInput, match=word) as caught:
            mr.model_randomisation.parse(params)
        assert caught.value.field == field
