"""Saturation of gates against counting by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from microtome.core.context import SilentContext
from microtome.core.errors import InvalidInput
from microtome.methods.registry import get_method
from tests import micro
from tests.methods.recurrent.net import UNITS, load

GATES = [f"l{n}.{g}" for n in range(2) for g in ("input_gate", "forget_gate", "output_gate")]


def ask(model, **params):
    spec = get_method("gate-saturation")
    return spec.function(model=model, probe=micro.texts(), params=spec.parse(params), run=SilentContext())


def by_hand(model, name: str, texts: int) -> list[np.ndarray]:
    """Gate values [tokens of the text, units], one text at a time, without the begin token and what the window has no room for."""
    found = []
    for text in micro.TEXTS[:texts]:
        with torch.inference_mode(), model.record([model.layer(name)]) as outputs:
            model.forward(model.inputs([text]))
        found.append(outputs[name][0, 1 : len(text) + 1].numpy())
        assert len(found[-1]) == min(len(text), model.tokenizer.window - 1)
    return found


def test_shares_are_counted_over_all_tokens() -> None:
    model = load()
    found = ask(model, low=0.3, high=0.8, texts=7)
    assert set(found) == {"layers", "summary", *(f"units_{g.replace('.', '_')}" for g in GATES)}
    matrix, scores = found["layers"], {s.name: s for s in found["summary"].scores}
    assert matrix.rows == GATES
    for row, name in enumerate(GATES):
        texts = by_hand(model, name, 7)
        values = np.concatenate(texts)
        table = found[f"units_{name.replace('.', '_')}"]
        left, right = (values < 0.3).mean(0), (values > 0.8).mean(0)
        np.testing.assert_allclose(table.column("left"), left, atol=1e-12)
        np.testing.assert_allclose(table.column("right"), right, atol=1e-12)
        np.testing.assert_allclose(table.column("between"), 1 - left - right, atol=1e-12)
        np.testing.assert_allclose(table.column("mean"), values.mean(0), atol=1e-6)
        expected = [left.mean(), right.mean(), (left > 0.9).mean(), (right > 0.9).mean()]
        np.testing.assert_allclose(matrix.arrays["values"][row], expected, atol=1e-6)
        score = scores[f"{name} right"]
        assert score.value == pytest.approx(right.mean())
        assert score.low <= score.value <= score.high
    assert 0 < found["units_l0_input_gate"].column("left").max() < 1
    assert found["summary"].facts["tokens"] == len(values)


def test_planted_gates_are_shut_and_open() -> None:
    found = ask(load(planted=True))
    table = found["units_l0_forget_gate"]
    assert table.column("right")[3] == 1.0
    assert table.column("left")[4] == 1.0
    assert 0.8 < table.column("right")[2] < 1.0
    assert table.column("left")[2] == pytest.approx(1 - table.column("right")[2])
    assert len(table.units) == UNITS


def test_an_interval_of_one_text_is_a_point() -> None:
    score = ask(load(), texts=1)["summary"].scores[0]
    assert score.low == pytest.approx(score.value)
    assert score.high == pytest.approx(score.value)


def test_what_has_no_gates_is_refused() -> None:
    for model in (micro.load_text("gpt2"), micro.load_text("bert"), micro.load("resnet")):
        with pytest.raises(InvalidInput) as caught:
            ask(model)
        assert caught.value.field == "model"
