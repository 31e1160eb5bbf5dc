"""A text that is one token has its id; any other is refused with the tokens that it is."""

from __future__ import annotations

import pytest

from microtome.core.errors import InvalidInput
from microtome.methods.answers import token_id
from tests import micro


@pytest.mark.parametrize("family", ["gpt2", "bert"])
def test_every_text_of_one_token_is_that_token(family: str) -> None:
    model = micro.load_text(family)
    tokens = model.tokenizer.encode("left")
    assert token_id(model, "left", "x") == tokens.ids[tokens.first]


def test_white_space_belongs_to_the_token() -> None:
    model = micro.load_text("gpt2")
    assert model.tokenizer.text_of(token_id(model, " right", "x")) == " right"


def test_several_tokens_are_named_in_the_refusal() -> None:
    for text, words in ((" right left", "' right' (#"), ("", "0 tokens"), ("zebra", "'z' (#"), ("a " * 200, "tokens of")):
        with pytest.raises(InvalidInput) as caught:
            token_id(micro.load_text("gpt2"), text, "params.answer")
        assert words in str(caught.value)
        assert caught.value.field == "params.answer"
