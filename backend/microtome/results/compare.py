"""How far one computation of a result lies from another: what a check stores in place of the result itself."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from microtome.core.errors import InvalidInput
from microtome.results.base import Result
from microtome.results.kinds import Scorecard
from microtome.results.measured import Reference, measure_in

#: Texts and numbers of documents that are named when they differ.
NAMED = 12


def compared(then: Mapping[str, Result], now: Mapping[str, Result], references: Sequence[Mapping[str, Any]] = ()) -> dict[str, Result]:
    """The comparison as results of its own.

    ``differences`` (Scorecard): for each array ``item.array`` the relative difference ||now - then|| / ||then|| (Euclidean; of integers
    and flags the share of entries that are not equal), no value where shapes or missing entries differ; ``identical`` says whether all
    arrays are equal bit for bit and all documents too, but for facts about the computing (bytes, seconds). A document that differs has
    a number of its own: of a scorecard the largest difference of a score relative to the score, or to half of its interval or chance
    band where that is larger; of others the largest of a field of numbers. Texts that differ are named only. ``numbers`` (Scorecard):
    what each reference, by its place, measures now.

    Args:
        then: what is stored. now: what was computed again.
        references: see :class:`microtome.results.measured.Reference`.
    """
    scores, identical = [], then.keys() == now.keys()
    for item in then.keys() & now.keys():
        for name, before in then[item].arrays.items():
            after = now[item].arrays.get(name)
            same = after is not None and after.dtype == before.dtype and np.array_equal(_bits(before), _bits(after))
            identical &= same
            value = 0.0 if same else _distance(np.asarray(before), after)
            scores.append(Scorecard.Score(name=f"{item}.{name}", value=value, unit="relative difference"))
    both = sorted(then.keys() & now.keys())
    changed = []
    for item in both:
        paths = [f"{item}{path}" for path in _changes(then[item].model_dump(mode="json"), now[item].model_dump(mode="json"))]
        changed += paths
        if any(".facts." not in path for path in paths):
            scores.append(Scorecard.Score(name=item, value=_apart(then[item], now[item]), unit="relative difference"))
    changed += [f"{item} is missing in one of them" for item in sorted(then.keys() ^ now.keys())]
    worst = max((s.value for s in scores if s.value is not None), default=0.0)
    alike = identical and all(".facts." in path for path in changed)
    facts: dict[str, Any] = {
        "identical": alike, "largest": worst, "not comparable": sum(s.value is None for s in scores),
        "documents differ at": "; ".join(changed[:NAMED]) + (f" and {len(changed) - NAMED} more" if len(changed) > NAMED else ""),
    }  # fmt: skip
    scores.sort(key=lambda s: s.name)
    return {
        "differences": Scorecard(title="Computed again, beside what is stored", scores=scores, facts=facts),
        "numbers": Scorecard(
            title="Numbers of the evidence, computed again", scores=[_number(now, i, r) for i, r in enumerate(references)]
        ),
    }


def _number(results: Mapping[str, Result], place: int, reference: Mapping[str, Any]) -> Scorecard.Score:
    try:
        found = measure_in(results, Reference.model_validate(reference))
    except InvalidInput:  # it has become a number that could not be computed
        return Scorecard.Score(name=str(place), value=None)
    return Scorecard.Score(
        name=str(place), value=found.value, unit=found.unit, low=found.low, high=found.high, chance=found.chance,
        chance_low=found.chance_low, chance_high=found.chance_high, draws=found.draws,
    )  # fmt: skip


def _bits(array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    return np.ascontiguousarray(array).view(np.uint8) if array.size else np.zeros(0, np.uint8)


def _distance(before: npt.NDArray[Any], after: npt.NDArray[Any] | None) -> float | None:
    """None where the two have no common measure."""
    if after is None or before.shape != after.shape:
        return None
    if not np.issubdtype(before.dtype, np.floating):
        return float(np.mean(before != after)) if before.size else 0.0
    a, b = before.astype(np.float64).ravel(), np.asarray(after, np.float64).ravel()
    known = np.isfinite(a)
    if (known != np.isfinite(b)).any():
        return None
    if not np.array_equal(a[~known], b[~known], equal_nan=True):
        return None
    return _relative(a[known], b[known])


def _relative(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float | None:
    """||b - a|| / ||a||; None if a is all zero and b is not."""
    largest = float(max(np.abs(a).max(initial=0.0), np.abs(b).max(initial=0.0)))
    if largest > 0:  # squares of very large numbers would not be finite
        a, b = a / largest, b / largest
    size, apart = float(np.linalg.norm(a)), float(np.linalg.norm(b - a))
    return 0.0 if apart == 0 else apart / size if size > 0 else None


def _apart(then: Result, now: Result) -> float | None:
    """How far two documents lie apart; None where they have no common measure."""
    if isinstance(then, Scorecard) and isinstance(now, Scorecard):
        found = [_scores_apart(one, other) for one, other in zip(then.scores, now.scores, strict=False)]
        return None if len(then.scores) != len(now.scores) or None in found else max((x for x in found if x is not None), default=0.0)
    before, after = _fields(then.model_dump(mode="json")), _fields(now.model_dump(mode="json"))
    if before.keys() != after.keys():
        return None
    worst = 0.0
    for name, values in before.items():
        others = after[name]
        if len(values) != len(others) or [v is None for v in values] != [v is None for v in others]:
            return None
        if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in (*values, *others) if v is not None):
            continue  # a text; the numbers behind it are compared
        value = _relative(*(np.array([v for v in side if v is not None], np.float64) for side in (values, others)))
        if value is None:
            return None
        worst = max(worst, value)
    return worst


def _scores_apart(then: Scorecard.Score, now: Scorecard.Score) -> float | None:
    """Of one score; the scale is that of a check of evidence, see ``collab/findings/verify.py``."""
    if (then.name, then.group, then.unit) != (now.name, now.group, now.unit):
        return None
    names = ("value", "low", "high", "chance", "chance_low", "chance_high")
    pairs = [(getattr(then, name), getattr(now, name)) for name in names]
    if any((one is None) != (other is None) for one, other in pairs):
        return None
    known = [(one, other) for one, other in pairs if one is not None]
    apart = max((abs(other - one) for one, other in known), default=0.0)
    ends = ((then.low, then.high), (then.chance_low, then.chance_high))
    scale = max(abs(then.value or 0.0), *((high - low) / 2 if low is not None and high is not None else 0.0 for low, high in ends))
    return 0.0 if apart == 0 else apart / scale if scale > 0 else None


def _fields(document: Any, name: str = "") -> dict[str, list[Any]]:
    """Values of a document by field; those of all entries of a list are one field."""
    found: dict[str, list[Any]] = {}
    entries = document.items() if isinstance(document, dict) else [("", v) for v in document] if isinstance(document, list) else None
    if entries is None:
        return {name: [document]}
    for key, value in entries:
        for inner, values in _fields(value, f"{name}.{key}").items():
            found.setdefault(inner, []).extend(values)
    return found


def _changes(before: Any, after: Any, path: str = "") -> Iterator[str]:
    """Paths at which two documents differ; floats that are not the same number count, whatever little they differ by."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in sorted(before.keys() | after.keys()):
            yield from _changes(before.get(name), after.get(name), f"{path}.{name}")
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for place, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from _changes(one, other, f"{path}[{place}]")
    elif before != after and not (isinstance(before, float) and isinstance(after, float) and math.isnan(before) and math.isnan(after)):
        yield path
