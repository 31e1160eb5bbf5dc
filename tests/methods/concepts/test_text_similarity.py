"""Likeness of texts against the network of transformers, asked text by text."""

from __future__ import annotations

import pytest
import torch

from microtome.core.context import SilentContext
from microtome.core.errors import InvalidInput
from microtome.methods.concepts.text_similarity import Params, text_similarity
from tests import micro

TEXTS = ["def add", "return names", "for x in range", "import os", "def add(left, right)"]


def by_hand(text: str) -> torch.Tensor:
    ids = torch.from_numpy(micro.load_text("encoder").tokenizer.encode(text).ids)[None]
    with torch.no_grad():
        states = micro.load_text("encoder").network(input_ids=ids).last_hidden_state[0]
    mean = states.double().mean(0)
    return mean / mean.norm()


def test_cosines_order_and_chance_are_those_of_means_by_hand() -> None:
    """Texts of unlike lengths share a batch; within 1e-5."""
    found = text_similarity.function(
        model=micro.load_text("encoder"), params=Params(query="def add", texts=TEXTS, count=4), run=SilentContext()
    )["order"]
    wanted = {text: float(by_hand(text) @ by_hand("def add")) for text in TEXTS}
    assert [s.name for s in found.scores] == sorted(wanted, key=lambda t: -wanted[t])[:4]
    for score in found.scores:
        assert score.value == pytest.approx(wanted[score.name], abs=1e-5)
    assert found.scores[0].name == "def add"
    assert found.scores[0].value == pytest.approx(1, abs=1e-5)
    pairs = [float(by_hand(a) @ by_hand(b)) for a in TEXTS for b in TEXTS if a != b]
    assert found.scores[0].chance == pytest.approx(sum(pairs) / len(pairs), abs=1e-5)


def test_what_cannot_be_asked_is_said() -> None:
    with pytest.raises(InvalidInput, match="encodes texts"):
        text_similarity.function(model=micro.load_text("gpt2"), params=Params(texts=TEXTS), run=SilentContext())
    for params, field in (
        (Params(query="x " * 200, texts=TEXTS), "params.query"),
        (Params(query="x", texts=["a", ""]), "params.texts"),
        (Params(query="x", texts=["a", "a"]), "params.texts"),
    ):
        with pytest.raises(InvalidInput) as caught:
            text_similarity.function(model=micro.load_text("encoder"), params=params, run=SilentContext())
        assert caught.value.field == field
