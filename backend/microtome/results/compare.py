"""How far one computation of a result lies from another: what a check stores in place of the result itself."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from microtome.core.errors import InvalidInput
from microtome.results.kinds import Result, Scorecard
from microtome.results.measured import Reference, measure_in

#: Texts and numbers of documents that are named when they differ.
NAMED = 12


def compared(then: Mapping[str, Result], now: Mapping[str, Result], references: Sequence[Mapping[str, Any]] = ()) -> dict[str, Result]:
    """The comparison as results of its own.

    ``differences`` (Scorecard): for each array ``item.array`` the relative difference ||now - then|| / ||then|| (Euclidean; of integers
    and flags the share of entries that are not equal), no value where shapes or missing entries differ; ``identical`` says whether all
    arrays are equal bit for bit and all documents too, but for facts about the computing (bytes, seconds). ``numbers`` (Scorecard): what
    each reference, by its place, measures now.

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
    changed = [f"{item}{path}" for item in both for path in _changes(then[item].model_dump(mode="json"), now[item].model_dump(mode="json"))]
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
    size, apart = float(np.linalg.norm(a[known])), float(np.linalg.norm(a[known] - b[known]))
    return 0.0 if apart == 0 else apart / size if size > 0 else None


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
