"""What follows from the numbers. Nothing here is kept: an outcome is computed from the results each time it is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from sqlalchemy import Connection, Row, select

from microtome.core.errors import InvalidInput, MicrotomeError
from microtome.results.measured import Measured, Reference, measure
from microtome.store import tables as t
from microtome.store.results import ResultRepository
from microtome.store.runs import OPEN

Comparison = Literal["above", "below"]
Verdict = Literal["passes", "fails", "straddles"]
State = Literal["draft", "waiting", "supported", "refuted", "inconclusive", "failed"]


@dataclass(frozen=True, slots=True)
class Side:
    """How the test or its control stands: the run, and the number once it is there, or what keeps it from being there."""

    run: str | None = None
    run_state: str | None = None
    progress: Mapping[str, Any] | None = None
    key: str | None = None
    measured: Measured | None = None
    verdict: Verdict | None = None
    problem: str | None = None

    def shape(self) -> dict[str, Any]:
        names = ("run", "run_state", "progress", "key", "verdict", "problem")
        return {name: getattr(self, name) for name in names} | {"measured": asdict(self.measured) if self.measured else None}


def judge(measured: Measured, comparison: Comparison, threshold: float, interval: bool) -> Verdict:
    """Whether the number lies on the predicted side of the threshold; with ``interval``, whether all of its 95 % interval does.

    Raises:
        InvalidInput: the interval is asked for, and the number has none.
    """
    low, high = measured.value, measured.value
    if interval:
        if measured.low is None or measured.high is None:
            raise InvalidInput(f"'{measured.title}' has no 95 % interval, and the card asks for it. Make one that judges the value alone.")
        low, high = measured.low, measured.high
    if comparison == "below":
        low, high, threshold = -high, -low, -threshold
    if low > threshold:
        return "passes"
    # without an interval a value at the threshold fails; with one, an interval that holds the threshold decides nothing
    return "fails" if high < threshold or not interval else "straddles"


def conclude(test: Side, control: Side) -> tuple[State, str]:
    """The outcome and a sentence that says why."""
    for name, side in (("test", test), ("control", control)):
        if side.problem is not None:
            return "failed", f"The {name} gave no number: {side.problem}"
    if test.verdict is None or control.verdict is None:
        return "waiting", "The runs have not ended yet."
    if test.verdict == "straddles":
        return "inconclusive", "The 95 % interval of the test holds the threshold, so the number could lie on either side."
    if test.verdict == "fails":
        return "refuted", "The test does not pass: its number is not on the predicted side of the threshold."
    if control.verdict == "passes":
        return "inconclusive", "The control passes too, so what was predicted is not special to the test."
    if control.verdict == "straddles":
        return "inconclusive", "The test passes, but the 95 % interval of the control holds the threshold: it may pass as well."
    return "supported", "The test passes and the control does not."


class Sides:
    """Reads how tests and controls of cards stand, in few queries for all of them."""

    def __init__(self, results: ResultRepository) -> None:
        self.results = results

    def of(self, connection: Connection, rows: Sequence[Row[Any]]) -> dict[str, tuple[Side, Side]]:
        """By id of the card; cards that are not started are left out."""
        started = [row for row in rows if row.start is not None]
        ids = {row.start[name] for row in started for name in ("test_run", "control_run")}
        runs = {run.id: run for run in connection.execute(select(t.run).where(t.run.c.id.in_(ids)))}
        parts: dict[str, list[tuple[str, str]]] = {}
        query = select(t.run_part).where(t.run_part.c.run_id.in_(ids)).order_by(t.run_part.c.position)
        for part in connection.execute(query):
            parts.setdefault(part.run_id, []).append((part.part, part.key))
        return {
            row.id: (
                self._side(connection, row, runs.get(row.start["test_run"]), parts, row.reference),
                self._side(connection, row, runs.get(row.start["control_run"]), parts, row.control.get("reference") or row.reference),
            )
            for row in started
        }

    def _side(
        self, connection: Connection, row: Row[Any], run: Row[Any] | None, parts: Mapping[str, list[tuple[str, str]]],
        reference: Mapping[str, Any],
    ) -> Side:  # fmt: skip
        if run is None:
            return Side(problem="its run is gone.")
        known: dict[str, Any] = {"run": run.id, "run_state": run.state, "progress": run.progress if run.state == "running" else None}
        if run.state in OPEN:
            return Side(**known)
        if run.state != "done":
            return Side(**known, problem=(run.error or {}).get("detail") or f"the run was {run.state}.")
        key = None
        try:
            wanted = Reference.model_validate(reference)
            key = key_of(wanted, parts.get(run.id, []))
            measured = self._measure(connection, key, wanted)
            verdict = judge(measured, row.comparison, row.threshold, row.interval)
        except MicrotomeError as error:
            return Side(**known, key=key, problem=error.detail)
        return Side(**known, key=key, measured=measured, verdict=verdict)

    def _measure(self, connection: Connection, key: str, reference: Reference) -> Measured:
        i = t.result_item.c
        items = {row.name: row for row in connection.execute(select(t.result_item).where(i.key == key))}
        if not items:
            raise InvalidInput("the result is not stored any more. Run it again from the page of its run.", field="key")
        if reference.item not in items:
            raise InvalidInput(f"There is no result '{reference.item}' in it. It has: {', '.join(items)}.", field="reference.item")
        return measure(self.results.result_of(items[reference.item]), reference)


def key_of(reference: Reference, parts: Iterable[tuple[str, str]]) -> str:
    """The key of the part that is meant.

    Raises:
        InvalidInput: there is none of that name, or several and none is named.
    """
    found = dict(parts)
    if reference.part in found:
        return found[reference.part]
    if not reference.part and len(found) == 1:
        return next(iter(found.values()))
    raise InvalidInput(f"The run has no part '{reference.part}'. It has: {', '.join(list(found)[:12]) or 'none'}.", field="reference.part")
