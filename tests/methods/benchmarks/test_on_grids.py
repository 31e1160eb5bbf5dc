"""Scores of methods of known worth: exact by construction, broken on purpose, random, oracle and its opposite."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from microtome.core.context import SilentContext
from microtome.core.errors import InvalidInput, RunCancelled
from microtome.methods import registry
from microtome.methods.attribution.explain import Attribution, Call
from microtome.methods.attribution.saliency import saliency
from microtome.methods.benchmarks.contest import GridParams, smooth
from microtome.methods.contract import MethodParams
from microtome.methods.registry import methods
from tests import micro
from tests.reference import grids as reference

EXACT = ["saliency", "input-x-gradient", "integrated-gradients"]


class Nothing(MethodParams):
    pass


def oracle(call: Call, params: Any) -> Attribution:
    height, width = (s // 2 for s in call.inputs.shape[2:])
    maps = torch.full(call.inputs[:, 0].shape, 0.01)
    for row, target in enumerate(call.targets):
        y, x = divmod(int(target.name.rsplit(" ", 1)[1]), 2)
        maps[row, y * height : (y + 1) * height, x * width : (x + 1) * width] = 1.0
    return Attribution(maps)


def inverted(call: Call, params: Any) -> Attribution:
    return Attribution(1.01 - oracle(call, params).maps)


def shifted(call: Call, params: Any) -> Attribution:
    """Saliency, moved by one cell."""
    maps = saliency.explain(call, saliency.params()).maps
    return Attribution(maps.roll(maps.shape[2] // 2, 2))


def random(call: Call, params: Any) -> Attribution:
    seed = int(call.inputs.double().abs().sum() * 1000) % 2**31
    return Attribution(torch.rand(call.inputs[:, 0].shape, generator=torch.Generator().manual_seed(seed)))


def empty(call: Call, params: Any) -> Attribution:
    return Attribution(-torch.ones_like(call.inputs[:, 0]))


def infinite(call: Call, params: Any) -> Attribution:
    return Attribution(torch.full_like(call.inputs[:, 0], torch.inf))


def refusing(call: Call, params: Any) -> Attribution:
    raise InvalidInput("Not this network.", field="model")


FAKES = {f.__name__: f for f in (oracle, inverted, shifted, random, empty, infinite, refusing)}


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    known = methods()
    made = {name: replace(known["grad-cam"], id=name, title=name, explain=fake, params=Nothing) for name, fake in FAKES.items()}
    monkeypatch.setattr(registry, "methods", lambda: known | made)


def run_of(id: str, family: str = "resnet", run: Any = None, **params: Any) -> dict[str, Any]:
    given = {"cells": 2, "images": 4, "confidence": 0.0, **params}
    spec = methods()[id]
    return dict(spec.function(model=micro.load(family), probe=micro.probe(), params=spec.parse(given), run=run or SilentContext()))


def values(results: dict[str, Any], name: str = "localisation") -> dict[str, Any]:
    return {s.group: s for s in results["scores"].scores if s.name == name}


@pytest.mark.parametrize("family", ["resnet", "vit", "convnext"])
def test_difull_is_one_for_methods_that_are_exact_and_less_for_one_that_is_broken(fakes: None, family: str) -> None:
    ask = {"methods": [*EXACT, "shifted"], "method_params": {"integrated-gradients": {"steps": 4, "max_steps": 8}}}
    found = values(run_of("difull", family, explained=2, **ask))
    for name in EXACT:
        assert found[methods()[name].title].value == pytest.approx(1.0, abs=1e-6)
        assert found[methods()[name].title].chance == 0.25
    assert found["shifted"].value < 0.05


@pytest.mark.parametrize(("setting", "family"), [("difull", "resnet"), ("dipart", "resnet"), ("gridpg", "convnext")])
def test_an_oracle_is_first_random_at_its_level_and_an_inverted_oracle_last(fakes: None, setting: str, family: str) -> None:
    results = run_of(setting, family, methods=["saliency", "oracle", "inverted", "random"], images=12)
    found = values(results)
    order = sorted(found, key=lambda name: -found[name].value)
    assert order[-1] == "inverted"
    assert found["oracle"].value == pytest.approx(1 / 1.03)
    assert found["oracle"].value > found["random"].value > found["inverted"].value
    # Mean of uniform values over a quarter of 128 x 128 pixels: deviation of the share, by the delta method.
    pixels = 128 * 128
    deviation = np.sqrt(1 / 12 / pixels * (1 / 0.25 - 1)) * 0.25 / 0.5
    assert abs(found["random"].value - 0.25) < 4 * deviation / np.sqrt(12)
    assert results["scores"].facts["grids"] == 12


def test_scores_are_the_shares_of_single_maps_and_so_is_their_spread() -> None:
    from microtome.methods.benchmarks.contest import calls
    from microtome.methods.benchmarks.on_grids import prepared

    params = GridParams(methods=["saliency"], cells=3, images=3, explained=2, confidence=0.0, smoothing=9)
    model, probe = micro.load("resnet"), micro.probe()
    place, _, grids = prepared("dipart", model, probe, params, SilentContext())
    wanted, soft = [], []
    for grid, call in calls(place, probe, grids, SilentContext(), 0):
        for row, cell in enumerate(grid.explained):
            map = saliency.explain(call, saliency.params()).maps[row].double().numpy()
            wanted.append(reference.localisation(map, 3, cell))
            soft.append(reference.localisation(smooth(map, 9), 3, cell))
    results = run_of("dipart", cells=3, images=3, explained=2, methods=["saliency"], smoothing=9)
    assert values(results)["Saliency"].value == pytest.approx(np.mean(wanted), rel=1e-5)
    assert values(results, "localisation, smoothed")["Saliency"].value == pytest.approx(np.mean(soft), rel=1e-5)
    spread = results["distribution"]
    assert spread.rows == ["Saliency", "Saliency, smoothed"]
    assert spread.arrays["counts"].sum(1).tolist() == [6, 6]
    np.testing.assert_allclose(spread.arrays["thresholds"][0], np.quantile(wanted, spread.grid), rtol=1e-5)
    assert values(results)["Saliency"].low <= values(results)["Saliency"].value <= values(results)["Saliency"].high


@pytest.mark.parametrize("width", [1, 2, 3, 4, 9])
def test_smoothing_is_a_gaussian_with_nothing_outside(width: int) -> None:
    map = np.random.default_rng(0).normal(size=(11, 8))
    np.testing.assert_allclose(smooth(map, width), map if width == 1 else reference.smoothed(map, width), atol=1e-12)


def test_what_has_no_score_is_named_and_never_zero(fakes: None) -> None:
    results = run_of("difull", methods=["saliency", "empty", "infinite", "refusing", "fullgrad", "cam"])
    card = results["scores"]
    assert set(values(results)) == {"Saliency"}
    facts = {k: v for k, v in card.facts.items() if k.startswith(("refused", "left out"))}
    assert facts["refused: empty"] == "nothing in the map is positive (4 maps)"
    assert "not finite (4 maps)" in facts["refused: infinite"]
    assert facts["refused: refusing"] == "Not this network. (4 maps)"
    assert "cell by cell" in facts["refused: FullGrad"]
    assert "refused: CAM" in facts
    assert results["distribution"].rows == ["Saliency"]
    with pytest.raises(InvalidInput, match="nothing to compare"):
        run_of("difull", methods=["empty"])


def test_without_classes_of_the_model_its_own_predictions_count_and_the_card_says_so() -> None:
    assert "own predictions" in run_of("difull", methods=["saliency"])["scores"].facts["classes by"]
    with pytest.raises(InvalidInput, match="Lower the confidence") as caught:
        run_of("difull", confidence=0.999)
    assert caught.value.field == "params.confidence"


def test_parameters_of_methods_are_checked_by_name() -> None:
    spec = methods()["gridpg"]
    for params, match in (
        ({"methods": ["no-such"]}, "not an attribution method"),
        ({"methods": ["predict"]}, "not an attribution method"),
        ({"methods": ["saliency"], "method_params": {"grad-cam": {}}}, "not among the methods"),
        ({"methods": ["saliency"], "method_params": {"saliency": {"colours": "sepia"}}}, "colours"),
        ({"methods": []}, "at least 1"),
    ):
        with pytest.raises(InvalidInput, match=match):
            spec.parse(params)
    assert spec.parse({"methods": ["saliency", "saliency"]}).methods == ["saliency"]


def test_passes_are_counted_and_cancel_is_heard_inside_a_method() -> None:
    model = micro.load("resnet")
    before = model.forward_passes
    run_of("dipart", methods=["saliency"], images=2)
    assert model.forward_passes >= before + 12 + 8

    class Cancelling(SilentContext):
        asked = 0

        def check(self) -> None:
            self.asked += 1
            if self.asked > 12:
                raise RunCancelled("stopped")

    with pytest.raises(RunCancelled):
        run_of("difull", methods=["occlusion"], run=Cancelling(), images=50)
