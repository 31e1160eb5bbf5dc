"""Which number of a text is explained: the logit of a token or a class, or the difference of two."""

from __future__ import annotations

import re
from dataclasses import replace

import torch
from pydantic import Field
from torch import Tensor

from microtome.core.context import RunContext
from microtome.core.errors import InvalidInput
from microtome.methods.answers import LONGEST, SPELLING, place_of, token_id
from microtome.methods.attribution.target import Target
from microtome.methods.contract import MethodParams
from microtome.methods.language import prompt_tokens, text_model
from microtome.methods.text_attribution.call import Call, embeddings, logits_of
from microtome.methods.text_attribution.fills import token_for
from microtome.models.model import Model
from microtome.models.text import TextModel
from microtome.models.tokens import Tokens


class TextExplainParams(MethodParams):
    """Base of the parameters of attribution methods for texts."""

    target: str | None = Field(
        None,
        min_length=1,
        max_length=LONGEST,
        description=f"What is explained: a class by its name or number; of a language model a token, {SPELLING}; the model's own answer "
        "if empty.",
    )
    against: str | None = Field(
        None, min_length=1, max_length=LONGEST, description="Class or token whose logit is taken off the target's; nothing if empty."
    )
    position: int | None = Field(
        None,
        ge=-512,
        le=511,
        description="Masked models: the token that is masked and asked about, counted from 0 with special ones, -1 being the last; the "
        "first mask of the prompt if empty, else its last word.",
    )
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Seed of whatever is drawn, for the map and for its evidence.")


def asked(model: Model, prompt: str, params: TextExplainParams, run: RunContext) -> Call:
    """The text and the number that are explained.

    Raises:
        InvalidInput: a model without logits; a prompt that is empty, too long, or nothing but what is asked about; a target or a place
            that there is not; an output that is not finite.
    """
    reader = text_model(model, "causal", "masked", "classify")
    tokens = prompt_tokens(reader, prompt)
    ids = torch.from_numpy(tokens.ids).to(reader.device)
    places = torch.arange(tokens.first, tokens.last, device=reader.device)
    at: int | None = None
    if reader.task == "masked":
        at, mask = _masked(reader, tokens, params.position)
        ids = ids.clone()
        ids[at] = mask
        places = places[places != at]
    elif params.position is not None:
        raise InvalidInput(
            f"A position is asked about in masked models only; {reader.source} is none. Leave it empty.", field="params.position"
        )
    elif reader.task == "causal":
        at = -1
    if not len(places):
        raise InvalidInput("The prompt is nothing but the token that is asked about; type more text.", field="prompt")
    call = Call(
        reader, prompt, tokens, ids, embeddings(reader, ids), places, at, Target("", None, ((0, 1.0),)), run, params.seed
    )  # fmt: skip
    with torch.no_grad():
        logits = logits_of(call, call.vectors[None])[0]
    if not torch.isfinite(logits).all():
        raise InvalidInput("The model's output for this text is not finite, so there is nothing to explain.", field="prompt")
    return _with_target(call, logits, params)


def _with_target(call: Call, logits: Tensor, params: TextExplainParams) -> Call:
    model = call.model
    one = int(logits.argmax()) if params.target is None else _index(model, params.target, len(logits), "params.target")
    if params.against is None:
        return replace(call, target=Target(_name(model, one), None, ((one, 1.0),)))
    other = _index(model, params.against, len(logits), "params.against")
    if one == other:
        raise InvalidInput(f"{_name(model, one)} less itself is always nothing; name another.", field="params.against")
    weights = tuple(sorted(((one, 1.0), (other, -1.0))))
    return replace(call, target=Target(f"{_name(model, one)} - {_name(model, other)}", None, weights))


def _masked(model: TextModel, tokens: Tokens, position: int | None) -> tuple[int, int]:
    """The place that is masked, and the id of the mask."""
    mask = token_for(model, "mask")
    if mask is None:
        raise InvalidInput(f"{model.source} has no mask token, so no token can be asked about.", field="model")
    if position is None:
        own = tokens.ids[tokens.first : tokens.last]
        there = (own == mask).nonzero()[0]
        return tokens.first + (int(there[0]) if len(there) else len(own) - 1), mask
    place = place_of(tokens, position)
    if not tokens.first <= place < tokens.last:
        raise InvalidInput(
            f"Token {place} is a special one, not of the text; its own are {tokens.first} to {tokens.last - 1}.", field="params.position"
        )
    return place, mask


def _index(model: TextModel, text: str, size: int, field: str) -> int:
    """Place among the logits of what a person means.

    Raises:
        InvalidInput: of ``field``.
    """
    if model.task != "classify":
        return token_id(model, text, field)
    if text in model.classes:
        return model.classes.index(text)
    number = re.fullmatch(r"#?(\d{1,9})", text)
    if number and int(number[1]) < size:
        return int(number[1])
    shown = ", ".join(model.classes[:10])
    raise InvalidInput(f"{model.source} has no class '{text[:60]}'; it has {size}, 0 to {size - 1}: {shown}.", field=field)


def _name(model: TextModel, index: int) -> str:
    if model.task != "classify":
        return f"'{model.tokenizer.text_of(index)}'"
    return model.classes[index] if index < len(model.classes) else f"class {index}"
