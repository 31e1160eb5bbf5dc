"""How well activations tell what has a concept from what has it not: average precision, F1, linear probes, intervals over texts."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

RESAMPLES = 1000
_NEWTON, _INNER = 50, 200
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


def average_precision(has: Flags, values: npt.NDArray) -> Floats:
    """``AP = sum over thresholds of (R_k - R_(k-1)) P_k`` of rows with large values first, float64 [units] of ``values`` [n, units].

    Rows of equal value are taken in together, so that their order says nothing. A ranking by lot has the share of ``has``.
    """
    return average_precisions(has[None], values)[0]


def average_precisions(has: Flags, values: npt.NDArray) -> Floats:
    """Of several concepts, float64 [concepts, units] of ``has`` [concepts, n]; NaN of one that nothing has. Rows are put in order once."""
    order = np.argsort(-values, axis=0, kind="stable")
    ends = np.empty(values.shape, np.int64)
    np.put_along_axis(ends, order, _ends(np.take_along_axis(values, order, axis=0)), axis=0)
    found = np.full((len(has), values.shape[1]), np.nan)
    for concept, mask in enumerate(has):
        if mask.any():
            # Of each row with the concept: how many rows, and how many with the concept, are taken in once it is.
            taken = np.sort(ends[mask], axis=0)
            found[concept] = ((_ends(taken) + 1) / (taken + 1)).mean(0)
    return found


def _ends(ordered: npt.NDArray) -> npt.NDArray[np.int64]:
    """Place of the last of those that equal each entry, along the first axis, along which equal ones stand together."""
    count = len(ordered)
    last = np.ones(ordered.shape, bool)
    last[:-1] = ordered[:-1] != ordered[1:]
    ends = np.where(last, np.arange(count)[:, None], count)
    return np.minimum.accumulate(ends[::-1], axis=0)[::-1]


def f1(has: Flags, said: Flags) -> float:
    """``2 TP / (2 TP + FP + FN)``."""
    return float(2 * (has & said).sum() / max(int(has.sum() + said.sum()), 1))


def best_threshold(has: Flags, scores: Floats) -> float:
    """The threshold above which F1 is largest; between two scores, below the lowest if all are to be taken."""
    order = np.argsort(-scores, kind="stable")
    ranked, good = scores[order], has[order].cumsum()
    value = 2 * good / (np.arange(1, len(has) + 1) + has.sum())
    value[:-1][ranked[:-1] == ranked[1:]] = -1.0  # a threshold cannot lie between equal scores
    at = int(value.argmax())
    return float((ranked[at] + ranked[at + 1]) / 2 if at + 1 < len(ranked) else ranked[at] - 1.0)


class Probe(NamedTuple):
    """A logistic regression: ``scores = (x - mean) / scale @ weights + bias``, above 0 for the concept."""

    mean: Floats
    scale: Floats
    weights: Floats
    bias: float

    def scores(self, values: npt.NDArray) -> Floats:
        return np.asarray((values - self.mean) / self.scale @ self.weights + self.bias)


def fit_probe(values: npt.NDArray, has: Flags, penalty: float = 1.0) -> Probe:
    """Logistic regression of ``has`` on standardised values [n, d], in double precision.

    Minimises ``sum of losses + penalty / 2 |w|^2`` with the bias free, by Newton's method, whose steps conjugate gradients find: no
    matrix of d x d is made. A coordinate that never varies gets weight 0.
    """
    mean, scale = values.mean(0, dtype=np.float64), values.std(0, dtype=np.float64)
    scale = np.where(scale > 1e-12, scale, np.inf)
    x = np.concatenate([(values - mean) / scale, np.ones((len(values), 1))], axis=1)
    ridge = np.append(np.full(x.shape[1] - 1, penalty), 0.0)
    weights = np.zeros(x.shape[1])
    sign = np.where(has, 1.0, -1.0)

    def loss(at: Floats) -> float:
        return float(np.logaddexp(0, -sign * (x @ at)).sum() + (ridge * at * at).sum() / 2)

    for _ in range(_NEWTON):
        chance = 0.5 * (1 + np.tanh(x @ weights / 2))
        gradient = x.T @ (chance - has) + ridge * weights
        if np.abs(gradient).max() < 1e-7 * len(x):
            break
        curvature = chance * (1 - chance)
        step = _conjugate_gradients(lambda v, c=curvature: x.T @ (c * (x @ v)) + ridge * v + 1e-12 * v, -gradient)  # type: ignore[misc]
        length, before, slope = 1.0, loss(weights), float(gradient @ step)
        while loss(weights + length * step) > before + 1e-4 * length * slope and length > 1e-8:
            length /= 2
        weights = weights + length * step
    return Probe(mean, scale, weights[:-1], float(weights[-1]))


def _conjugate_gradients(times: Callable[[Floats], Floats], wanted: Floats) -> Floats:
    """x with ``times(x) = wanted``, for a positive definite map; to a millionth, or as far as _INNER steps come."""
    found, left = np.zeros_like(wanted), wanted.copy()
    direction, size = left.copy(), float(left @ left)
    enough = 1e-12 * size
    for _ in range(_INNER):
        image = times(direction)
        step = size / float(direction @ image)
        found, left = found + step * direction, left - step * image
        before, size = size, float(left @ left)
        if size <= enough:
            break
        direction = left + size / before * direction
    return found


def mutual_information(has: Flags, values: npt.NDArray, bins: int = 10) -> Floats:
    """Nats that a unit's activation, cut at the deciles, tells of the concept; float64 [units] of ``values`` [n, units]."""
    cuts = np.quantile(values, np.arange(1, bins) / bins, axis=0)
    share = has.mean()
    found = np.zeros(values.shape[1])
    for unit in range(values.shape[1]):
        cell = np.searchsorted(cuts[:, unit], values[:, unit])
        both = np.stack([np.bincount(cell[flag], minlength=bins) for flag in (~has, has)]) / len(has)
        product = both.sum(0) * np.array([[1 - share], [share]])
        found[unit] = np.where(both > 0, both * np.log(np.where(both > 0, both, 1) / np.where(product > 0, product, 1)), 0).sum()
    return found


class Interval(NamedTuple):
    low: float
    high: float


def over_texts(text: npt.NDArray, *parts: npt.NDArray, seed: int) -> list[Floats]:
    """Sums of every part over the rows of resampled texts, float64 [resamples] each: rows of one text are not independent."""
    _, group = np.unique(text, return_inverse=True)
    count = int(group.max()) + 1
    picks = np.random.default_rng(seed).integers(0, count, (RESAMPLES, count))
    return [np.bincount(group, part.astype(np.float64), count)[picks].sum(1) for part in parts]


def interval(values: Floats) -> Interval:
    """Central 95 %; values that are not defined are left out."""
    low, high = np.nanquantile(values, [0.025, 0.975])
    return Interval(float(low), float(high))


def f1_interval(has: Flags, said: Flags, text: npt.NDArray, seed: int) -> Interval:
    """95 % bootstrap over texts."""
    right, had, claimed = over_texts(text, has & said, has, said, seed=seed)
    return interval(2 * right / np.maximum(had + claimed, 1))
