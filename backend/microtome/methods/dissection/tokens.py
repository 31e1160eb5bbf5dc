"""Which tokens of the vocabulary drive a unit: mean activation by token."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from microtome.capture.recorders.by_token import ByToken
from microtome.capture.taken import View
from microtome.models.text import TextModel
from microtome.probes import TextSet
from microtome.results import LensGrid

#: A token counts if it occurs so often; of more tokens than MOST the frequent ones are taken.
FEWEST, MOST, SHOWN = 5, 8192, 10


class Vocabulary(NamedTuple):
    """The tokens that are counted: ``names`` in order of id, ``counts`` of each, and ``kinds`` int32 [examples, width]."""

    names: list[str]
    counts: npt.NDArray[np.int64]
    kinds: npt.NDArray[np.int32]


class TopTokens(NamedTuple):
    """[units, 2, SHOWN]: places in the names (-1 for none), mean activations; the largest first, then the smallest."""

    items: npt.NDArray[np.int32]
    values: npt.NDArray[np.float32]


def vocabulary_of(model: TextModel, probe: TextSet, examples: int, width: int) -> Vocabulary:
    """The tokens of the first texts that occur often enough."""
    ids = np.full((examples, width), -1, np.int64)
    for row in range(examples):
        tokens = model.tokenizer.encode(probe.text(row))
        own = tokens.ids[tokens.first : tokens.last][:width]
        ids[row, : len(own)] = own
    found, counts = np.unique(ids[ids >= 0], return_counts=True)
    often = np.argsort(-counts, kind="stable")[:MOST]
    often = np.sort(often[counts[often] >= FEWEST])
    place = np.full(int(found.max(initial=0)) + 2, -1, np.int32)
    place[found[often]] = np.arange(len(often), dtype=np.int32)
    return Vocabulary([model.tokenizer.text_of(int(i)) for i in found[often]], counts[often], place[ids])


def top_tokens(view: View, vocabulary: Vocabulary) -> TopTokens:
    """The tokens with the largest and the smallest mean activation of every unit; equal ones in order of id."""
    sums = view.record(ByToken(view.units, vocabulary.kinds, len(vocabulary.names)))[0].sums
    means = sums / vocabulary.counts
    items = np.full((view.units, 2, SHOWN), -1, np.int32)
    values = np.zeros(items.shape, np.float32)
    count = min(SHOWN, len(vocabulary.names))
    for side, order in enumerate((-means, means)):
        chosen = np.argsort(order, axis=1, kind="stable")[:, :count]
        items[:, side, :count] = chosen
        values[:, side, :count] = np.take_along_axis(means, chosen, axis=1)
    return TopTokens(items, values)


def tokens_result(layer: str, label: str, found: TopTokens, vocabulary: Vocabulary) -> LensGrid:
    """The tokens of every unit, with the number of times each occurs."""
    used, items = np.unique(found.items, return_inverse=True)
    shift = int(used[0] == -1) if len(used) else 0
    names = [vocabulary.names[i] for i in used[shift:]]
    counts = np.where(found.items >= 0, vocabulary.counts[found.items] if len(vocabulary.counts) else 0, 0)
    return LensGrid(
        title=f"Tokens of {label}",
        note=f"Mean activation over all places of a token, of tokens that occur at least {FEWEST} times.",
        rows=[], columns=["largest", "smallest"], row_axis="unit", column_axis="end", names=names, quantity="mean activation", layer=layer,
        arrays={
            "items": (items.reshape(found.items.shape) - shift).astype(np.int32), "values": found.values, "counts": counts.astype(np.int64),
        },
    )  # fmt: skip
