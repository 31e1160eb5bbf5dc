"""Drawn tokens with all that they are, and what every unit follows of it: chosen on one half of the texts, told of the other."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from microtome.core.context import RunContext
from microtome.core.errors import InvalidInput
from microtome.methods.concepts.labelled import Labelled
from microtome.methods.concepts.measures import average_precision, average_precisions
from microtome.methods.recurrent.following import by_token, correlations, places_of
from microtome.methods.recurrent.reading import Flags, Floats, Ints, concepts_of, read_texts
from microtome.models.text import TextModel
from microtome.probes import TextSet

Against = Literal["token", "lot"]
#: A base so close to 1 leaves nothing to tell.
_FULL = 0.999


class Rows(NamedTuple):
    """Tokens.

    Attributes:
        at: text, site and half of each. has: bool [n, concepts]. places: float64 [n, places].
        token: float64 [2, concepts], average precision of the token by itself, on the half to choose on and on the other; its rates
            are those of the first half both times. lot: the same by lot: the share with the concept.
        names: of the concepts. against: which of the two is the base.
    """

    at: Labelled
    has: Flags
    places: Floats
    token: Floats
    lot: Floats
    names: list[str]
    against: Against

    @property
    def base(self) -> Floats:
        """float64 [2, concepts]: what a unit must tell more than, by half."""
        return np.maximum(self.lot, self.token) if self.against == "token" else self.lot


class Followed(NamedTuple):
    """Of every unit: its concept by place in the names (-1 for none) and direction, chosen on one half; the rest of the other half.

    Attributes:
        chosen, gain_chosen: average precision and gain on the half to choose on; NaN and -inf where there is no concept.
        token, prevalence, base: average precision of the token by itself, by lot, and the one that the gain is over.
        r: float64 [places, units], correlation with each place. r_chosen: the same on the half to choose on.
    """

    concept: Ints
    rises: Flags
    chosen: Floats
    gain_chosen: Floats
    ap: Floats
    token: Floats
    prevalence: Floats
    base: Floats
    gain: Floats
    r: Floats
    r_chosen: Floats


def rows_of(model: TextModel, probe: TextSet, texts: int, tokens: int, against: Against, seed: int) -> Rows:
    """At most ``tokens`` tokens of the first texts, drawn evenly; half of the texts to report on.

    Raises:
        InvalidInput: fewer than two texts (``probe``).
    """
    encoded = read_texts(model, probe, texts)
    if len(encoded) < 2:
        raise InvalidInput("Cells are chosen on half of the texts and reported on the other; at least two texts are needed.", field="probe")
    lengths = [t.last - t.first for t in encoded.values()]
    text = np.repeat(np.array(list(encoded), np.int64), lengths)
    site = np.concatenate([np.arange(n) for n in lengths])
    ids = np.concatenate([t.ids[t.first : t.last] for t in encoded.values()])
    has = np.concatenate([concepts_of(probe, i, t) for i, t in encoded.items()])
    places = np.concatenate([places_of(probe.text(i))[t.starts[t.first : t.last]] for i, t in encoded.items()])
    generator = np.random.default_rng(seed)
    if len(text) > tokens:
        drawn = np.sort(generator.choice(len(text), tokens, replace=False))
        text, site, ids, has, places = text[drawn], site[drawn], ids[drawn], has[drawn], places[drawn]
    order = generator.permutation(np.unique(text))
    held = np.isin(text, order[len(order) // 2 :])
    at = Labelled("", np.zeros(len(text), bool), text, site, held, min(texts, len(probe)))
    token, lot = np.zeros((2, has.shape[1])), np.zeros((2, has.shape[1]))
    for row, half in enumerate((~held, held)):
        rates = by_token(ids[~held], has[~held], ids[half])
        token[row] = [average_precision(has[half, c], rates[:, [c]])[0] for c in range(has.shape[1])]
        lot[row] = has[half].mean(0)
    return Rows(at, has, places, token, lot, [c.key for c in probe.concepts], against)


def follow(rows: Rows, values: npt.NDArray[np.float32], fewest: int, run: RunContext) -> Followed:
    """What every unit of ``values`` [n, units] follows, of the concepts that ``fewest`` tokens have, and have not, in each half."""
    held = rows.at.held
    first, other = values[~held], values[held]
    units = values.shape[1]
    enough = np.minimum.reduce([f(rows.has[half]) for half in (held, ~held) for f in (_count, _count_without)])
    asked = np.flatnonzero((enough >= fewest) & (rows.base[0] < _FULL))
    concept, best = np.full(units, -1), np.full(units, -np.inf)
    rises, chosen = np.zeros(units, bool), np.full(units, np.nan)
    for direction in (1, -1):
        run.check()
        for c, ap in zip(asked, average_precisions(rows.has[~held][:, asked].T, direction * first), strict=True):
            gain = (ap - rows.base[0, c]) / (1 - rows.base[0, c])
            better = gain > best
            concept[better], rises[better] = c, direction == 1
            best[better], chosen[better] = gain[better], ap[better]
    ap = np.full(units, np.nan)
    for c in np.unique(concept[concept >= 0]):
        own = np.flatnonzero(concept == c)
        ap[own] = average_precision(rows.has[held, c], other[:, own] * np.where(rises[own], 1, -1))

    def told(of: Floats) -> Floats:
        return np.append(of[1], np.nan)[concept]

    base = told(rows.base)
    with np.errstate(invalid="ignore", divide="ignore"):
        gain = np.where(base < _FULL, (ap - base) / (1 - base), np.nan)
    r, r_chosen = correlations(rows.places[held], other), correlations(rows.places[~held], first)
    return Followed(concept, rises, chosen, best, ap, told(rows.token), told(rows.lot), base, gain, r, r_chosen)


def _count(has: Flags) -> Ints:
    return np.asarray(has.sum(0), np.int64)


def _count_without(has: Flags) -> Ints:
    return np.asarray((~has).sum(0), np.int64)
