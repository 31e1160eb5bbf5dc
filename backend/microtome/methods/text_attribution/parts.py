"""A text in paragraphs, sentences and tokens, and the orders in which tokens come one after the other without leaving a part unfinished."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import chain, permutations, product
from math import factorial, prod

import numpy as np
import numpy.typing as npt

from microtome.methods.text_attribution.call import Call

Ranks = npt.NDArray[np.int64]
#: Tokens of a sentence, sentences of a paragraph, paragraphs of a text; tokens are numbered among those that are explained.
Sentence = list[int]
Paragraph = list[Sentence]

#: What follows these begins a new paragraph, or a new sentence (a line, as in code and lists, counts as one).
_PARAGRAPH = re.compile(r"\n[^\S\n]*\n\s*")
_SENTENCE = re.compile(r"(?<=[.!?…])\s+|\n\s*")


def _starts(pattern: re.Pattern[str], text: str) -> list[int]:
    return [match.end() for match in pattern.finditer(text)]


def parts_of(call: Call) -> list[Paragraph]:
    """The explained tokens of a text. A token belongs where its first character that is no space does, else where it begins."""
    paragraphs, sentences = _starts(_PARAGRAPH, call.text), _starts(_SENTENCE, call.text)
    found: dict[int, dict[int, Sentence]] = {}
    for number, place in enumerate(call.places.tolist()):
        start, stop = int(call.tokens.starts[place]), int(call.tokens.stops[place])
        letters = len(call.text[start:stop]) - len(call.text[start:stop].lstrip())
        anchor = start + letters if start + letters < stop else start
        found.setdefault(bisect_right(paragraphs, anchor), {}).setdefault(bisect_right(sentences, anchor), []).append(number)
    return [list(sentences.values()) for sentences in found.values()]


def orders_there_are(text: Sequence[Paragraph]) -> int:
    """How many orders leave no part unfinished."""
    return factorial(len(text)) * prod(factorial(len(p)) * prod(factorial(len(s)) for s in p) for p in text)


def every_order(text: Sequence[Paragraph]) -> Iterator[list[int]]:
    """All of them."""

    def of_paragraph(paragraph: Paragraph) -> Iterator[list[int]]:
        for order in permutations(paragraph):
            for inner in product(*(permutations(sentence) for sentence in order)):
                yield list(chain.from_iterable(inner))

    for order in permutations(text):
        for inner in product(*(of_paragraph(paragraph) for paragraph in order)):
            yield list(chain.from_iterable(inner))


def drawn_orders(text: Sequence[Paragraph], count: int, seed: int) -> list[list[int]]:
    """``count`` of them (an even number), each followed by its reverse, which is as likely and errs to the other side."""
    random = np.random.default_rng([seed, 0x0E17])

    def shuffled(items: list) -> list:
        return [items[i] for i in random.permutation(len(items))]

    out = []
    for _ in range(count // 2):
        order = [token for paragraph in shuffled(list(text)) for sentence in shuffled(paragraph) for token in shuffled(sentence)]
        out += [order, order[::-1]]
    return out


def ranks_of(orders: Sequence[list[int]]) -> Ranks:
    """int64 [orders, tokens]: the place of every token in every order."""
    return np.argsort(np.array(orders), axis=1)
