"""What the methods of this folder share: tokens and places that a person names, and grids of the tokens that vectors speak for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from microtome.core.errors import InvalidInput
from microtome.methods.language import inputs_of
from microtome.models.layers import Layer
from microtome.models.readout import Readout, blocks_of, readout_of, unembedding_of
from microtome.models.text import TextModel
from microtome.models.tokens import Tokens
from microtome.results import LensGrid

ReadoutKind = Literal["final norm and unembedding", "unembedding only"]
#: Characters of a token's text.
LONGEST = 200
SPELLING = "as its text with its leading space, its name in the vocabulary, or #17 for token number 17"
PLACE = "Token, counted from 0 with special ones; -1 is the last"


def token_id(model: TextModel, text: str, field: str) -> int:
    """The one token that a person means by ``text``.

    Raises:
        InvalidInput: of ``field``; it is none or several, which are named.
    """
    size = unembedding_of(model).unembedding.shape[0]
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


def residual_layers(model: TextModel) -> list[Layer]:
    """The residual stream before the first block, and after every block."""
    found = blocks_of(model)
    return [model.layers[f"{found[0].path}.input"], *(model.layers[b.path] for b in found)]


@torch.no_grad()
def residuals(model: TextModel, tokens: Tokens) -> Tensor:
    """float32 [blocks + 1, T, width]: the residual stream of a text before the first block, and after every block."""
    layers = residual_layers(model)
    with model.record(layers) as outputs:
        model.forward(inputs_of(model, [tokens]))
    return torch.stack([outputs[layer.name][0].float() for layer in layers])


@torch.no_grad()
def likeliest(model: TextModel, tokens: Tokens, place: int, count: int) -> list[int]:
    """Tokens that the model itself gives at a place, likeliest first."""
    found: list[int] = model.forward(inputs_of(model, [tokens]))[0, place].float().topk(count).indices.tolist()
    return found


def target_of(model: TextModel, tokens: Tokens, place: int, text: str | None) -> int:
    """The token that parameter ``target`` names; the model's own answer for None.

    Raises:
        InvalidInput: of ``params.target``.
    """
    return likeliest(model, tokens, place, 1)[0] if text is None else token_id(model, text, "params.target")


def readout_by(model: TextModel, kind: ReadoutKind) -> Readout:
    """
    Raises:
        InvalidInput: of the field ``model``; it has no such readout.
    """
    return readout_of(model) if kind == "final norm and unembedding" else unembedding_of(model)


def show(model: TextModel, id: int) -> str:
    return model.tokenizer.text_of(id)


def lens_grid(
    model: TextModel, *, items: Tensor, values: Tensor, cells: Tensor | None = None, title: str, note: str, rows: Sequence[str],
    columns: Sequence[str], axes: tuple[str, str], quantity: str, cell_quantity: str = "", layer: str = "",
    facts: Mapping[str, Any] | None = None,
) -> LensGrid:  # fmt: skip
    """A grid of tokens: ``items`` int64 [rows, columns, k] ids with their ``values``, strongest first; ``cells`` [rows, columns]."""
    known, places = np.unique(items.cpu().numpy(), return_inverse=True)
    arrays: dict[str, npt.NDArray[Any]] = {
        "items": places.reshape(tuple(items.shape)).astype(np.int32), "values": values.float().cpu().numpy(),
    }  # fmt: skip
    if cells is not None:
        arrays["cells"] = cells.float().cpu().numpy()
    return LensGrid(
        title=title, note=note, rows=list(rows), columns=list(columns), row_axis=axes[0], column_axis=axes[1],
        names=[show(model, int(i)) for i in known], quantity=quantity, cell_quantity=cell_quantity, layer=layer, facts=dict(facts or {}),
        arrays=arrays,
    )  # fmt: skip
