"""What the methods of this folder share: the residual stream of a prompt, and grids of the tokens that vectors speak for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from microtome.methods.answers import token_id
from microtome.methods.language import inputs_of
from microtome.models.layers import Layer
from microtome.models.readout import Readout, blocks_of, readout_of, unembedding_of
from microtome.models.text import TextModel
from microtome.models.tokens import Tokens
from microtome.results import LensGrid

ReadoutKind = Literal["final norm and unembedding", "unembedding only"]


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
