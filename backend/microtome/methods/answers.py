"""Tokens that a person names as an answer: a text that is exactly one token of the vocabulary."""

from __future__ import annotations

from microtome.core.errors import InvalidInput
from microtome.models.text import TextModel


def token_of(model: TextModel, text: str, field: str) -> int:
    """Id of the one token that ``text`` is, white space included.

    Raises:
        InvalidInput: of ``field``, where the text is no token or several; the message says which.
    """
    tokens = model.tokenizer.encode(text)
    ids = [int(i) for i in tokens.ids[tokens.first : tokens.last]]
    if len(ids) == 1:
        return ids[0]
    if not ids:
        raise InvalidInput("An answer is one token; this text is empty.", field=field)
    shown = ", ".join(repr(model.tokenizer.text_of(i)) for i in ids[:8]) + (", ..." if len(ids) > 8 else "")
    raise InvalidInput(
        f"{text[:60]!r} is {len(ids) + tokens.left_out} tokens of {model.source}: {shown}. An answer is one token; often it begins with a "
        "space.",
        field=field,
    )
