"""What came out of a study: the summary, and all answers as a file. For editors; for everybody when the study is closed."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

import orjson
from sqlalchemy import Connection, Row, select

from microtome.collab.people import PersonRow
from microtome.collab.revisions import Shape, named
from microtome.collab.studies.statistics import Given, summary
from microtome.collab.studies.studies import find_study
from microtome.core.errors import Forbidden
from microtome.store import Store
from microtome.store import tables as t

What = Literal["answers", "summary"]
COLUMNS = (
    "participant", "person", "place", "task", "condition", "choice", "truth", "correct", "attention", "confidence", "milliseconds",
    "server_milliseconds", "shown", "answered", "finished",
)  # fmt: skip


class Outcomes:
    """Summary and files."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def results(self, me: PersonRow, id: str) -> Shape:
        """Those count who finished and failed no check of attention.

        Raises:
            Forbidden: the study is not closed, and ``me`` is no editor.
        """
        with self.store.read() as connection:
            row = find_study(connection, me, id)
            if row.state != "closed" and not me.may("editor"):
                raise Forbidden("Results are shown when the study is closed, so that they sway nobody who still takes part.", field="id")
            return _summary(row, *_rows(connection, row))

    def export(self, me: PersonRow, id: str, what: What, format: Literal["csv", "json"]) -> tuple[bytes, str, str]:
        """Bytes, media type and name of a file."""
        with self.store.read() as connection:
            row = find_study(connection, me, id)
            rows, chance = _rows(connection, row)
        told = _summary(row, rows, chance)
        media = "application/json" if format == "json" else "text/csv; charset=utf-8"
        if format == "json":
            head = {"study": row.id, "name": row.name, "state": row.state, "design": row.design}
            data = orjson.dumps(head | (told if what == "summary" else {"answers": rows}), option=orjson.OPT_INDENT_2)
        else:
            data = _csv(COLUMNS, rows) if what == "answers" else _summary_csv(told)
        return data, media, f"study-{row.id[:8]}-{what}.{format}"


def _rows(connection: Connection, row: Row[Any]) -> tuple[list[Shape], float]:
    """All answers, by participant and place; and the share of right answers of who only guesses."""
    a, p, s = t.study_answer, t.study_participant, t.study_shown
    joined = (a.c.study_id == p.c.study_id) & (a.c.person_id == p.c.person_id)
    shown = (a.c.study_id == s.c.study_id) & (a.c.person_id == s.c.person_id) & (a.c.place == s.c.place)
    query = select(a, p.c.number, s.c.at.label("shown")).join(p, joined).join(s, shown).where(a.c.study_id == row.id)
    found = connection.execute(query.order_by(p.c.number, a.c.place)).all()
    tasks = {task.number: task for task in connection.execute(select(t.study_task).where(t.study_task.c.study_id == row.id))}
    people = named(connection, (x.person_id for x in found))
    counts: dict[int, int] = {}
    for x in found:
        counts[x.number] = counts.get(x.number, 0) + 1
    of, conditions = row.design["tasks"] + row.design["attention"], [c["name"] for c in row.design["conditions"]]
    out = []
    for x in found:
        task = tasks[x.task]
        names = _names(task)
        out.append({
            "participant": x.number, "person": people[x.person_id]["name"], "place": x.place, "task": x.task,
            "condition": conditions[x.condition], "choice": names[x.choice], "truth": names[task.truth],
            "correct": x.choice == task.truth, "attention": task.attention, "confidence": x.confidence, "milliseconds": x.milliseconds,
            "server_milliseconds": _between(x.shown, x.at), "shown": x.shown, "answered": x.at, "finished": counts[x.number] == of,
        })  # fmt: skip
    chances = [1 / len(task.choices) for task in tasks.values() if not task.attention]
    return out, sum(chances) / len(chances) if chances else 1 / int(row.design.get("choices", 2))


def _names(task: Row[Any]) -> list[str]:
    return list(task.content.get("models") or task.choices)


def _summary(row: Row[Any], rows: Sequence[Shape], chance: float) -> Shape:
    joined = {r["participant"] for r in rows}
    finished = {r["participant"] for r in rows if r["finished"]}
    inattentive = {r["participant"] for r in rows if r["attention"] and not r["correct"]} & finished
    counted = finished - inattentive
    design = row.design
    names = [c["name"] for c in design["conditions"]]
    given = [
        Given(r["participant"], names.index(r["condition"]), r["correct"], r["milliseconds"], r["confidence"])
        for r in rows
        if r["participant"] in counted and not r["attention"]
    ]
    participants = {"answered": len(joined), "finished": len(finished), "inattentive": len(inattentive), "counted": len(counted)}
    return {"participants": participants} | summary(names, given, chance)


def _between(start: str, end: str) -> int:
    return round((datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds() * 1000)


def _csv(columns: Sequence[str], rows: Sequence[Shape]) -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _safe(row.get(name)) for name in columns})
    return out.getvalue().encode()


def _summary_csv(told: Shape) -> bytes:
    """One table of conditions and of differences, which name both conditions."""
    rows = [{"what": "accuracy", "condition": c["name"], "value": c["accuracy"]} | c for c in told["conditions"]]
    rows += [
        {"what": "difference", "condition": f"{d['first']} − {d['second']}", "value": d["difference"]} | d for d in told["differences"]
    ]
    columns = ("what", "condition", "value", "low", "high", "chance", "participants", "answers", "correct", "median_ms", "confidence")
    return _csv(columns, rows)


def _safe(value: Any) -> Any:
    """Text that a spreadsheet would take for a formula begins with an apostrophe."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
