"""The evidence beside a map of a text, made once more by hand; what random maps get; reasons for what is left out.

Tolerance: 1e-5, probabilities of float32 in batches.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from microtome.methods.text_attribution.chance import bin_counts, counts
from tests import micro
from tests.methods.text_attribution.asked import PROMPT, ask, call_of, default_fill, scores, values
from tests.methods.text_attribution.test_gradients import own
from tests.reference import text_attribution as reference

CHANCE = ("deletion", "insertion", "comprehensiveness", "sufficiency", "infidelity", "max-sensitivity", "sparseness")


def probability(call: Any) -> reference.Value:
    ids, places = call.ids.tolist(), call.places.tolist()

    def value(present: frozenset[int]) -> float:
        found = reference.logits(call.model, reference.with_off(ids, places, present, default_fill(call)), call.at)
        return float(found.softmax(0)[call.target.index])

    return value


@pytest.mark.parametrize("family", ["gpt2", "bert", "distilbert"])
def test_curves_and_scores_by_hand(family: str) -> None:
    call = call_of(family)
    found = ask("text-occlusion", family)
    value, n = probability(call), call.count
    order = np.argsort(-own(call, values(found)), kind="stable").tolist()
    everything = frozenset(range(n))
    deleted = [value(everything - set(order[:k])) for k in range(n + 1)]
    inserted = [value(frozenset(order[:k])) for k in range(n + 1)]
    at = counts(n)
    curves = found["curves"]
    np.testing.assert_allclose(curves.arrays["x"], np.array(at) / n * 100, rtol=1e-6)
    np.testing.assert_allclose(curves.arrays["y"], [[deleted[k] for k in at], [inserted[k] for k in at]], atol=1e-5)
    got = scores(found)
    for name, curve in (("deletion", deleted), ("insertion", inserted)):
        steps = [(curve[a] + curve[b]) / 2 * (b - a) / n for a, b in pairwise(at)]
        assert got[name].value == pytest.approx(sum(steps), abs=1e-5)
    bins = [max(1, round(share * n)) for share in (0.01, 0.05, 0.1, 0.2, 0.5)]
    assert got["comprehensiveness"].value == pytest.approx(np.mean([deleted[0] - deleted[k] for k in bins]), abs=1e-5)
    assert got["sufficiency"].value == pytest.approx(np.mean([deleted[0] - inserted[k] for k in bins]), abs=1e-5)
    for name in CHANCE:
        assert got[name].draws == 200
        assert got[name].chance_low <= got[name].chance <= got[name].chance_high
    assert got["deletion"].chance == got["insertion"].chance
    assert got["randomisation"].chance == 0.0


def test_a_true_map_of_a_linear_network_beats_chance() -> None:
    found = ask("text-occlusion", "bag", target="1", against="0")
    got = scores(found)
    assert got["deletion"].value < got["deletion"].chance_low
    assert got["insertion"].value > got["insertion"].chance_high
    assert got["comprehensiveness"].value > got["comprehensiveness"].chance_high
    assert got["sufficiency"].value < got["sufficiency"].chance_low
    assert got["infidelity"].value == pytest.approx(0, abs=1e-8)
    assert got["infidelity"].value < got["infidelity"].chance_low
    assert got["deletion"].unit == "logits"


def test_chance_is_the_mean_over_random_orders() -> None:
    """Of a linear network the value falls by as much as the tokens that are off bring: any order's mean curve is a straight line."""
    call = call_of("bag", target="1", against="0")
    found = ask("text-occlusion", "bag", target="1", against="0")
    whole, filled = found["curves"].arrays["y"][0][[0, -1]].tolist()
    band = [found["evidence"].scores[0].chance_low, found["evidence"].scores[0].chance_high]
    assert scores(found)["deletion"].chance == pytest.approx((whole + filled) / 2, abs=0.1 * abs(whole - filled))
    assert band[0] < (whole + filled) / 2 < band[1]
    assert call.count == 9


def test_all_methods_share_the_random_orders() -> None:
    model = micro.load_text("gpt2")
    from microtome.core.context import SilentContext
    from microtome.methods.registry import get_method

    passes = []
    for id in ("text-gradient", "text-input-x-gradient"):
        spec, before = get_method(id), model.forward_passes
        spec.function(model=model, prompt="yield value_of(it)", params=spec.parse({}), run=SilentContext())
        passes.append(model.forward_passes - before)
    assert passes[1] < 60 < passes[0]


def test_the_randomised_network_is_another() -> None:
    """A map of weights changes with them; one of a rule that sees only places does not."""
    assert abs(scores(ask("text-input-x-gradient", "gpt2"))["randomisation"].value) < 0.9
    facts = ask("text-input-x-gradient", "gpt2")["evidence"].facts
    assert str(facts["randomisation"]).startswith(("passes", "fails"))


def test_what_does_not_apply_is_left_out_with_its_reason() -> None:
    flat = ask("text-gradient", "bag")
    reasons = " ".join(str(v) for k, v in flat["evidence"].facts.items() if k.startswith("left out"))
    assert "the same everywhere" in reasons
    assert "deletion" not in scores(flat)
    assert "completeness-gap" not in scores(flat)
    assert flat["curves"].series == []
    one = ask("text-integrated-gradients", "gpt2", "x")
    assert set(scores(one)) == {"completeness-gap", "max-sensitivity"}
    reasons = " ".join(str(v) for k, v in one["evidence"].facts.items() if k.startswith("left out"))
    assert "one token only" in reasons
    for id in ("text-kernel-shap", "text-shapley", "text-occlusion", "text-lime"):
        assert ask(id, "gpt2", "x")["map"].tokens == ["x"]


@pytest.mark.parametrize("n", [1, 2, 3, 9, 10, 11, 12, 13, 47, 100, 511])
def test_counts_leave_what_they_take(n: int) -> None:
    found = counts(n)
    assert found == sorted(set(found))
    assert [n - c for c in reversed(found)] == found
    assert set(bin_counts(n)) <= set(found)
    assert len(found) <= 12


def test_deterministic_for_a_seed() -> None:
    for id in ("text-shapley", "text-smoothgrad", "text-expected-gradients"):
        one, again = (ask(id, "gpt2", PROMPT, samples=4, seed=3) for _ in range(2))
        np.testing.assert_array_equal(values(one), values(again))
        assert not np.array_equal(values(one), values(ask(id, "gpt2", PROMPT, samples=4, seed=4)))
