"""How closely units follow tokens with a concept, and places in a text."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from microtome.methods.recurrent.reading import Flags, Floats, Ints

#: Places of a token, in order of the columns that :func:`places_of` gives.
PLACES = ("place in the line", "bracket depth", "place in the text")
_OPENING, _CLOSING = "([{", ")]}"


def places_of(text: str) -> Floats:
    """float64 [characters + 1, 3]: characters before each in its line, brackets open before it, characters before it."""
    found = np.zeros((len(text) + 1, len(PLACES)))
    line = depth = 0
    for i, c in enumerate(text):
        found[i] = line, depth, i
        line = 0 if c == "\n" else line + 1
        depth = depth + 1 if c in _OPENING else max(0, depth - 1) if c in _CLOSING else depth
    found[len(text)] = line, depth, len(text)
    return found


def by_token(ids: Ints, has: Flags, asked: Ints) -> Floats:
    """float64 [asked tokens, concepts]: how often each token had a concept where it was counted, ``(hits + p) / (times + 1)``.

    What can be told from the token alone. Of a token that was never seen it is ``p``, the share of all tokens.

    Args:
        ids: int64 [n], and has: bool [n, concepts], of the tokens to count.
    """
    size = int(max(ids.max(initial=0), asked.max(initial=0))) + 1
    hits = np.zeros((size, has.shape[1]))
    np.add.at(hits, ids, has)
    rates = (hits + has.mean(0)) / (np.bincount(ids, minlength=size)[:, None] + 1)
    return np.asarray(rates[asked], np.float64)


def correlations(places: Floats, values: npt.NDArray) -> Floats:
    """Pearson, float64 [places, units]; NaN for what never varies."""

    def standard(x: npt.NDArray) -> Floats:
        x = np.asarray(x, np.float64) - x.mean(0, dtype=np.float64)
        size = np.sqrt((x * x).sum(0))
        return np.asarray(x / np.where(size > 1e-12, size, np.nan))

    return standard(places).T @ standard(values)
