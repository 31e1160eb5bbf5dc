"""What methods of models that read have in common: a prompt in tokens, and what a model must be for a question."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from microtome.core.errors import InvalidInput
from microtome.models.model import Model
from microtome.models.text import Task, TextModel
from microtome.models.tokens import Tokens


def text_model(model: Model, *tasks: Task) -> TextModel:
    """The model, if it reads and does one of ``tasks`` (any, if none are named).

    Raises:
        InvalidInput: of the field ``model``.
    """
    what = {
        "causal": "predicts the next token",
        "masked": "fills in masked tokens",
        "classify": "classifies texts",
        "encode": "encodes texts",
    }
    if not isinstance(model, TextModel):
        raise InvalidInput(f"{model.source} takes images; this method is for models that read.", field="model")
    if tasks and model.task not in tasks:
        raise InvalidInput(
            f"This method needs a model that {' or '.join(what[t] for t in tasks)}; {model.source} {what[model.task]}.", field="model"
        )
    return model


def prompt_tokens(model: TextModel, prompt: str, field: str = "prompt") -> Tokens:
    """Tokens of a prompt that fits the model's window and has at least one.

    Raises:
        InvalidInput, TooLarge: of ``field``.
    """
    tokens = model.tokenizer.encode(prompt)
    if tokens.last == tokens.first:
        raise InvalidInput("The prompt is empty: type some text.", field=field)
    if tokens.left_out:
        total = tokens.last - tokens.first + tokens.left_out
        raise InvalidInput(
            f"The prompt has {total:,} tokens; {model.source} reads at most {tokens.last - tokens.first:,}. Shorten it by "
            f"{tokens.left_out:,} tokens.",
            field=field,
        )
    return tokens


def inputs_of(model: TextModel, tokens: Sequence[Tokens]) -> torch.Tensor:
    """int64 [B, T] on the model's device."""
    return model.batch([torch.from_numpy(t.ids) for t in tokens]).to(model.device)


def names_of(model: TextModel, tokens: Tokens) -> list[str]:
    """What every token looks like, special ones included."""
    return [model.tokenizer.text_of(int(i)) for i in tokens.ids]
