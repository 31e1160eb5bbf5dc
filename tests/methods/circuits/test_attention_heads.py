"""Patterns and head scores against a forward pass by hand and against loops over queries; known patterns have known scores."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from microtome.core.context import SilentContext
from microtome.core.errors import InvalidInput
from microtome.methods.attribution import attention
from microtome.methods.circuits import attention as patterns
from microtome.methods.circuits.attention import attention_of, head_scores, repeated
from microtome.methods.circuits.attention_heads import Params, attention_heads
from microtome.methods.circuits.induction_ablation import Params as AblationParams
from microtome.methods.circuits.induction_ablation import halves, induction_ablation
from microtome.methods.circuits.sites import sites_of
from tests import micro
from tests.methods.circuits.strong import CLEAN, strong
from tests.reference.circuits import forward


def run(prompt: str = CLEAN, layers: list[str] | None = None, **params) -> dict:
    return attention_heads.function(model=strong(), prompt=prompt, layers=layers, params=Params(**params), run=SilentContext())


def test_patterns_equal_a_forward_pass_by_hand_and_sum_to_one() -> None:
    before = strong().network.config._attn_implementation
    found = run(sequences=1, length=4)["patterns"]
    assert strong().network.config._attn_implementation == before
    ids = strong().tokenizer.encode(CLEAN).ids.tolist()
    _, _, patterns = forward(strong(), ids)
    assert found.rows == list(patterns)
    for row, values in zip(found.rows, found.arrays["pairs"], strict=True):
        np.testing.assert_allclose(values, patterns[row], atol=1e-5)
    np.testing.assert_allclose(found.arrays["pairs"].sum(2), 1, atol=1e-5)


def test_shares_of_another_answer_than_the_models_own_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """As those of a network whose mask means something else where attention is computed in plain steps."""
    model = strong()

    @contextmanager
    def otherwise(_: torch.nn.Module) -> Iterator[None]:
        with attention.plainly(model.network), model.ablated(model.layer("h0.heads"), [0]):
            yield

    monkeypatch.setattr(patterns, "plainly", otherwise)
    with pytest.raises(InvalidInput, match="another answer") as caught:
        attention_of(model, model.inputs([CLEAN]))
    assert caught.value.field == "model"


def by_loops(pattern: np.ndarray, ids: list[int], recent: int) -> dict[str, list[tuple[float, float]]]:
    """Per score (share, chance) of every query that has a key which counts."""
    found: dict[str, list[tuple[float, float]]] = {n: [] for n in ("previous", "recent", "first", "duplicate", "induction")}
    for i, own in enumerate(ids):
        keys = {
            "previous": [i - 1] if i else [],
            "recent": [j for j in range(i - recent, i) if j >= 0],
            "first": [0] if i else [],
            "duplicate": [j for j in range(i) if ids[j] == own],
            "induction": [j for j in range(1, i + 1) if ids[j - 1] == own and j - 1 != i],
        }
        for name, some in keys.items():
            if some:
                found[name].append((sum(pattern[i, j] for j in some), len(some) / (i + 1)))
    return found


@pytest.mark.parametrize("repeat", [True, False])
def test_scores_equal_loops_over_queries(repeat: bool) -> None:
    model = strong()
    text = model.tokenizer.encode("a = a b = a, a, a\n").ids
    ids = repeated(model, 2, 7, 3, "x") if repeat else torch.from_numpy(text)[None]
    attention = attention_of(model, ids)
    found = head_scores(attention, ids, 2)
    loops = [by_loops(attention[1][b, 2].numpy(), ids[b].tolist(), 2) for b in range(len(ids))]
    for name, scores in found.items():
        pairs = [p for one in loops for p in one[name]]
        assert scores.queries == len(pairs) > 0
        assert scores.values[1, 2] == pytest.approx(np.mean([p[0] for p in pairs]), abs=1e-6)
        assert scores.chance == pytest.approx(np.mean([p[1] for p in pairs]), abs=1e-9)


def test_an_ideal_induction_head_scores_one_and_even_attention_scores_chance() -> None:
    ids = repeated(strong(), 1, 6, 0, "x")
    length = ids.shape[1]
    ideal, even = torch.zeros(length, length), torch.tril(torch.ones(length, length))
    ideal[:, 0] = 1
    for query in range(7, length):
        ideal[query] = torch.eye(length)[query - 6 + 1]
    even /= even.sum(1, keepdim=True)
    scores = head_scores([torch.stack([ideal, even])[None]], ids, 2)
    assert scores["induction"].values[0, 0] == pytest.approx(1)
    assert scores["duplicate"].values[0, 0] == 0
    for found in scores.values():
        assert found.values[0, 1] == pytest.approx(found.chance, abs=1e-7)


def test_what_cannot_be_asked_is_refused_by_name() -> None:
    for field, call in {
        "params.heads": lambda: run(heads=[3]),
        "params.length": lambda: run(length=24),
        "model": lambda: attention_heads.function(model=micro.load_text("bert"), prompt="a", params=Params(), run=SilentContext()),
    }.items():
        with pytest.raises(InvalidInput) as caught:
            call()
        assert caught.value.field == field


def test_layers_choose_blocks_and_scores_without_any_key_are_missing() -> None:
    found = run("def x", ["h1.mlp"], sequences=1, length=3)
    assert found["patterns"].rows == ["h1.0", "h1.1", "h1.2"]
    assert np.isnan(found["duplicate_prompt"].arrays["values"]).all()
    assert found["duplicate"].arrays["values"].shape == (3, 3)


def test_the_gain_without_heads_equals_runs_by_hand() -> None:
    model = strong()
    ids = repeated(model, 3, 6, 8, "x")
    chosen = {"h0.head1", "h2.head0"}

    def losses(row: list[int], off: set[str]) -> list[float]:
        logits, _, _ = forward(model, row, lambda name, value: value * 0 if name in off else value)
        return [-float(logits[t].log_softmax(0)[row[t + 1]]) for t in range(len(row) - 1)]

    from microtome.methods.circuits.induction_ablation import without

    sites = [s for layer in sites_of(model, "heads") for s in layer if s.name.replace(".", ".head") in chosen]
    with without(model, sites, None):
        found = halves(model, ids, 6)
    for row, pair in zip(ids.tolist(), found, strict=True):
        expected = losses(row, chosen)
        # tokens 0 is special, 1 to 6 the first copy, 7 to 12 the second; loss t is that of token t + 1
        assert pair == pytest.approx([np.mean(expected[1:6]), np.mean(expected[7:12])], abs=1e-4)


def test_a_model_that_gains_nothing_has_no_share_to_lose() -> None:
    params = AblationParams(threshold=0.05, sequences=4, length=6, draws=3)
    found = induction_ablation.function(model=strong(), params=params, run=SilentContext())["effect"]
    gain, left, share = found.scores
    assert found.facts["switched_off"] > 0
    assert gain.low <= gain.value <= gain.high
    assert left.draws is None or left.chance_low <= left.chance <= left.chance_high
    assert (share.value is None) == (gain.low <= 0)
    assert math.isclose(gain.value, found.facts["loss_first"] - found.facts["loss_second"], abs_tol=1e-9)


def test_without_any_head_above_the_threshold_nothing_is_switched_off() -> None:
    params = AblationParams(threshold=1.0, sequences=2, length=6, draws=3)
    found = induction_ablation.function(model=strong(), params=params, run=SilentContext())["effect"]
    assert found.facts["switched_off"] == 0
    assert found.scores[1].value == found.scores[0].value
    assert found.scores[2].value is None
