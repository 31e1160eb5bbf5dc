"""The evidence beside a map of a text, made once more by hand; what random maps get; reasons for what is left out.

Tolerance: 1e-5, probabilities of float32 in batches.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from microtome.core.context import SilentContext
from microtome.methods.faithfulness.chance import random_ranks
from microtome.methods.faithfulness.randomisation import randomised
from microtome.methods.faithfulness.similarity import spearman
from microtome.methods.registry import get_method
from microtome.methods.text_attribution.chance import bin_counts, chance_of, counts
from microtome.methods.text_attribution.fills import fill_of
from tests import micro
from tests.methods.lens.nets import net
from tests.methods.text_attribution.asked import PROMPT, ask, call_of, default_fill, game, linear, scores, values
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


def test_chance_is_what_random_orders_get() -> None:
    """All 200 orders by hand, of a network whose curves are straight only in the mean."""
    call = call_of("bag", target="1", against="0")
    value, n = game(call, default_fill(call)), call.count
    found = ask("text-occlusion", "bag", target="1", against="0")
    at = counts(n)
    orders = random_ranks(1, n, 0).argsort(1).tolist()
    random = np.array([[value(frozenset(order[k:])) for k in at] for order in orders])
    got = scores(found)
    areas = np.trapezoid(random, np.array(at) / n, axis=1)
    assert [got["deletion"].chance, got["deletion"].chance_low] == pytest.approx([areas.mean(), np.quantile(areas, 0.025)], abs=1e-5)
    bins = [at.index(k) for k in bin_counts(n)]
    falls = (random[:, :1] - random[:, bins]).mean(1)
    assert got["comprehensiveness"].chance == pytest.approx(falls.mean(), abs=1e-5)
    kept = (random[:, :1] - random[:, [len(at) - 1 - b for b in bins]]).mean(1)
    assert got["sufficiency"].chance == pytest.approx(kept.mean(), abs=1e-5)
    band = np.quantile(random, [0.05, 0.95], axis=0)
    np.testing.assert_allclose(found["curves"].arrays["low"], [band[0], band[0][::-1]], atol=1e-5)
    np.testing.assert_allclose(found["curves"].arrays["high"], [band[1], band[1][::-1]], atol=1e-5)


def test_infidelity_by_hand() -> None:
    """Of the first tokens of all random orders, at most 30 % of them; one scale, the best that is not below zero."""
    call = call_of("gpt2")
    value, n = game(call, default_fill(call)), call.count
    found = ask("text-occlusion", "gpt2")
    map, everything = values(found), frozenset(range(n))
    stated, lost = [], []
    for order in random_ranks(1, n, 0).argsort(1).tolist():
        for k in [c for c in counts(n)[1:-1] if c <= 0.3 * n]:
            stated.append(map[order[:k]].sum())
            lost.append(value(everything) - value(everything - set(order[:k])))
    one, other = np.array(stated), np.array(lost)
    scale = max((one @ other) / (one @ one), 0)
    assert scores(found)["infidelity"].value == pytest.approx(((scale * one - other) ** 2).mean(), rel=1e-3)


def test_targets_of_one_text_have_their_own_chance() -> None:
    calls = [call_of("gpt2", target=t) for t in ("#17", "#18")]
    one, other = (chance_of(call, fill_of(call.model, "default")) for call in calls)
    assert not np.array_equal(one.numbers, other.numbers)
    assert chance_of(calls[0], fill_of(calls[0].model, "default")) is one


def test_max_sensitivity_by_hand() -> None:
    """Of a linear network noise moves the map by the noise times the weights."""
    call = call_of("bag", target="1", against="0")
    mask = fill_of(call.model, "default").vector
    assert mask is not None
    rows = call.vectors[call.places]
    radius = 0.02 * float(rows.max() - rows.min())
    noise = np.random.default_rng([0, 0x5E2517]).uniform(-radius, radius, (8, *rows.shape)).astype(np.float32)
    still = linear(call, mask)
    moved = [np.linalg.norm(linear(call, mask - torch.from_numpy(one)) - still) / np.linalg.norm(still) for one in noise]
    found = scores(ask("text-occlusion", "bag", target="1", against="0"))
    assert found["max-sensitivity"].value == pytest.approx(max(moved), rel=1e-3)


def test_randomisation_by_hand() -> None:
    """The same question to the network with other weights, through the front door."""
    trained, spec = net("gpt2"), get_method("text-input-x-gradient")
    first = ask("text-input-x-gradient", "gpt2")
    other = spec.function(
        model=randomised(trained, 0), prompt=PROMPT, run=SilentContext(), params=spec.parse({"target": f"#{call_of('gpt2').target.index}"})
    )
    assert scores(first)["randomisation"].value == pytest.approx(spearman(values(first), values(other)), abs=1e-6)


def test_all_methods_share_the_random_orders() -> None:
    model = micro.load_text("gpt2")
    passes = []
    for id in ("text-gradient", "text-input-x-gradient"):
        spec, before = get_method(id), model.forward_passes
        spec.function(model=model, prompt="yield value_of(it)", params=spec.parse({}), run=SilentContext())
        passes.append(model.forward_passes - before)
    assert passes[1] < 60 < passes[0]


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
