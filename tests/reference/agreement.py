"""Agreement coefficients straight from their formulas, slowly: loops over pairs, coincidence matrices, no closed forms.

Answers are one list per unit of (rater, value).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

Units = Sequence[Sequence[tuple[str, Any]]]


def percent(units: Units) -> float | None:
    shares = []
    for answers in units:
        pairs = [(a, b) for i, (_, a) in enumerate(answers) for _, b in answers[i + 1 :]]
        if pairs:
            shares.append(sum(a == b for a, b in pairs) / len(pairs))
    return sum(shares) / len(shares) if shares else None


def alpha(units: Units, metric: str) -> float | None:
    """Krippendorff 2011, section C: coincidences o_ck, marginals n_c, alpha = 1 - (n - 1) sum o d2 / sum n_c n_k d2."""
    coincidences: dict[tuple[Any, Any], float] = defaultdict(float)
    for answers in units:
        size = len(answers)
        if size < 2:
            continue
        for i, (_, a) in enumerate(answers):
            for j, (_, b) in enumerate(answers):
                if i != j:
                    coincidences[a, b] += 1 / (size - 1)
    values = sorted({a for a, _ in coincidences}, key=lambda v: (str(type(v)), v))
    marginal = {c: sum(coincidences[c, k] for k in values) for c in values}
    total = sum(marginal.values())

    def distance(c: Any, k: Any) -> float:
        if metric == "nominal":
            return float(c != k)
        if metric == "interval":
            return float((c - k) ** 2)
        low, high = sorted((values.index(c), values.index(k)))
        between = sum(marginal[v] for v in values[low : high + 1])
        return (between - (marginal[c] + marginal[k]) / 2) ** 2

    observed = sum(coincidences[c, k] * distance(c, k) for c in values for k in values)
    expected = sum(marginal[c] * marginal[k] * distance(c, k) for c in values for k in values)
    return None if expected == 0 else 1 - (total - 1) * observed / expected


def fleiss(units: Units) -> float | None:
    """Fleiss 1971; every unit has the same number of answers."""
    size = len(units[0])
    values = {v for answers in units for _, v in answers}
    counts = [{v: sum(x == v for _, x in answers) for v in values} for answers in units]
    agreeing = [sum(n * (n - 1) for n in row.values()) / (size * (size - 1)) for row in counts]
    shares = {v: sum(row[v] for row in counts) / (len(units) * size) for v in values}
    expected = sum(p * p for p in shares.values())
    return None if abs(1 - expected) < 1e-12 else (sum(agreeing) / len(units) - expected) / (1 - expected)


def cohen(first: Sequence[Any], second: Sequence[Any], *, quadratic: bool = False) -> float | None:
    """Cohen 1960; with quadratic weights Cohen 1968."""
    count = len(first)
    disagreement = sum((a - b) ** 2 if quadratic else float(a != b) for a, b in zip(first, second, strict=True)) / count
    chance = sum((a - b) ** 2 if quadratic else float(a != b) for a in first for b in second) / count**2
    return None if chance == 0 else 1 - disagreement / chance
