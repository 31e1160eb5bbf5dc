"""Owen values of long texts: exact where all orders are gone through, and within their standard errors where they are drawn.

Tolerances: 1e-4 of the largest value for float32 in batches; what parts add up to within 1e-5.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from microtome.core.context import SilentContext
from microtome.methods.text_attribution.parts import drawn_orders, every_order, orders_there_are, parts_of
from tests.methods.text_attribution.asked import SHORT, ask, call_of, default_fill, game, values
from tests.methods.text_attribution.test_gradients import close, own
from tests.reference import text_attribution as reference

#: Two paragraphs; sentences of few tokens, so that there are at most 5,040 orders.
PARTS = "a = b\nx\n\n(1)"
LONG = "def add(left, right):\n    return left\n\nfor name in names:\n    print(name)\n\nx = 0"


@pytest.mark.parametrize(("family", "text"), [("gpt2", PARTS), ("bert", PARTS), ("distilbert", PARTS), ("gpt2", SHORT), ("bert", SHORT)])
def test_all_orders_give_the_owen_values(family: str, text: str) -> None:
    call = call_of(family, text)
    found = ask("text-shapley", family, text, samples=4, refined=512)
    assert found["map"].facts["exact"] is True
    parts = parts_of(call)
    if text == PARTS:
        assert found["map"].facts["paragraphs"] == 2
        assert found["map"].facts["sentences"] == 3
    close(own(call, values(found)), reference.owen(parts, game(call, default_fill(call))), 1e-4)
    assert set(found["map"].facts["standard errors"]) == {0.0}


@pytest.mark.parametrize("family", ["gpt2", "bert", "distilbert"])
@pytest.mark.parametrize("samples", [4, 16])
def test_values_add_up_whatever_the_orders(family: str, samples: int) -> None:
    found = ask("text-shapley", family, LONG, samples=samples, refined=2)
    (complete,) = found["map"].completeness
    assert found["map"].facts["exact"] is False
    assert complete["gap"] < 1e-5
    tree = found["parts"]
    parent, value = tree.arrays["parent"], tree.arrays["value"].astype(np.float64)
    assert value[0] == pytest.approx(complete["expected"], abs=1e-5)
    for node in range(len(parent)):
        below = value[parent == node]
        if len(below):
            assert below.sum() == pytest.approx(value[node], abs=1e-5)


def test_drawn_orders_approach_the_owen_values_within_their_errors() -> None:
    """Of a text too long for all orders; 512 drawn orders, errors of at most four standard errors (11 tokens)."""
    call = call_of("gpt2")
    parts = parts_of(call)
    assert orders_there_are(parts) > 5040
    expected = reference.owen(parts, game(call, default_fill(call)))
    few, many = (ask("text-shapley", "gpt2", samples=n, refined=512) for n in (16, 512))
    error = np.array(many["map"].facts["standard errors"])
    assert (np.abs(values(many) - expected) <= 4 * error + 1e-5).all()
    assert np.abs(values(many) - expected).max() < np.abs(values(few) - expected).max()
    assert error.mean() < 0.5 * np.mean(few["map"].facts["standard errors"])


def test_sentences_that_are_not_taken_apart_share_evenly() -> None:
    call = call_of("gpt2", LONG)
    found = ask("text-shapley", "gpt2", LONG, samples=8, refined=1)
    sentences = [s for p in parts_of(call) for s in p]
    even = [len(s) > 1 and np.ptp(values(found)[s]) == 0 for s in sentences]
    assert sum(even) == sum(len(s) > 1 for s in sentences) - 1
    apart = sentences[even.index(False)]
    whole = ask("text-shapley", "gpt2", LONG, samples=8, refined=512)
    close(values(found)[apart], values(whole)[apart], 1e-6)
    sums = [[values(f)[s].sum() for s in sentences] for f in (found, whole)]
    np.testing.assert_allclose(*sums, atol=1e-5)


def test_previews_come_level_by_level_and_not_from_the_evidence() -> None:
    seen: list[Mapping[str, Any]] = []

    class Watching(SilentContext):
        def emit(self, preview: Mapping[str, Any]) -> None:
            seen.append(preview)

    found = ask("text-shapley", "gpt2", LONG, run=Watching(), samples=4, refined=2)
    levels = [p.get("level") for p in seen]
    assert levels == ["paragraphs", "sentences", "tokens of 1 of 2 sentences", "tokens of 2 of 2 sentences", None]
    total = found["map"].completeness[0]["expected"]
    for preview in seen:
        assert np.sum(preview["values"]) == pytest.approx(total, abs=1e-4)


def test_a_prompt_as_long_as_the_window() -> None:
    text = "x = 1\n" * 9 + "x ="
    assert len(call_of("gpt2", text).ids) == call_of("gpt2", text).model.tokenizer.window
    found = ask("text-shapley", "gpt2", text, samples=4, refined=3)
    assert found["map"].facts["sentences"] == 10
    assert found["map"].completeness[0]["gap"] < 1e-5


def test_orders_leave_no_part_unfinished() -> None:
    text = [[[0, 1], [2]], [[3, 4, 5]]]
    every = [tuple(order) for order in every_order(text)]
    assert len(every) == len(set(every)) == orders_there_are(text) == 2 * (2 * 2 * 1) * 6
    drawn = [tuple(order) for order in drawn_orders(text, 2000, 0)]
    assert set(drawn) == set(every)
    assert all(one[::-1] == other for one, other in zip(drawn[::2], drawn[1::2], strict=True))


@pytest.mark.parametrize("family", ["gpt2", "bert"])
def test_sentences_and_paragraphs(family: str) -> None:
    """Tokens with their leading space belong to the sentence of their letters, line ends to the line that they end."""
    # BERT's first word is the one that is masked and asked about.
    text = "add it. sub it! ok\nx\n\n\n  y = 1"
    call = call_of(family, text, **({"position": 1} if family == "bert" else {}))
    shown = [[call.phrase(s[0], s[-1] + 1).strip() for s in p] for p in parts_of(call)]
    assert shown == [["add it." if family == "gpt2" else "it.", "sub it!", "ok", "x"], ["y = 1"]]


def test_a_token_with_its_space_goes_with_its_letters() -> None:
    call = call_of("gpt2", "x. right")
    assert [[call.phrase(s[0], s[-1] + 1) for s in p] for p in parts_of(call)] == [["x.", " right"]]
