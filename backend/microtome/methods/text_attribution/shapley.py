"""Shapley values of long texts: paragraphs first, then sentences, then tokens (TextGenSHAP)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from pydantic import Field

from microtome.methods.attribution.explain import portions
from microtome.methods.contract import Cost
from microtome.methods.text_attribution.call import Call, Floats, number
from microtome.methods.text_attribution.explain import Attribution, completed, spread, text_attribution
from microtome.methods.text_attribution.fills import fill_of
from microtome.methods.text_attribution.game import SETS, Game
from microtome.methods.text_attribution.occlusion import FillParams
from microtome.methods.text_attribution.parts import Paragraph, Ranks, drawn_orders, every_order, orders_there_are, parts_of, ranks_of
from microtome.results import Result, Tree

#: Orders that are all gone through, where there are no more: equal beginnings are asked about once, so that they cost few passes.
EXACT = 5040


class Params(FillParams):
    samples: int = Field(32, ge=4, le=5000, multiple_of=2, description="Orders of the tokens drawn, each with its reverse.")
    refined: int = Field(
        8,
        ge=1,
        le=512,
        description="Sentences that are taken apart into tokens, those of the largest value; tokens of others share evenly.",
    )


@dataclass(frozen=True, slots=True)
class Estimate:
    """What units (sets of tokens) add, mean over orders, and the standard error of that: float64 [units]."""

    mean: Floats
    error: Floats


def gains(game: Game, ranks: Ranks, units: Sequence[list[int]]) -> Floats:
    """float64 [orders, units]: what a unit adds to the tokens before it; its own tokens stand together in every order."""
    size = np.array([len(unit) for unit in units])
    call, rows = game.call, []
    for start, stop in portions(len(ranks), max(1, SETS // (2 * len(units)))):
        call.run.check()
        call.run.progress(start, len(ranks), "orders")
        part = ranks[start:stop]
        before = np.stack([part[:, unit].min(1) for unit in units], 1)
        ends = np.stack([before, before + size])
        said = game.said((part[None, :, None, :] < ends[..., None]).reshape(-1, part.shape[1]))[:, 0].reshape(ends.shape)
        rows.append(said[1] - said[0])
    return np.concatenate(rows)


def estimate(found: Floats, exact: bool) -> Estimate:
    """The errors are those of the means of pairs, an order and its reverse, which are independent."""
    if exact:
        return Estimate(found.mean(0), np.zeros(found.shape[1]))
    pairs = found.reshape(-1, 2, found.shape[1]).mean(1)
    return Estimate(found.mean(0), pairs.std(0, ddof=1) / np.sqrt(len(pairs)))


@dataclass(frozen=True, slots=True)
class Refinement:
    """Values of the parts of a text, level by level; those of a level add up to those of the one above.

    Attributes:
        refined: sentences that were taken apart. tokens: of all tokens, those of other sentences an even share.
    """

    text: list[Paragraph]
    paragraphs: Estimate
    sentences: Estimate
    refined: list[int]
    tokens: Estimate


def refine(call: Call, game: Game, params: Params) -> tuple[Refinement, bool]:
    """All levels, from one set of orders, and whether these are all that there are."""
    text = parts_of(call)
    exact = orders_there_are(text) <= EXACT
    ranks = ranks_of(list(every_order(text)) if exact else drawn_orders(text, params.samples, params.seed))
    whole = [[token for sentence in paragraph for token in sentence] for paragraph in text]
    sentences = [sentence for paragraph in text for sentence in paragraph]
    paragraphs = estimate(gains(game, ranks, whole), exact)
    _show(call, _shared(whole, paragraphs.mean), "paragraphs")
    lines = estimate(gains(game, ranks, sentences), exact)
    mean, error = _shared(sentences, lines.mean), _shared(sentences, lines.error)
    _show(call, mean, "sentences")
    chosen = sorted(np.argsort(-np.abs(lines.mean), kind="stable")[: params.refined].tolist())
    for done, place in enumerate(chosen):
        inside = estimate(gains(game, ranks, [[token] for token in sentences[place]]), exact)
        mean[sentences[place]], error[sentences[place]] = inside.mean, inside.error
        _show(call, mean, f"tokens of {done + 1} of {len(chosen)} sentences")
    return Refinement(text, paragraphs, lines, chosen, Estimate(mean, error)), exact


def _shared(units: Sequence[list[int]], values: Floats) -> Floats:
    """[tokens]: every unit's value in equal parts over its tokens."""
    out = np.zeros(sum(len(unit) for unit in units))
    for unit, value in zip(units, values, strict=True):
        out[unit] = value / len(unit)
    return out


def _show(call: Call, values: Floats, level: str) -> None:
    if call.watched:
        call.run.emit({"values": spread(call, torch.from_numpy(values)).tolist(), "level": level, "targets": [call.target.name]})


def tree_of(call: Call, found: Refinement) -> Tree:
    """Paragraphs, sentences, and the tokens of those that were taken apart."""
    nodes = [(call.text, -1, float(found.paragraphs.mean.sum()), 0.0)]

    def add(tokens: list[int], above: int, of: Estimate, place: int) -> int:
        nodes.append((call.phrase(tokens[0], tokens[-1] + 1), above, float(of.mean[place]), float(of.error[place])))
        return len(nodes) - 1

    count = 0
    for place, paragraph in enumerate(found.text):
        above = add([paragraph[0][0], paragraph[-1][-1]], 0, found.paragraphs, place)
        for sentence in paragraph:
            node = add(sentence, above, found.sentences, count)
            for token in sentence if count in found.refined else ():
                add([token], node, found.tokens, token)
            count += 1
    names, parent, value, error = zip(*nodes, strict=True)
    return Tree(
        title=f"What parts of the text bring to {call.target.name}",
        note="The values of the parts of a part add up to its own.",
        names=list(names),
        quantity=call.target.unit,
        facts={"target": call.target.name, "largest standard error": max(error)},
        arrays={"parent": np.array(parent, np.int32), "value": np.array(value, np.float32)},
    )


@text_attribution(
    "text-shapley",
    title="Shapley values of long texts",
    params=Params,
    example_params=Params(samples=4, refined=1),
    returns=(Tree,),
    cite="Enouen et al. 2023, arXiv:2312.01279; Owen 1977, 'Values of games with a priori unions'; Winter 1989",
    quantity="{} per token",
    cost=Cost(passes=100.0, times="samples"),
    passes=lambda p: 100.0 * p.samples,
)
def text_shapley(call: Call, params: Params) -> Attribution:
    """What paragraphs, sentences and tokens bring, by Owen values: Shapley values among the parts of every part.

    Tokens come one after the other in random orders that leave no sentence and no paragraph unfinished; a part's value is the mean of what
    it adds. One set of orders serves all levels, so the values of a part's parts add up to its own, and all to the target's difference
    between the text and the text with every token off, whatever the number of orders. Only the sentences of the largest value are taken
    apart into tokens. Where there are at most 5,040 orders all are gone through, and the values are exact.

    Formula:
        `phi_u = mean over orders o of f(before u in o, and u) - f(before u in o)`; the standard error is that of the mean over pairs of an
        order and its reverse.

    Known failures:
        Owen values are not the Shapley values of tokens: what acts across sentences is shared by sentences first. Sentences end at . ! ?
        and at the end of a line, whatever they mean. Texts with sentences off are no texts. Tokens that share evenly were not looked at:
        `taken apart` says how many sentences were.

    Raises:
        InvalidInput: the model has no such token to fill with; as of :func:`microtome.methods.text_attribution.target.asked`.
    """
    game = Game(call, fill_of(call.model, params.fill), number(call), "texts")
    ends = game.said(np.array([[True] * call.count, [False] * call.count]))[:, 0]
    found, exact = refine(call, game, params)
    errors = spread(call, torch.from_numpy(found.tokens.error))[0].astype(float).tolist()
    values = torch.from_numpy(found.tokens.mean)
    total = len(found.sentences.mean)

    def more() -> dict[str, Result]:
        return {"parts": tree_of(call, found)}

    return Attribution(
        values, completed(values, float(ends[0] - ends[1])),
        {
            "fill": game.fill.name, "exact": exact, "orders": orders_there_are(found.text) if exact else params.samples,
            "standard errors": errors, "paragraphs": len(found.text), "sentences": total, "taken apart": len(found.refined),
            "texts asked about": len(game.known),
        },
        f"Owen values; off: {game.fill.name}. {len(found.refined)} of {total} sentences are taken apart into tokens.",
        more,
    )  # fmt: skip
