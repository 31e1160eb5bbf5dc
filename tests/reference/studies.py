"""Statistics of a study, slowly and obviously: loops over lists, no arrays; and the exact bootstrap, by all resamples."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from typing import Any


def quantile(values: Sequence[float], share: float) -> float:
    """Linear between the neighbours, as most programs have it."""
    ordered = sorted(values)
    at = share * (len(ordered) - 1)
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


def resampled_interval(values: Sequence[float], drawn: Sequence[Sequence[int]]) -> tuple[float, float]:
    """The interval from these draws."""
    means = [sum(values[i] for i in draw) / len(draw) for draw in drawn]
    return quantile(means, 0.025), quantile(means, 0.975)


def exact_means(values: Sequence[float]) -> list[float]:
    """Means of all resamples, each as likely as every other."""
    return [sum(pick) / len(pick) for pick in itertools.product(values, repeat=len(values))]


def accuracies(answers: Sequence[dict[str, Any]], condition: int) -> dict[int, float]:
    """Share of right answers of each participant under a condition."""
    out = {}
    for person in sorted({a["participant"] for a in answers}):
        own = [a["correct"] for a in answers if a["participant"] == person and a["condition"] == condition]
        if own:
            out[person] = sum(own) / len(own)
    return out


def difference(answers: Sequence[dict[str, Any]], first: int, second: int) -> list[float]:
    """Each participant's own difference, where there is one."""
    one, other = accuracies(answers, first), accuracies(answers, second)
    return [one[p] - other[p] for p in sorted(one) if p in other]


def median_time(answers: Sequence[dict[str, Any]], condition: int) -> float | None:
    """Median over participants of each one's median."""
    medians = []
    for person in sorted({a["participant"] for a in answers}):
        own = [
            a["milliseconds"]
            for a in answers
            if a["participant"] == person and a["condition"] == condition and a["milliseconds"] is not None
        ]
        if own:
            medians.append(statistics.median(own))
    return statistics.median(medians) if medians else None
