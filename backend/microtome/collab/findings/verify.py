"""Checking a finding: everything it rests on is computed again, and its numbers are compared within its tolerance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from math import isfinite
from typing import Any

import structlog
from sqlalchemy import Row
from sqlalchemy.exc import SQLAlchemyError

from microtome.collab.drift import Made, drift
from microtome.collab.findings.checks import BUSY, Checks
from microtome.collab.findings.findings import Findings
from microtome.collab.people import PersonRow
from microtome.collab.revisions import Shape
from microtome.core.errors import Conflict, Forbidden, MicrotomeError
from microtome.engine import Engine
from microtome.results import Scorecard
from microtome.results.measured import Reference, measure_in
from microtome.store.runs import OPEN
from microtome.store.sources import TYPES

log = structlog.get_logger("microtome.check")


class Verifier:
    """Begins checks of findings, and says what came out."""

    def __init__(self, engine: Engine, findings: Findings, checks: Checks) -> None:
        self.engine, self.findings, self.checks = engine, findings, checks

    def begin(self, me: PersonRow, finding: Row[Any]) -> Row[Any]:
        """Queue the runs, and write down that the finding is being checked.

        Raises:
            Conflict: it rests on no results, is deleted, or is being checked already. Forbidden: it is another workspace's.
        """
        if finding.workspace_id != me.workspace:
            raise Forbidden("This finding is of another workspace. Export it there and import it here to compute it again.", field="id")
        if finding.deleted:
            raise Conflict("This finding is deleted. Restore it first.", field="id")
        if not finding.provenance:
            raise Conflict(
                "This finding rests on no results: there is nothing to compute again. Add evidence or a figure first.", field="id"
            )
        last = self.checks.last([finding.id]).get(finding.id)
        if last is not None and self.settle(finding, last) is None:
            raise Conflict(BUSY, field="id")
        keys = list(finding.provenance)
        references = {key: [row["reference"] for row in finding.evidence if row["key"] == key] for key in keys}
        stored = self.engine.results.stored(keys)
        entries = [asdict(again) for again in self.engine.check([key for key in keys if key in stored], references, me.id)]
        entries += [self._missing(key, finding.provenance[key], me) for key in keys if key not in stored]
        self.findings.pin(finding.id, [entry["now"] for entry in entries if entry["now"]])
        try:
            return self.checks.begin(me, finding, entries)
        except Conflict:  # somebody was a moment faster; runs of a check are its own, others may be shared
            for run in {entry["run"] for entry in entries if entry["mode"] == "again"}:
                if self.engine.get(run).state in OPEN:
                    self.engine.cancel(run, me.id)
            raise

    def _missing(self, key: str, made: Mapping[str, Any], me: PersonRow) -> Shape:
        """A result that is not here (the finding came from another installation): the same question is put here."""
        entry: Shape = {"key": key, "mode": "anew", "run": "", "now": "", "why": ""}
        subjects = dict(made["subjects"])
        if made["part"]:
            subjects["layers"] = [made["part"]]
        try:
            run = self.engine.submit(made["method"], subjects, made["params"], "batch", me.id)
        except MicrotomeError as error:
            return entry | {"mode": "refused", "why": str(error)}
        now = {part: new for part, new, _ in self.engine.runs.parts([run.id])[run.id]}
        return entry | {"run": run.id, "now": now[made["part"]]}

    def settle_open(self) -> None:
        """Write down what came out of every check whose runs have ended."""
        for check in self.checks.unsettled():
            self.settle(self.findings.any(check.finding_id), check)

    def settle(self, finding: Row[Any], check: Row[Any]) -> Shape | None:
        """What came out, written down when all its runs have ended; None while one goes on.

        What cannot be compared, for whatever reason, is a check that failed: it keeps neither the finding from being read nor
        other checks from being settled.
        """
        if check.outcome is not None:
            return dict(check.outcome)
        try:
            outcome = self._outcome(finding, check)
        except SQLAlchemyError:  # the database is away; the next look finds the same to do
            raise
        except Exception as error:
            log.warning("check", finding=finding.id, check=check.id, error=str(error)[:200])
            outcome = _broken(check, f"It could not be compared: {str(error)[:200] or type(error).__name__}")
        if outcome is not None:
            self.checks.settle(finding, check.id, outcome)
        return outcome

    def _outcome(self, finding: Row[Any], check: Row[Any]) -> Shape | None:
        runs = {id: self.engine.get(id) for id in {entry["run"] for entry in check.entries if entry["run"]}}
        if any(run.state in OPEN for run in runs.values()):
            return None
        about = self.findings.revision_of(finding, check.revision)  # the finding may have changed since
        tolerance = float(about.tolerance)
        results = [_result(self.engine, entry, runs) for entry in check.entries]
        by_key = {entry["key"]: (entry, result) for entry, result in zip(check.entries, results, strict=True)}
        numbers, seen = [], Counter[str]()
        for place, row in enumerate(about.evidence):
            entry, result = by_key[row["key"]]
            told = {"place": place, "then": row["value"], "now": None, "low": None, "high": None, "agrees": False, "why": result["why"]}
            if result["device"] is not None:
                told |= _number(self.engine, row, entry, str(seen[row["key"]]), tolerance)
            seen[row["key"]] += 1
            numbers.append(told)
        made = list(dict.fromkeys(made_of(about)))
        changed = drift(self.engine, made)
        return {
            "state": _verdict(results, numbers, tolerance), "tolerance": tolerance, "results": results, "numbers": numbers,
            "drift": changed, "now": _present(made, changed),
        }  # fmt: skip


def made_of(about: Any) -> Iterable[Made]:
    """Weights, images and methods behind all results of a revision."""
    for made in about.provenance.values():
        for what in TYPES:
            if made["subjects"].get(what) is not None and made[f"{what}_hash"] is not None:
                yield Made(what, made["subjects"][what], made[f"{what}_hash"])
        yield Made("method", made["method"], made["version"])


def _present(made: Iterable[Made], changed: Iterable[Mapping[str, str]]) -> list[Shape]:
    """What the check was made with, so that a later change can be told from the one that it already knew."""
    now = {(d["what"], d["name"]): d["now"] for d in changed}
    return [{"what": m.what, "name": m.name, "then": now.get((m.what, m.name), m.then)} for m in made]


def _blank(entry: Mapping[str, Any]) -> Shape:
    return {
        "key": entry["key"], "mode": entry["mode"], "now": entry["now"], "identical": False, "largest": None, "why": entry["why"],
        "device": None, "seconds": None,
    }  # fmt: skip


def _broken(check: Row[Any], why: str) -> Shape:
    """The outcome of a check of which nothing can be said."""
    results = [_blank(entry) | {"why": entry["why"] or why} for entry in check.entries]
    return {"state": "failed", "tolerance": 0.0, "results": results, "numbers": [], "drift": [], "now": []}


def _result(engine: Engine, entry: Mapping[str, Any], runs: Mapping[str, Row[Any]]) -> Shape:
    out = _blank(entry)
    if entry["mode"] == "refused":
        return out
    run = runs[entry["run"]]
    if run.state != "done":
        reason = (run.error or {}).get("detail", "") if run.state == "failed" else "The run was cancelled."
        return out | {"why": reason or "The run failed."}
    try:
        head, now = engine.results.head(entry["now"]), engine.results.load(entry["now"])
    except MicrotomeError as error:  # somebody dropped it meanwhile
        return out | {"why": str(error)}
    out |= {"device": head.provenance.get("device"), "seconds": head.seconds}
    if entry["mode"] == "again":
        found = now["differences"]
        assert isinstance(found, Scorecard)
        apart = int(found.facts["not comparable"] or 0)
        out |= {"identical": bool(found.facts["identical"]), "largest": None if apart else found.facts["largest"]}
        if apart:
            out["why"] = "Shapes, names or missing values differ, or what was zero is not."
    elif entry["now"] == entry["key"]:  # what was not here before; there is nothing to compare arrays with
        out["why"] = "Computed here for the first time; its numbers are compared, its arrays were not here."
    else:
        out["why"] = "Something it was made with has changed, so it is another result; its numbers are compared."
    return out


def _number(engine: Engine, row: Mapping[str, Any], entry: Mapping[str, Any], place: str, tolerance: float) -> Shape:
    """A number of the evidence as it is now; ``place`` is its place among those that were measured in its result."""
    again = Reference(item="numbers", name=place)
    try:
        found = measure_in(
            engine.results.load(entry["now"]), again if entry["mode"] == "again" else Reference.model_validate(row["reference"])
        )
    except MicrotomeError as error:
        return {"why": str(error)}
    return {"now": found.value, "low": found.low, "high": found.high, "agrees": agrees(row, found.value, tolerance), "why": ""}


def agrees(row: Mapping[str, Any], now: float, tolerance: float) -> bool:
    """Within the tolerance, relative to the number or, where it is larger, to half of its 95 % interval.

    A difference that is near zero has no scale of its own; how far it is known is one.
    """
    half = (row["high"] - row["low"]) / 2 if row["high"] is not None and row["low"] is not None else 0.0
    return bool(abs(now - row["value"]) <= tolerance * max(abs(row["value"]), half if isfinite(half) else 0.0))


def _verdict(results: Iterable[Shape], numbers: Iterable[Shape], tolerance: float) -> str:
    """``unchanged`` (bit for bit), ``agrees`` (within the tolerance), ``differs``, or ``failed`` (not everything could be computed)."""
    results, numbers = list(results), list(numbers)
    if any(r["device"] is None for r in results):
        return "failed"
    again = [r for r in results if r["mode"] == "again"]
    apart = [r for r in again if not r["identical"] and (r["largest"] is None or r["largest"] > tolerance)]
    if apart or not all(n["agrees"] for n in numbers):
        return "differs"
    return "unchanged" if len(again) == len(results) and all(r["identical"] for r in again) else "agrees"
