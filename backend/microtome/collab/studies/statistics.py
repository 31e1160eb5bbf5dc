"""From answers to what a study says: accuracy by condition and differences between conditions, with intervals over participants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

DRAWS = 2000
LEAST = 2  # participants, below which an interval says nothing


@dataclass(frozen=True, slots=True)
class Given:
    """One answer to a task that counts."""

    participant: int
    condition: int
    correct: bool
    milliseconds: int | None
    confidence: int | None


def summary(names: Sequence[str], answers: Sequence[Given], chance: float) -> dict[str, Any]:
    """
    Accuracy of a condition is the mean over participants of each one's share of right answers; its interval and that of a difference
    are the central 95 % of ``DRAWS`` bootstrap means over participants, who are drawn whole. A difference is the mean of each
    participant's own difference, over those who have answers under both conditions. Times are medians over participants of each one's
    median; a participant without a time is left out of them.
    """
    people = sorted({a.participant for a in answers})
    place = {p: i for i, p in enumerate(people)}
    shares = np.full((len(names), len(people)), np.nan)
    conditions = []
    for number, name in enumerate(names):
        own = [a for a in answers if a.condition == number]
        by_person: dict[int, list[Given]] = {}
        for answer in own:
            by_person.setdefault(answer.participant, []).append(answer)
        for person, given in by_person.items():
            shares[number, place[person]] = np.mean([a.correct for a in given])
        known = shares[number][~np.isnan(shares[number])]
        low, high = interval(known)
        conditions.append({
            "name": name, "answers": len(own), "correct": sum(a.correct for a in own), "participants": len(known),
            "accuracy": float(known.mean()) if len(known) else None, "low": low, "high": high, "chance": chance,
            "median_ms": _median_of_medians(by_person, "milliseconds"), "confidence": _mean(own, "confidence"),
        })  # fmt: skip
    differences = []
    for first in range(len(names)):
        for second in range(first + 1, len(names)):
            pairs = shares[first] - shares[second]
            pairs = pairs[~np.isnan(pairs)]
            low, high = interval(pairs)
            mean = float(pairs.mean()) if len(pairs) else None
            differences.append(
                {"first": names[first], "second": names[second], "difference": mean, "low": low, "high": high, "participants": len(pairs)}
            )
    return {"conditions": conditions, "differences": differences, "draws": DRAWS}


def interval(values: npt.NDArray[np.float64]) -> tuple[float, float] | tuple[None, None]:
    """The 95 % interval of the mean by bootstrap, always with the same draws; none for fewer than ``LEAST`` values."""
    if len(values) < LEAST:
        return None, None
    drawn = np.random.default_rng(0).integers(0, len(values), (DRAWS, len(values)))
    low, high = np.quantile(values[drawn].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


def _median_of_medians(by_person: Mapping[int, Sequence[Given]], name: str) -> float | None:
    medians = [
        float(np.median(known)) for given in by_person.values() if (known := [v for a in given if (v := getattr(a, name)) is not None])
    ]
    return float(np.median(medians)) if medians else None


def _mean(answers: Sequence[Given], name: str) -> float | None:
    known = [value for a in answers if (value := getattr(a, name)) is not None]
    return float(np.mean(known)) if known else None
