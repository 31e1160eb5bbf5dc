"""What is put together beside a map: complete, deterministic, shared, and honest about what is missing."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from microtome.core.context import SilentContext
from microtome.core.errors import InvalidInput, RunCancelled
from microtome.methods.attribution.baseline import baseline_input
from microtome.methods.attribution.explain import Attribution, Call
from microtome.methods.attribution.target import Target
from microtome.methods.faithfulness import chance, infidelity, localisation, randomisation, sensitivity
from microtome.methods.faithfulness.evidence import evidence
from microtome.methods.faithfulness.order import counts
from microtome.methods.faithfulness.sheet import SCORES, Sheet
from microtome.probes import Example
from microtome.results import Curves, Scorecard
from tests import micro
from tests.methods.faithfulness.common import call_for, class_target, edges, gradients, picture
from tests.reference import faithfulness as reference

ALWAYS = ["deletion", "insertion", "infidelity", "max-sensitivity", "sparseness"]


def evidence_of(
    explain: Any = gradients, family: str = "resnet", targets: list[Target] | None = None, example: Example | None = None, **options: Any
) -> tuple[Scorecard, Curves]:
    model = micro.load(family)
    call = call_for(model, example or picture(64), targets or [class_target(model, 0)], run=options.pop("run", None))
    return evidence(call, explain, explain(call, None), None, example or picture(64), **{"passes": 3.0, **options})


def by_name(card: Scorecard, group: str) -> dict[str, Scorecard.Score]:
    return {s.name: s for s in card.scores if s.group == group}


@pytest.mark.parametrize("family", ["resnet", "vit"])
def test_every_target_has_its_scores_and_curves(family: str) -> None:
    model = micro.load(family)
    layer = model.default_layers()[1]
    difference = Target("disc - square", None, ((0, 1.0), (1, -1.0)))
    targets = [class_target(model, 2), difference, Target(f"{layer.label} / 1", layer, ((1, 1.0),))]
    card, curves = evidence_of(family=family, targets=targets)
    assert [s.group for s in card.scores] == [t.name for t in targets for _ in range(6)]
    for target in targets:
        scores = by_name(card, target.name)
        assert list(scores) == [*ALWAYS, "randomisation"]
        for name in ("deletion", "insertion", "infidelity", "max-sensitivity"):
            score = scores[name]
            assert score.draws == 200
            assert score.chance_low <= score.chance <= score.chance_high
        assert scores["sparseness"].chance == pytest.approx(1 / 3)
        assert scores["randomisation"].chance == 0
        assert scores["deletion"].unit == ("probability" if target.index is not None else target.unit)
        assert scores["infidelity"].unit == f"{target.unit}²"
    assert curves.series == [f"{kind}: {t.name}" for t in targets for kind in ("deletion", "insertion")]
    assert curves.arrays["y"].shape == curves.arrays["low"].shape == (6, 11)
    assert curves.arrays["x"][[0, -1]].tolist() == [0, 100]
    assert (curves.arrays["low"] <= curves.arrays["high"] + 1e-6).all()
    np.testing.assert_allclose(curves.arrays["y"][::2, 0], curves.arrays["y"][1::2, -1])
    for target in targets:
        assert (f"range of the curves: {target.name}" in card.facts) == (target.index is None)
    assert "confidence of the model" in str(card.facts["warnings"])


def test_infidelity_is_that_of_fills_of_at_most_a_third() -> None:
    model = micro.load("resnet")
    target, probe = class_target(model, 0), picture(64)
    call = call_for(model, probe, [target])
    fill = baseline_input(model, call.inputs[:1], "blur")
    found = chance.chance_of(model, call.inputs[:1], fill, [target], 0, call.run)
    sizes = [k for k in counts(64 * 64) if 0 < k <= 0.3 * 64 * 64 + 1]
    map = gradients(call).maps[0].double().numpy().reshape(-1)
    with torch.inference_mode():
        whole = float(model.forward(call.inputs[:1])[0, 0])
    removals = [[p for p in range(64 * 64) if found.places[row][p] < k] for row in range(0, 200) for k in sizes]
    drops = (whole - found.numbers(target)[:, : len(sizes)]).reshape(-1)
    card, _ = evidence_of()
    assert by_name(card, "disc")["infidelity"].value == pytest.approx(reference.infidelity(map, removals, list(drops)), rel=1e-4)


def test_areas_are_those_of_the_curves() -> None:
    card, curves = evidence_of()
    scores = by_name(card, "disc")
    for row, name in enumerate(("deletion", "insertion")):
        assert scores[name].value == pytest.approx(float(np.trapezoid(curves.arrays["y"][row], curves.arrays["x"] / 100)), abs=1e-6)


def test_the_same_question_has_the_same_answer_and_another_seed_another_band() -> None:
    first, curves = evidence_of(map_seconds=1.5)
    assert first.facts["map_seconds"] == 1.5
    chance._shared.clear()
    again, others = evidence_of(map_seconds=1.5)
    assert first.model_dump_json() == again.model_dump_json()
    for name, values in curves.arrays.items():
        np.testing.assert_array_equal(values, others.arrays[name])
    model = micro.load("resnet")
    call = replace(call_for(model, picture(64), [class_target(model, 0)]), seed=1)
    other, _ = evidence(call, gradients, gradients(call), None, picture(64), passes=3.0)
    assert by_name(other, "disc")["deletion"].value == pytest.approx(by_name(first, "disc")["deletion"].value)
    assert by_name(other, "disc")["deletion"].chance != by_name(first, "disc")["deletion"].chance


def test_methods_share_the_random_maps_and_say_what_they_cost_themselves() -> None:
    model = micro.load("resnet")
    targets = [class_target(model, 0), class_target(model, 1)]
    evidence_of(targets=targets)
    before = model.forward_passes
    evidence_of(edges, targets=targets)
    assert model.forward_passes - before == 18 * 2 + 2
    before = model.forward_passes
    evidence_of(targets=targets, passes=128.0)  # two noisy images, one random network, the maps themselves
    assert model.forward_passes - before == 18 * 2 + 2 + 2 * (1 + 2 + 1)


def test_where_masks_say_what_defines_the_class_the_map_is_asked_to_point_there() -> None:
    model, probe = micro.load("resnet"), micro.probe()
    example = probe.example(0)
    region = model.preprocess.geometry.labels(example.region("disc"), model.preprocess.size)

    def oracle(call: Call, params: Any) -> Attribution:
        return Attribution(maps=torch.from_numpy(region).float().expand(len(call.targets), -1, -1))

    def inverted(call: Call, params: Any) -> Attribution:
        return Attribution(maps=1 - oracle(call, params).maps)

    targets = [class_target(model, i) for i in range(3)]
    best, worst = (by_name(evidence_of(e, targets=targets, example=example)[0], "disc") for e in (oracle, inverted))
    for name in ("pointing-game", "inside-mass", "inside-rank"):
        assert best[name].value == 1.0
        assert worst[name].value < best[name].chance < 1.0
    assert best["inside-mass"].chance == pytest.approx(region.mean())
    assert best["inside-mass"].chance_low < region.mean() < best["inside-mass"].chance_high
    card, _ = evidence_of(oracle, targets=targets, example=example)
    assert "pointing-game" not in by_name(card, "stripe")  # no concept of that name: absent, never zero
    assert "pointing-game" not in by_name(evidence_of(oracle, targets=targets)[0], "disc")  # an upload has no masks


def test_completeness_comes_from_the_method() -> None:
    def explain(call: Call, params: Any) -> Attribution:
        return replace(gradients(call), completeness=[{"total": 1.0, "expected": 1.25, "gap": 0.25}])

    assert by_name(evidence_of(explain)[0], "disc")["completeness-gap"].value == 0.25


def test_a_map_that_ignores_the_network_is_marked() -> None:
    assert str(evidence_of(edges)[0].facts["randomisation: disc"]).startswith("fails")
    assert str(evidence_of(gradients)[0].facts["randomisation: disc"]).startswith("passes")


def test_a_map_that_is_the_same_everywhere_has_no_order_and_that_is_said() -> None:
    def nothing(call: Call, params: Any) -> Attribution:
        return Attribution(maps=torch.zeros(len(call.targets), *call.inputs.shape[2:]))

    card, curves = evidence_of(nothing)
    assert card.scores == []
    assert curves.series == []
    assert curves.arrays["y"].shape == (0, 11)
    reasons = str(card.facts["left out: disc"])
    for name in [*ALWAYS, "randomisation"]:
        assert name in reasons


def test_no_answer_on_a_random_network_is_a_score_left_out() -> None:
    model = micro.load("resnet")

    def picky(call: Call, params: Any) -> Attribution:
        if call.model is not model:
            raise InvalidInput("no gradient arrives")
        return gradients(call)

    card, _ = evidence_of(picky)
    assert list(by_name(card, "disc")) == ALWAYS
    assert "no gradient arrives" in str(card.facts["left out: disc"])


def test_a_value_that_is_not_finite_is_an_error_by_name() -> None:
    def broken(call: Call, params: Any) -> Attribution:
        maps = gradients(call).maps
        return Attribution(maps=maps if len(maps) == 1 else maps * float("nan"))  # on the noisy images

    with pytest.raises(InvalidInput, match="max-sensitivity for disc is nan"):
        evidence_of(broken)
    target = class_target(micro.load("resnet"), 0)
    with pytest.raises(InvalidInput, match="curve 'deletion: disc'"):
        Sheet([target]).curve("deletion: disc", np.full(11, np.inf), np.zeros((200, 11)))


@pytest.mark.parametrize("after", [0, 1, 5, 30])
def test_cancel_is_honoured_wherever_it_comes(after: int) -> None:
    class Cancelled(SilentContext):
        calls = 0

        def check(self) -> None:
            self.calls += 1
            if self.calls > after:
                raise RunCancelled("stopped")

    chance._shared.clear()
    with pytest.raises(RunCancelled):
        evidence_of(run=Cancelled())


def test_every_score_is_explained_in_the_docs() -> None:
    page = (Path(__file__).parents[3] / "docs/evidence.md").read_text()
    assert re.findall(r"^\| `([\w-]+)` \|", page, re.MULTILINE) == list(SCORES)
    for value in (chance.DRAWS, sensitivity.RADIUS, randomisation.FAILS, infidelity.SIZES, localisation.TOLERANCE):
        assert str(value) in page
