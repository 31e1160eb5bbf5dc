"""Gaps between subgroups: planted ones are found, absent ones are not, and p is that of all assignments."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from microtome.core.context import SilentContext
from microtome.core.errors import InvalidInput
from microtome.methods.attribution.explain import Attribution, Call
from microtome.methods.benchmarks.disparities import gap_of
from microtome.methods.registry import methods
from tests.methods.benchmarks.small import Given, install, noise, pictures
from tests.methods.faithfulness.common import gradients, linear_model

CLASSES = ("disc", "square", "stripe")


def unfair(call: Call, params: Any = None) -> Attribution:
    """Exact where the first pixel of the image is bright, noise elsewhere."""
    return gradients(call) if float(call.inputs[0, 0, 0, 0]) > 0 else noise(call)


def marked(count: int) -> Given:
    """Every other image has a bright corner, with a mask that says so, and the others a dark one."""
    images, masks = pictures(count), np.zeros((count, 16, 16), bool)
    images[0::2, :2, :2], images[1::2, :2, :2] = 255, 0
    masks[0::2, :2, :2] = True
    return Given(images, np.arange(count) % 3, CLASSES, masks)


def run_of(probe: Given, **params: Any) -> dict[str, Any]:
    spec = methods()["evidence-disparities"]
    given = {"examples": len(probe), "metrics": ["insertion"], "permutations": 400, **params}
    return dict(spec.function(model=linear_model(), probe=probe, params=spec.parse(given), run=SilentContext()))


def test_p_is_the_share_of_all_assignments() -> None:
    generator = np.random.default_rng(1)
    values, codes = generator.normal(size=7), np.array([0, 0, 0, 5, 5, 5, 5])
    values[:3] += 1
    gap = gap_of(values, codes, 20_000, 0)
    means = values[:3].mean(), values[3:].mean()
    assert gap.value == pytest.approx(abs(means[0] - means[1]))
    assert (gap.top, gap.bottom) == ((0, 5) if means[0] > means[1] else (5, 0))
    every = [
        abs(values[list(c)].mean() - np.delete(values, list(c)).mean()) >= gap.value - 1e-12 for c in itertools.combinations(range(7), 3)
    ]
    assert gap.p == pytest.approx(np.mean(every), abs=0.015)
    assert gap.random.mean() == pytest.approx(
        np.mean([abs(values[list(c)].mean() - np.delete(values, list(c)).mean()) for c in itertools.combinations(range(7), 3)]), rel=0.05
    )


def test_p_is_uniform_where_there_is_no_difference_and_one_where_all_values_are_equal() -> None:
    generator = np.random.default_rng(2)
    codes = np.repeat(np.arange(3), 6)
    found = np.array([gap_of(generator.normal(size=18), codes, 200, i).p for i in range(300)])
    assert (found <= 0.1).mean() == pytest.approx(0.1, abs=0.06)
    assert found.mean() == pytest.approx(0.5, abs=0.06)
    assert gap_of(np.full(18, 0.1), codes, 200, 0).p == 1


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        install(patch, {"unfair": unfair})
        return run_of(marked(12), methods=["unfair", "gradients"], by="concept", concept="object:mark")


def test_a_method_that_fails_one_group_has_a_gap_beyond_chance(found: dict[str, Any]) -> None:
    gap = next(s for s in found["gaps"].scores if (s.group, s.name) == ("unfair", "insertion"))
    assert gap.value > gap.chance_high
    assert gap.draws == 400
    p = found["p-values"]
    column = p.columns.index("insertion")
    assert p.arrays["values"][p.rows.index("unfair"), column] < 0.05
    facts = found["gaps"].facts
    assert facts["gap: unfair, insertion"].startswith("largest for with mark, smallest for without mark")
    assert (facts["examples: with mark"], facts["examples: without mark"], facts["comparisons"]) == (6, 6, 2)


def test_means_are_those_of_the_examples(found: dict[str, Any]) -> None:
    values = found["by-example-insertion"].arrays["values"]
    column = found["by-example-insertion"].columns.index("unfair")
    by = {(s.group, s.name): s for s in found["subgroups-insertion"].scores}
    assert by["with mark", "unfair"].value == pytest.approx(values[0::2, column].mean(), rel=1e-5)
    assert by["without mark", "unfair"].value == pytest.approx(values[1::2, column].mean(), rel=1e-5)
    assert by["with mark", "unfair"].chance_low < by["with mark", "unfair"].chance < by["with mark", "unfair"].chance_high
    gap = next(s for s in found["gaps"].scores if s.group == "unfair")
    assert gap.value == pytest.approx(abs(by["with mark", "unfair"].value - by["without mark", "unfair"].value), rel=1e-5)


def test_groups_by_class_and_by_correctness_and_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    probe = marked(6)
    results = run_of(probe, methods=["gradients"], metrics=["sparseness"], by="class", smallest=2)
    assert [results["gaps"].facts[f"examples: {c}"] for c in CLASSES] == [2, 2, 2]
    assert [s.group for s in results["subgroups-sparseness"].scores] == list(CLASSES)
    model = linear_model()
    said = model.forward(model.inputs([probe.image(i) for i in range(6)])).argmax(1).numpy()
    right = int((said == np.arange(6) % 3).sum())
    assert 0 < right < 6, "the small set must have both"
    both = run_of(probe, methods=["gradients"], metrics=["sparseness"], by="correctness", smallest=1)["gaps"].facts
    assert (both["examples: right"], both["examples: wrong"]) == (right, 6 - right)
    sure = run_of(probe, methods=["gradients"], metrics=["sparseness"], by="confidence", smallest=3)
    assert (sure["gaps"].facts["examples: sure"], sure["gaps"].facts["examples: unsure"]) == (3, 3)
    first = sure["by-example-conditions"].arrays["values"][:, 2]
    mean = next(s.value for s in sure["subgroups-sparseness"].scores if s.group == "sure")
    kept = sure["by-example-sparseness"].arrays["values"][first > np.median(first), 0]
    assert mean == pytest.approx(kept.mean(), rel=1e-5)
    with pytest.raises(InvalidInput, match="object:mark") as caught:
        run_of(probe, by="concept", concept="object:hat")
    assert caught.value.field == "params.concept"
    with pytest.raises(InvalidInput, match="nobody says") as caught:
        run_of(Given(pictures(4)), by="correctness")
    assert caught.value.field == "params.by"
    with pytest.raises(InvalidInput, match="disc: 2, square: 2, stripe: 2") as caught:
        run_of(probe, smallest=4)
    assert caught.value.field == "params.examples"
