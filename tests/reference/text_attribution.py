"""Attribution of texts written once more: one text after another through the network as it is, no hooks, every subset and every cut."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain, combinations
from math import factorial
from typing import Any

import numpy as np
import torch
from torch import Tensor

Value = Callable[[frozenset[int]], float]


def logits(model: Any, ids: Sequence[int], at: int | None) -> Tensor:
    """float64 [classes] of a text in ids, at a place of it; of a classifier if None."""
    given = torch.tensor([list(ids)])
    with torch.no_grad():
        found = model.network(input_ids=given, attention_mask=torch.ones_like(given)).logits[0]
    return (found if at is None else found[at]).double()


def logits_of_vectors(model: Any, vectors: Tensor, at: int | None) -> Tensor:
    """[classes], differentiable, of embeddings [T, D], by the door that the network has for them."""
    found = model.network(inputs_embeds=vectors[None], attention_mask=torch.ones(1, len(vectors), dtype=torch.long)).logits[0]
    return found if at is None else found[at]


def with_off(ids: Sequence[int], places: Sequence[int], present: frozenset[int], fill: int | None) -> list[int]:
    """Ids with the tokens at ``places`` replaced (taken out if ``fill`` is None) whose numbers are not among ``present``."""
    off = {place for number, place in enumerate(places) if number not in present}
    return [(fill if i in off else id) for i, id in enumerate(ids) if fill is not None or i not in off]  # type: ignore[misc]


def subsets(items: Sequence[Any]) -> list[tuple[Any, ...]]:
    return list(chain.from_iterable(combinations(items, size) for size in range(len(items) + 1)))


def _share(size: int, of: int) -> float:
    """Weight of a coalition of ``size`` of the others in a game of ``of`` players."""
    return factorial(size) * factorial(of - size - 1) / factorial(of)


def shapley(count: int, value: Value) -> np.ndarray:
    """By definition: over all subsets of the other players."""
    return owen([[list(range(count))]], value)


def owen(text: Sequence[Sequence[Sequence[int]]], value: Value) -> np.ndarray:
    """Owen values of two levels (Winter 1989): over all sets of other paragraphs, of other sentences of the own one, of other tokens."""
    out = np.zeros(sum(len(s) for p in text for s in p))
    for p, paragraph in enumerate(text):
        for s, sentence in enumerate(paragraph):
            for token in sentence:
                for before in subsets([x for i, x in enumerate(text) if i != p]):
                    for lines in subsets([x for i, x in enumerate(paragraph) if i != s]):
                        for words in subsets([t for t in sentence if t != token]):
                            there = frozenset([t for x in before for line in x for t in line] + [t for x in lines for t in x] + [*words])
                            weight = _share(len(before), len(text)) * _share(len(lines), len(paragraph)) * _share(len(words), len(sentence))
                            out[token] += weight * (value(there | {token}) - value(there))
    return out


def interaction(partition: Sequence[tuple[int, int]], place: int, cut: int, neighbours: int, value: Value) -> float:
    """Shapley interaction index across a cut of a phrase, among its neighbours: the sum over what they do, written out."""
    start, stop = partition[place]
    around = [partition[i] for i in range(place - neighbours, place + neighbours + 1) if i != place and 0 <= i < len(partition)]
    left, right, players = set(range(start, cut)), set(range(cut, stop)), len(around) + 2
    total = 0.0
    for chosen in subsets(around):
        rest = {t for a, b in chosen for t in range(a, b)}
        gain = (
            value(frozenset(rest | left | right)) - value(frozenset(rest | left)) - value(frozenset(rest | right)) + value(frozenset(rest))
        )
        total += factorial(len(chosen)) * factorial(players - len(chosen) - 2) / factorial(players - 1) * gain
    return total


def weakest(partition: Sequence[tuple[int, int]], neighbours: int, value: Value) -> tuple[float, tuple[int, int, int]]:
    """The least interaction over all cuts of all phrases, and (start, cut, stop)."""
    found = [
        (interaction(partition, place, cut, neighbours, value), (start, cut, stop))
        for place, (start, stop) in enumerate(partition)
        for cut in range(start + 1, stop)
    ]
    return min(found)
