"""Units by pattern: against counts made by hand, and patterns that are none."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from microtome.capture.recorders.thresholds import allowed_above
from microtome.core.context import SilentContext
from microtome.core.errors import InvalidInput
from microtome.methods.dissection.ranking import STEPS
from microtome.methods.registry import get_method
from tests import micro

SPEC = get_method("pattern-units")


def put(**params: object) -> dict:
    model = micro.load_text("gpt2")
    layer = model.layer("h1.mlp").name
    given = SPEC.parse(params)
    return dict(SPEC.function(model=model, probe=micro.texts(), layers=[layer], params=given, run=SilentContext()))


def test_average_precision_equals_a_ranking_cut_at_the_same_quantiles() -> None:
    """scikit-learn's average precision of activations rounded down to the cuts, to 1e-6."""
    model, probe, pattern = micro.load_text("gpt2"), micro.texts(), "left|right"
    layer = model.layer("h1.mlp")
    values, marks = [], []
    for index in range(len(probe)):
        text = probe.text(index)
        tokens = model.tokenizer.encode(text)
        hit = {i for m in re.finditer(pattern, text) for i in range(*m.span())}
        for a, b in zip(tokens.starts[tokens.first : tokens.last], tokens.stops[tokens.first : tokens.last], strict=True):
            written = [i for i in range(a, b) if not text[i].isspace()] or list(range(a, b))
            marks.append(bool(hit & set(written)))
        with torch.inference_mode(), model.record([layer]) as found:
            model.forward(model.inputs([text]))
        values.append(layer.canonical(found[layer.name])[0, :, 0, : tokens.last - tokens.first].numpy())
    whole, truth = np.concatenate(values, axis=1), np.array(marks)
    table = put(pattern=pattern, count=30)["h1.mlp"]
    for unit, ap in zip(table.units.tolist(), table.column("ap"), strict=True):
        ordered = np.sort(whole[unit])[::-1]
        cuts = np.array([ordered[allowed_above(q, len(ordered))] for q in STEPS])
        assert abs(average_precision_score(truth, (whole[unit][:, None] > cuts).sum(1)) - ap) < 1e-6
    best = table.column("ap")
    assert list(best) == sorted(best, reverse=True)


def test_the_best_units_are_named_beside_chance() -> None:
    card = put(pattern="def", count=3)["best"]
    assert len(card.scores) == 3
    assert all(0 < score.chance < 1 and score.value >= 0 for score in card.scores)
    assert card.facts["tokens that match"] > 0


@pytest.mark.parametrize(("pattern", "said"), [("(", "no regular expression"), ("zzz", "matches nothing"), (r"[\s\S]", "every token")])
def test_a_pattern_that_says_nothing_is_refused(pattern: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said) as caught:
        put(pattern=pattern)
    assert caught.value.field == "params.pattern"


def test_a_pattern_that_never_ends_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(micro.texts()), "text", lambda self, index: "a" * 60 + "!")
    with pytest.raises(InvalidInput, match="takes more than"):
        put(pattern="(a|aa)+$")
