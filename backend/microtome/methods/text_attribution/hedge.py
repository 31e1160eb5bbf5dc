"""HEDGE: phrases of a text, divided again and again where they hold together least."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import factorial

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from microtome.core.errors import InvalidInput
from microtome.methods.contract import Cost
from microtome.methods.text_attribution.call import Call, Flags, Read, probabilities
from microtome.methods.text_attribution.explain import Attribution, text_attribution
from microtome.methods.text_attribution.fills import fill_of
from microtome.methods.text_attribution.game import Game
from microtome.methods.text_attribution.occlusion import FillParams
from microtome.results import Result, Scorecard, Tree

#: Tokens of a text at most: the questions grow faster than their square.
MOST = 128
#: First and last token (not included) of a phrase.
Span = tuple[int, int]


class Params(FillParams):
    neighbours: int = Field(2, ge=0, le=4, description="Phrases on either side that an interaction is averaged over; 2 as published.")


@dataclass(frozen=True, slots=True)
class Split:
    """A phrase cut in two, and the interaction across the cut in the partition that it was found in."""

    left: Span
    right: Span
    interaction: float


def answer_and_margin(call: Call) -> Read:
    """What interactions are of, the probability of the target; and the score of a phrase, its lead over all others (equation 6).

    For a difference of two targets both are the difference of their probabilities.
    """

    def read(logits: Tensor) -> Tensor:
        found = probabilities(call.model, logits)
        index = call.target.index
        if index is None:
            difference = call.target.number(found, {})
            return torch.stack([difference, difference], 1)
        own = found[:, index]
        others = found.clone()
        others[:, index] = -1.0
        return torch.stack([own, own - (others.amax(1) if found.shape[1] > 1 else 1 - own)], 1)

    return read


class Phrases:
    """The interactions of neighbouring phrases of one text."""

    def __init__(self, game: Game, tokens: int, neighbours: int) -> None:
        self.game, self.tokens, self.neighbours = game, tokens, neighbours
        self.known: dict[tuple[Span, ...], float] = {}

    def flags(self, spans: Sequence[Span]) -> Flags:
        out = np.zeros(self.tokens, bool)
        for start, stop in spans:
            out[start:stop] = True
        return out

    def candidates(self, partition: Sequence[Span]) -> list[tuple[Span, ...]]:
        """Every way to cut a phrase of a partition: its two halves, then the phrases around it."""
        found = []
        for place, (start, stop) in enumerate(partition):
            around = (*partition[max(0, place - self.neighbours) : place], *partition[place + 1 : place + 1 + self.neighbours])
            found += [((start, cut), (cut, stop), *around) for cut in range(start + 1, stop)]
        return found

    def learn(self, candidates: Sequence[tuple[Span, ...]]) -> None:
        """Interactions that are not known yet (equations 3 and 5), asked about all at once."""
        fresh = [c for c in dict.fromkeys(candidates) if c not in self.known]
        weights: list[float] = []
        owner: list[int] = []
        sets: list[Flags] = []
        for number, (left, right, *around) in enumerate(fresh):
            size = len(around) + 2
            for chosen in product((False, True), repeat=len(around)):
                rest = [span for span, there in zip(around, chosen, strict=True) if there]
                weight = factorial(len(rest)) * factorial(size - len(rest) - 2) / factorial(size - 1)
                for more, sign in (([left, right], 1), ([left], -1), ([right], -1), ([], 1)):
                    sets.append(self.flags([*rest, *more]))
                    weights.append(sign * weight)
                    owner.append(number)
        if fresh:
            said = self.game.said(np.stack(sets))[:, 0]
            found = np.bincount(owner, np.array(weights) * said, len(fresh))
            self.known |= dict(zip(fresh, found.tolist(), strict=True))

    def divide(self) -> list[Split]:
        """All cuts in order: of all phrases, the one across which the interaction is least (equation 1); the first of equals."""
        partition: list[Span] = [(0, self.tokens)]
        splits: list[Split] = []
        while len(partition) < self.tokens:
            candidates = self.candidates(partition)
            self.learn(candidates)
            left, right, *_ = best = min(candidates, key=lambda c: self.known[c])
            splits.append(Split(left, right, self.known[best]))
            place = partition.index((left[0], right[1]))
            partition[place : place + 1] = [left, right]
        return splits


def results_of(call: Call, game: Game, params: Params) -> dict[str, Result]:
    """The hierarchy, with the score of every phrase, and the interaction across every cut."""
    phrases = Phrases(game, call.count, params.neighbours)
    splits = phrases.divide()
    spans: list[Span] = [(0, call.count)]
    parent = [-1]
    place = {spans[0]: 0}
    for split in splits:
        for span in (split.left, split.right):
            place[span] = len(spans)
            spans.append(span)
            parent.append(place[(split.left[0], split.right[1])])
    scores = game.said(np.stack([phrases.flags([s]) for s in spans]))[:, 1]
    names = [call.phrase(*span) for span in spans]
    note = f"A phrase's value: the lead of {call.target.name} when it alone is there; off: {game.fill.name}."
    return {
        "tree": Tree(
            title=f"Phrases that hold together: {call.target.name}", note=note, names=names, quantity="probability",
            facts={"target": call.target.name, "fill": game.fill.name, "texts asked about": len(game.known)},
            arrays={"parent": np.array(parent, np.int32), "value": scores.astype(np.float32)},
        ),
        "splits": Scorecard(
            title="Interaction across every cut", note="In the order of the cuts; below zero each half takes from what the other adds.",
            scores=[
                Scorecard.Score(
                    name=f"{call.phrase(*s.left)!r} | {call.phrase(*s.right)!r}", value=s.interaction, unit="probability",
                    group=f"{number}",
                )
                for number, s in enumerate(splits, 1)
            ],
        ),
    }  # fmt: skip


@text_attribution(
    "hedge",
    title="HEDGE",
    question="Which words act together?",
    params=Params,
    example_params=Params(neighbours=0),
    returns=(Tree,),
    cite="Chen, Zheng, Ji 2020, arXiv:2004.02015",
    quantity="lead in probability",
    cost=Cost(passes=2000.0),
    passes=lambda p: 32.0,
)
def hedge(call: Call, params: Params) -> Attribution:
    """The text divided into phrases, top down, each time where two halves interact least, down to single tokens.

    The map holds the scores of the leaves, the tree those of all phrases, `splits` the interactions. The target's probability is what
    interactions are of; for a target against another it is the difference of their probabilities.

    Formula:
        `min over phrases and cuts j of phi(left, right | P)`; `phi = sum over S of |S|! (M - |S| - 2)! / (M - 1)! *
        (f(S + left + right) - f(S + left) - f(S + right) + f(S))`, S a set of phrases around, M - 2 of them. The score of a phrase:
        `f_target(phrase alone) - max over others of f_other(phrase alone)`.

    Known failures:
        The least interaction is the most negative one: halves that say the same are cut before halves that have nothing to do with each
        other. A cut is never undone. Phrases alone are no texts, and with many classes or tokens most scores are close to the same lead.
        The neighbourhood is a window: what acts together from afar is not seen.

    Raises:
        InvalidInput: a prompt of more than 128 tokens; the model has no such token to fill with; as of
            :func:`microtome.methods.text_attribution.target.asked`.
    """
    if call.count > MOST:
        raise InvalidInput(f"The prompt has {call.count} tokens; phrases are made of at most {MOST}. Shorten it.", field="prompt")
    game = Game(call, fill_of(call.model, params.fill), answer_and_margin(call), "phrases")
    scores = game.said(np.eye(call.count, dtype=bool))[:, 1]
    note = f"A token's value: the lead of {call.target.name} when it alone is there; off: {game.fill.name}."
    return Attribution(
        torch.from_numpy(scores), None, {"fill": game.fill.name}, note, more=lambda: results_of(call, game, params)
    )  # fmt: skip
