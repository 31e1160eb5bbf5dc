"""Which features are on: the coalitions of KernelSHAP, and their weights."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np

from microtome.core.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Coalitions:
    """Attributes:
    present: bool [n, features], none empty and none full.
    weights: float64 [n], adding up to 1: the Shapley kernel over sizes.
    enumerated: sizes all of whose coalitions are there, from either end: 2 means sizes 1, 2, n - 2 and n - 1.
    exact: whether every coalition is there, so that the answer has no error of sampling.
    """

    present: np.ndarray
    weights: np.ndarray
    enumerated: int
    exact: bool


def coalitions(features: int, samples: int, seed: int) -> Coalitions:
    """At most ``samples`` coalitions, each with its complement; whole sizes from the ends inward while they fit, then draws.

    The draws take sizes by the weight that is left and, within a size, any coalition alike; draws that coincide add their weights.

    Raises:
        InvalidInput: too few samples for the single features and their complements, without which the answer is not determined.
    """
    if samples < 2 * features and samples < 2**features - 2:
        raise InvalidInput(
            f"{samples} samples are too few for {features} features: at least {2 * features} are needed.", field="params.samples"
        )
    ends = range(1, features // 2 + 1)
    # Both ends of a size together; the middle size of an even number is its own other end.
    kernel = np.array([(features - 1) / (s * (features - s)) * (1 if 2 * s == features else 2) for s in ends])
    kernel /= kernel.sum()
    kept: list[np.ndarray] = []
    weights: list[np.ndarray] = []
    left, enumerated = samples, 0
    for size, weight in zip(ends, kernel, strict=True):
        middle = 2 * size == features
        count = comb(features, size) * (1 if middle else 2)
        if count > left:
            break
        rows = np.zeros((comb(features, size), features), bool)
        for row, members in enumerate(combinations(range(features), size)):
            rows[row, list(members)] = True
        rows = rows if middle else np.concatenate([rows, ~rows])
        kept.append(rows)
        weights.append(np.full(len(rows), weight / len(rows)))
        left, enumerated = left - count, size
    rest = kernel[enumerated:]
    if len(rest) and left >= 2:
        drawn = _drawn(features, left // 2, np.arange(enumerated + 1, len(kernel) + 1), rest / rest.sum(), seed)
        unique, times = np.unique(np.concatenate([drawn, ~drawn]), axis=0, return_counts=True)
        kept.append(unique)
        weights.append(times / times.sum() * rest.sum())
    all_weights = np.concatenate(weights)
    return Coalitions(np.concatenate(kept), all_weights / all_weights.sum(), enumerated, not len(rest))


def _drawn(features: int, pairs: int, sizes: np.ndarray, chances: np.ndarray, seed: int) -> np.ndarray:
    """bool [pairs, features]: random members, of random sizes."""
    generator = np.random.default_rng(seed)
    wanted = generator.choice(sizes, pairs, p=chances)
    order = generator.random((pairs, features)).argsort(1).argsort(1)
    return order < wanted[:, None]


def shapley(present: np.ndarray, weights: np.ndarray, gains: np.ndarray, total: np.ndarray) -> np.ndarray:
    """[targets, features]: least squares of ``gains`` [n, targets] in the features present, adding up to ``total`` [targets].

    The constraint is put into the solution (a Lagrange multiplier), so the values add up to the last digits.
    """
    wide = present.astype(np.float64)
    matrix = wide.T @ (wide * weights[:, None])
    free = np.linalg.solve(matrix, wide.T @ (gains * weights[:, None]))
    direction = np.linalg.solve(matrix, np.ones(len(matrix)))
    values: np.ndarray = (free - np.outer(direction, (free.sum(0) - total) / direction.sum())).T
    return values
