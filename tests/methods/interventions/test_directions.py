"""Directions from pairs of texts and components of the output map: planted truths, closed forms, runs by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from microtome.core.context import SilentContext
from microtome.core.errors import InvalidInput
from microtome.methods.interventions import eigenshift as shift
from microtome.methods.interventions import representation_engineering as engineering
from microtome.methods.interventions.contrast import direction_of, states
from tests import micro
from tests.methods.circuits.strong import CLEAN, strong
from tests.reference.circuits import forward

POSITIVES = ["def add(left)", "def sub(left, right)", "def run()", "def out(names)", "def x()", "def a(b, c)"]
NEGATIVES = ["import os", "x = 0", "while True:", "print names", "a = b = c", "break\n"]
TEXTS: dict[str, Any] = {"positives": POSITIVES, "negatives": NEGATIVES, "draws": 20, "max_tokens": 6}


def engineered(layers: list[str] | None = None, **params: Any) -> dict[str, Any]:
    return engineering.representation_engineering.function(
        model=strong(), prompt=CLEAN, layers=layers, params=engineering.Params(**(TEXTS | params)), run=SilentContext()
    )  # fmt: skip


def shifted(**params: Any) -> dict[str, Any]:
    return shift.eigenshift.function(model=strong(), prompt=CLEAN, params=shift.Params(**(TEXTS | params)), run=SilentContext())


def test_states_are_those_of_a_run_by_hand() -> None:
    model = strong()
    found = {where: states(model, POSITIVES, model.layer("h1"), where, "x", SilentContext()) for where in ("last", "mean")}
    for row, text in enumerate(POSITIVES):
        own = forward(model, model.tokenizer.encode(text).ids.tolist())[1]["h1"][1:]
        np.testing.assert_allclose(found["last"][row], own[-1], atol=1e-3)
        np.testing.assert_allclose(found["mean"][row], own.mean(0), atol=1e-3)


@pytest.mark.parametrize("by", ["mean difference", "pca"])
def test_a_planted_direction_is_found_and_points_from_negative_to_positive(by: Any) -> None:
    generator = np.random.default_rng(0)
    truth = np.eye(16)[3]
    negative = generator.normal(size=(40, 16))
    positive = negative + generator.uniform(2, 4, (40, 1)) * truth + generator.normal(size=(40, 16)) * 0.1
    assert direction_of(positive, negative, by) @ truth > 0.99
    found = engineering.fit_direction(positive, negative, by)
    readings = [found.read(torch.from_numpy(x)).mean().item() for x in (positive, negative)]
    np.testing.assert_allclose(readings, [0.5, -0.5], atol=1e-9)


def test_readings_are_projections_and_the_accuracy_is_of_other_pairs() -> None:
    found = engineered(["h1"])
    model = strong()
    layer = model.layer("h1")
    positive, negative = (states(model, texts, layer, "last", "x", SilentContext()) for texts in (POSITIVES, NEGATIVES))
    order = np.random.default_rng(0).permutation(6)
    direction = (positive - negative)[order[:3]].mean(0)
    direction /= np.linalg.norm(direction)
    ends = [(x[order[:3]] @ direction).mean() for x in (positive, negative)]
    _, values, _ = forward(model, model.tokenizer.encode(CLEAN).ids.tolist())
    expected = (values["h1"].numpy() @ direction - np.mean(ends)) / (ends[0] - ends[1])
    np.testing.assert_allclose(found["reading"].arrays["values"][0], expected, atol=1e-3)
    score = found["accuracy"].scores[0]
    assert score.value == pytest.approx(((positive - negative)[order[3:]] @ direction > 0).mean())
    assert score.low <= score.value <= score.high
    assert score.draws == 20


def test_adding_nothing_writes_the_same_and_taking_out_leaves_every_reading_in_the_middle() -> None:
    assert engineered(strength=0.0)["text"].facts["same"]
    scores = engineered(control="remove")["text"].arrays["scores"]
    np.testing.assert_allclose(scores[1][~np.isnan(scores[1])], 0, atol=1e-4)
    plain, added = engineered(strength=3.0, max_tokens=1)["text"].arrays["scores"][:, 0]
    first = engineered(strength=3.0, max_tokens=1)["text"].tokens
    if first[0] == first[1]:
        assert added - plain == pytest.approx(3.0, abs=1e-3)


def test_pairs_that_cannot_give_a_direction_are_refused_by_name() -> None:
    for field, params in (
        ("params.positives", {"positives": POSITIVES[:2], "negatives": NEGATIVES[:2]}),
        ("params.negatives", {"negatives": NEGATIVES[:5]}),
        ("params.positives", {"positives": POSITIVES, "negatives": POSITIVES}),
    ):
        with pytest.raises(InvalidInput) as caught:
            engineered(**params)
        assert caught.value.field == field
    with pytest.raises(InvalidInput) as caught:
        engineered(["h1.heads"])
    assert caught.value.field == "layers"


def test_components_equal_the_decomposition_and_scaling_them_equals_other_weights() -> None:
    model = strong()
    head, layer = shift.output_map(model)
    parts = shift.components(head)
    left, sizes, right = torch.linalg.svd(head.double(), full_matrices=False)
    torch.testing.assert_close(parts.sizes, sizes, atol=1e-6, rtol=1e-6)
    for i in range(len(sizes)):
        assert abs(float(parts.reads[i] @ right[i])) == pytest.approx(1, abs=1e-6)
    which, factor = np.array([0, 4]), 0.3
    smaller = sizes.clone()
    smaller[which] *= factor
    weights = (left * smaller) @ right
    ids = model.inputs([CLEAN])
    with torch.no_grad(), model.record([layer]) as outputs:
        model.forward(ids)
    expected = outputs[layer.name][0].double() @ weights.T
    with torch.no_grad(), shift.scaled(model, layer, parts, which, factor):
        found = model.forward(ids)[0]
    torch.testing.assert_close(found.double(), expected, atol=1e-4, rtol=1e-4)


def test_a_factor_of_one_changes_nothing_and_chance_is_seeded() -> None:
    found = shifted(factor=1.0, count=3)
    assert found["text"].facts["same"]
    assert all(abs(s.value) < 1e-6 for s in found["effect"].scores)
    first, again = (shifted(count=3)["effect"] for _ in range(2))
    assert first.scores == again.scores
    assert all(s.draws == 20 and s.chance_low <= s.chance <= s.chance_high for s in first.scores)


def test_all_components_taken_out_leave_every_token_as_likely() -> None:
    found = shifted(count=512, factor=0.0)
    vocabulary = strong().config["vocab_size"]
    np.testing.assert_allclose(found["text"].arrays["logprobs"][1], -np.log(vocabulary), atol=1e-4)
    assert found["effect"].facts["before_positive"] + found["effect"].scores[0].value == pytest.approx(np.log(vocabulary), abs=1e-4)
    assert found["effect"].scores[0].draws is None


@pytest.mark.parametrize("call", [engineering.representation_engineering, shift.eigenshift])
def test_models_that_do_not_predict_the_next_token_are_refused(call: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        call.function(model=micro.load_text("bert"), prompt="a", params=call.example_params, run=SilentContext())
    assert caught.value.field == "model"
