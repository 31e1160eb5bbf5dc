"""A finding as it goes out: what it says, whether it still holds, who wrote it, how to cite it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row

from microtome.api.desk import Desk
from microtome.api.findings.cite import citation
from microtome.collab.drift import drift
from microtome.collab.findings.findings import Content, content_of
from microtome.collab.findings.verify import made_of
from microtome.collab.people import PersonRow
from microtome.core.errors import NotFound
from microtome.core.keys import content_key
from microtome.core.viewstate import ViewState

Shape = dict[str, Any]


def finding(desk: Desk, me: PersonRow | None, row: Row[Any], revision: int | None = None) -> Shape:
    """The document of ``GET /findings/{id}``; of an old revision, the rest is as it is now."""
    shown = desk.findings.read(me, row, revision)
    content, shapes = content_of(shown), checks(desk, me, row)
    # a check says nothing of what was written before or after it
    newest = next((check for check in shapes if check["revision"] == shown.revision), None)
    contributors = desk.findings.contributors([row.id])[row.id]
    names = ("title", "claim", "body", "visibility", "tolerance")
    out = {name: getattr(content, name) for name in names} | {
        "id": row.id, "number": row.seq, "url": f"/findings/{row.id}", "model": row.model, "probe": row.probe,
        "figures": [figure for f in content.figures if (figure := _figure(desk, f)) is not None],
        "evidence": content.evidence, "provenance": provenance(desk, content), "checks": shapes,
        "status": status(desk, row, content, newest, look=True), "contributors": contributors,
        "content_hash": content_hash(content), "origin": row.origin, "shown": shown.revision,
    }  # fmt: skip
    out |= desk.findings.authorships([row])[0]
    return out | {"citation": citation(out, desk.settings.public_url)}


def checks(desk: Desk, me: PersonRow | None, row: Row[Any]) -> list[Shape]:
    """Checks of the revisions that ``me`` may read, newest first; those whose runs have ended are settled before."""
    found = desk.finding_checks.page(row.id, desk.findings.revisions(me, row))
    for place, check in enumerate(found):
        if check.outcome is None and desk.verifier.settle(row, check) is not None:
            found[place] = desk.finding_checks.get(row.id, check.id)
    return desk.finding_checks.shapes(found)


def heads(desk: Desk, rows: Sequence[Row[Any]]) -> list[Shape]:
    """The lines of a list; files are not read again for it."""
    ids = [row.id for row in rows]
    last, contributors = desk.finding_checks.last(ids), desk.findings.contributors(ids)
    out = []
    for row, written in zip(rows, desk.findings.authorships(rows), strict=True):
        check = last.get(row.id)
        known = None if check is None or check.revision != row.revision else {"outcome": check.outcome}
        names = ("id", "title", "claim", "model", "probe", "visibility")
        out.append({name: getattr(row, name) for name in names} | {
            "number": row.seq, "url": f"/findings/{row.id}", "state": status(desk, row, content_of(row), known, look=False)["state"],
            "figures": len(row.figures), "evidence": len(row.evidence), "contributors": contributors[row.id], **written,
        })  # fmt: skip
    return out


def history(desk: Desk, me: PersonRow | None, id: str) -> list[Shape]:
    rows = desk.findings.history(me, id)
    people = desk.people.many({row.person_id for row in rows})
    names = ("revision", "title", "claim", "body", "tolerance", "visibility", "deleted", "at")
    return [
        {name: getattr(row, name) for name in names}
        | {"evidence": len(row.evidence), "figures": len(row.figures), "author": people[row.person_id].shape()}
        for row in rows
    ]


def provenance(desk: Desk, content: Content) -> list[Shape]:
    """How each result was made, in order."""
    methods = desk.engine.methods()
    return [
        {"key": key, "title": methods.get(made["method"], {}).get("title", made["method"]), **made, "software": made["software"] or {}}
        for key, made in content.provenance.items()
    ]


def status(desk: Desk, row: Row[Any], content: Content, check: Mapping[str, Any] | None, *, look: bool) -> Shape:
    """Whether it holds today.

    Args:
        check: the newest one of this content. look: read the files of models and probe sets again.
    """
    changed = drift(desk.engine, made_of(content), look=look)
    return {"state": _state(row, changed, check), "drift": changed, "check": check}


def _state(row: Row[Any], changed: Sequence[Mapping[str, str]], check: Mapping[str, Any] | None) -> str:
    if row.deleted:
        return "deleted"
    if check is None:
        return "changed" if changed else "fresh"
    outcome = check["outcome"]
    if outcome is None:
        return "checking"
    if outcome["state"] in ("failed", "differs"):
        return str(outcome["state"])
    known = {(d["what"], d["name"], d["now"]) for d in outcome["drift"]}
    return "verified" if {(d["what"], d["name"], d["now"]) for d in changed} <= known else "changed"


def _figure(desk: Desk, figure: Mapping[str, Any]) -> Shape | None:
    try:
        share = desk.shares.get(figure["share"])
    except NotFound:
        return None
    keys = [*share.frozen["keys"], *(panel["key"] for panel in figure["panels"] if "key" in panel)]
    return {
        "share": share.id, "url": f"/s/{share.id}", "caption": figure["caption"], "panels": figure["panels"],
        "state": ViewState.model_validate(share.state).model_dump(mode="json"),
        "available": len(desk.engine.results.stored(keys)) == len(set(keys)),
    }  # fmt: skip


def content_hash(content: Content) -> str:
    """sha256 of what a revision says. Ids of frozen views are left out: they are another installation's own."""
    figures = [{"caption": f["caption"], "panels": f["panels"]} for f in content.figures]
    said = {name: getattr(content, name) for name in ("title", "claim", "body", "evidence", "tolerance")}
    return content_key({**said, "figures": figures, "results": sorted(content.provenance)})
