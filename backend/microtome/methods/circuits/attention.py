"""The attention patterns of a language model, and what a head attends to: the token before, an equal one, the one after an equal one."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from microtome.core.errors import InvalidInput
from microtome.methods.attribution.attention import plainly
from microtome.methods.circuits.sites import head_values
from microtome.models.layers import first_tensor
from microtome.models.readout import alike, refused
from microtome.models.text import TextModel

Floats = npt.NDArray[np.float64]
#: What is counted, with the words for it.
SCORES = {
    "previous": "the token before",
    "recent": "the few tokens before",
    "first": "the first token",
    "duplicate": "earlier places of the same token",
    "induction": "what followed the same token before",
}


def attention_of(model: TextModel, ids: torch.Tensor) -> list[torch.Tensor]:
    """Per block with heads float32 [B, heads, T, T]: what each query (third axis) takes from each key; the keys' shares sum to 1.

    Fused kernels keep these shares to themselves, so that attention is computed in plain steps for this pass.

    Raises:
        InvalidInput: of the field ``model``, which does not tell.
    """
    wanted = len(head_values(model))
    with plainly(model.network), torch.no_grad():
        told = model.output(ids, output_attentions=True)
    found = getattr(told, "attentions", None)
    shape = (len(ids), model.heads, ids.shape[1], ids.shape[1])
    if not found or len(found) != wanted or any(a is None or tuple(a.shape) != shape for a in found):
        raise InvalidInput(f"{model.source} does not tell what its heads attend to.", field="model")
    away = max(float((a.float().sum(-1) - 1).abs().max()) for a in found)
    if away > 1e-3:
        raise InvalidInput(f"The attention of {model.source} does not sum to 1 (off by {away:.2g}), so it is no share.", field="model")
    with torch.no_grad():
        usual, plain = model.forward(ids[:1]), first_tensor(told)
    if plain is None or not alike(plain[:1].float(), usual.float()):
        raise refused(model, "gives another answer where its attention is computed in plain steps, so these are not its shares")
    return [a.float() for a in found]


def repeated(model: TextModel, sequences: int, length: int, seed: int, field: str) -> torch.Tensor:
    """int64 [sequences, special + 2 length]: random tokens, no two alike, and the same once more.

    Raises:
        InvalidInput: of ``field``: longer than the model reads, or than it has tokens.
    """
    before = model.tokenizer.encode("a").ids[: model.special]
    allowed = np.setdiff1d(np.arange(model.tokenizer.vocabulary), before)
    most = min((model.tokenizer.window - model.special) // 2, len(allowed))
    if length > most:
        raise InvalidInput(f"{model.source} takes at most {most} tokens twice; asked for {length}.", field=field)
    generator = np.random.default_rng(seed)
    half = np.stack([generator.choice(allowed, length, replace=False) for _ in range(sequences)])
    ids = np.concatenate([np.tile(before, (sequences, 1)), half, half], axis=1)
    return torch.from_numpy(ids.astype(np.int64)).to(model.device)


def marks(ids: npt.NDArray[np.int64], recent: int) -> dict[str, npt.NDArray[np.bool_]]:
    """The keys that count for each score, bool [T, T] (query, key), of one text in tokens, special ones included."""
    query, key = np.indices((len(ids), len(ids)))
    same = ids[:, None] == ids[None, :]
    after_same = np.zeros_like(same)
    after_same[:, 1:] = same[:, :-1]
    return {
        "previous": key == query - 1,
        "recent": (key < query) & (key >= query - recent),
        "first": (key == 0) & (query > 0),
        "duplicate": same & (key < query),
        # The token after the last one before the query is the query itself, where a token stands twice in a row.
        "induction": after_same & (key <= query) & (key > 0) & (key - 1 < query),
    }


class HeadScores(NamedTuple):
    """Mean share of the attention on the keys that count, float64 [blocks, heads], and what attention to all alike would give.

    ``queries`` are those with any such key; without one the scores are NaN.
    """

    values: Floats
    chance: float
    queries: int


def head_scores(attention: list[torch.Tensor], ids: torch.Tensor, recent: int) -> dict[str, HeadScores]:
    """The scores over all queries of all texts of a batch, texts without padding."""
    tables = [marks(row, recent) for row in ids.cpu().numpy()]
    allowed = np.arange(1, ids.shape[1] + 1)[None, :]  # a query sees itself and what is before it
    found = {}
    for name in SCORES:
        counted = np.stack([table[name] for table in tables])
        queries = counted.any(-1)
        number = int(queries.sum())
        mask = torch.from_numpy(counted).to(ids.device)[:, None]
        total = np.stack([(block.double() * mask).sum((0, 2, 3)).cpu().numpy() for block in attention])
        expected = float((counted.sum(-1) / allowed)[queries].sum())
        found[name] = (
            HeadScores(total / number, expected / number, number) if number else HeadScores(np.full(total.shape, np.nan), np.nan, 0)
        )
    return found
