"""Tokens and places of a text that a person names."""

from __future__ import annotations

import re

from microtome.core.errors import InvalidInput
from microtome.models.text import TextModel
from microtome.models.tokens import Tokens

#: Characters of a token's text.
LONGEST = 200
SPELLING = "as its text with its leading space, its name in the vocabulary, or #17 for token number 17"
PLACE = "Token, counted from 0 with special ones; -1 is the last"


def token_id(model: TextModel, text: str, field: str) -> int:
    """The one token that a person means by ``text``.

    Raises:
        InvalidInput: of ``field``; it is none or several, which are named.
    """
    size = int(model.config.get("vocab_size", model.tokenizer.vocabulary))
    if number := re.fullmatch(r"#(\d{1,9})", text):
        if int(number[1]) < size:
            return int(number[1])
        raise InvalidInput(f"There is no token {text}; they are numbered #0 to #{size - 1}.", field=field)
    tokens = model.tokenizer.encode(text)
    ids = [int(i) for i in tokens.ids[tokens.first : tokens.last]]
    named = model.tokenizer.id_of(text)
    if len(ids) == 1:
        return ids[0]
    if named is not None:
        return named
    shown = ", ".join(f"'{model.tokenizer.text_of(i)}' (#{i})" for i in ids[:8])
    raise InvalidInput(
        f"'{text[:60]}' is {len(ids)} tokens of {model.source}{': ' + shown if ids else ''}; name one of them, {SPELLING}.", field=field
    )


def place_of(tokens: Tokens, position: int, field: str = "params.position") -> int:
    """
    Raises:
        InvalidInput: of ``field``; the text has no such token.
    """
    if not -len(tokens) <= position < len(tokens):
        raise InvalidInput(
            f"The prompt has {len(tokens)} tokens, numbered 0 to {len(tokens) - 1} or -{len(tokens)} to -1 from its end; there is no "
            f"{position}.",
            field=field,
        )
    return position % len(tokens)
