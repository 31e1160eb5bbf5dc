"""The loss by kind of token against one text at a time, by hand."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from microtome.core.context import SilentContext
from microtome.core.errors import InvalidInput
from microtome.methods.recurrent.error_breakdown import by_frequency
from microtome.methods.recurrent.reading import concepts_of
from microtome.methods.registry import get_method
from tests import micro
from tests.methods.recurrent.net import load


def ask(model, **params):
    spec = get_method("error-breakdown")
    return spec.function(model=model, probe=micro.texts(), params=spec.parse({"fewest": 1, **params}), run=SilentContext())


@pytest.mark.parametrize("family", ["gpt2", "lstm"])
def test_means_by_concept_and_frequency(family: str) -> None:
    model = load() if family == "lstm" else micro.load_text(family)
    found = ask(model)
    losses, has, ids, text = [], [], [], []
    for i, words in enumerate(micro.TEXTS):
        tokens = model.tokenizer.encode(words)
        assert tokens.first == 1
        with torch.inference_mode():
            chances = model.forward(torch.from_numpy(tokens.ids)[None])[0].double().log_softmax(-1)
        losses += [-float(chances[t - 1, tokens.ids[t]]) for t in range(1, tokens.last)]
        has += list(concepts_of(micro.texts(), i, tokens))
        ids += tokens.ids[1 : tokens.last].tolist()
        text += [i] * (tokens.last - 1)
    order = np.random.default_rng(0).permutation(len(micro.TEXTS))
    half = {int(i): k < len(order) // 2 for k, i in enumerate(order)}
    counts = {side: Counter(t for t, i in zip(ids, text, strict=True) if half[i] == side) for side in (True, False)}
    guesses, unseen = [], []
    for t, i in zip(ids, text, strict=True):
        other = counts[not half[i]]
        guesses.append(-np.log((other[t] + 1) / (other.total() + model.tokenizer.vocabulary)))
        unseen.append(other[t] == 0)
    loss, flags, guess = np.array(losses), np.array(has), np.array(guesses)
    groups = {"all tokens": np.ones(len(loss), bool), "not in the other half": np.array(unseen)}
    groups |= {c.key: flags[:, c.index] for c in micro.texts().concepts}
    scores, shares = ({s.name: s for s in found[part].scores} for part in ("loss", "share"))
    for name, mask in groups.items():
        if not mask.any():
            assert name not in scores
            continue
        assert scores[name].value == pytest.approx(loss[mask].mean(), abs=1e-5)
        assert scores[name].chance == pytest.approx(guess[mask].mean(), abs=1e-9)
        assert scores[name].low <= scores[name].value <= scores[name].high
        if name != "all tokens":
            assert shares[name].value == pytest.approx(loss[mask].sum() / loss.sum(), abs=1e-5)
            assert shares[name].chance == pytest.approx(mask.mean())
    frequency = [s for s in found["share"].scores if s.group == "frequency"]
    assert sum(s.value for s in frequency) == pytest.approx(1.0)
    assert sum(s.chance for s in frequency) == pytest.approx(1.0)
    characters = sum(model.tokenizer.encode(t).stops[model.tokenizer.encode(t).last - 1] for t in micro.TEXTS)
    assert found["loss"].facts["nats_per_character"] == pytest.approx(loss.sum() / characters, abs=1e-5)


def test_ranks_and_guesses() -> None:
    rank, guess = by_frequency(np.array([3, 3, 1, 1, 1, 0]), np.array([1, 3, 0, 2]), 4)
    assert rank.tolist() == [1, 2, 3, 0]
    np.testing.assert_allclose(guess, -np.log(np.array([4, 3, 2, 1]) / 10))


def test_small_groups_are_left_out_and_other_models_refused() -> None:
    assert [s.name for s in ask(load(), fewest=100_000)["loss"].scores] == ["all tokens"]
    for model in (micro.load_text("bert"), micro.load_text("distilbert"), micro.load("resnet")):
        with pytest.raises(InvalidInput) as caught:
            ask(model)
        assert caught.value.field == "model"
