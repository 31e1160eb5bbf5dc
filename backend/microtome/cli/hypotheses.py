"""``microtome hypotheses`` and ``microtome studies``: list, start, export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from microtome.cli.office import Workspace, open_as_admin, write_file
from microtome.cli.output import print_json, print_table
from microtome.cli.sources import Json
from microtome.collab.hypotheses.files import export
from microtome.core.errors import Conflict, NotFound

hypotheses_app = typer.Typer(help="Hypothesis cards: list, start, export.", no_args_is_help=True)
studies_app = typer.Typer(help="Studies with people: list, export.", no_args_is_help=True)
Format = Annotated[Literal["csv", "json"], typer.Option("--format", "-f", help="Kind of file.")]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="File to write; named after what it holds if left out.")]
Which = Annotated[str, typer.Argument(help="Its id, or the first characters of it (at least six).")]


def _one(items: list[dict[str, Any]], start: str, what: str) -> dict[str, Any]:
    found = [item for item in items if len(start) >= 6 and item["id"].startswith(start)]
    if len(found) != 1:
        raise NotFound(f"{len(found)} {what} begin with '{start}'. `microtome {what} list` shows their ids.", field="id")
    return found[0]


def _value(side: dict[str, Any]) -> float | None:
    return (side["measured"] or {}).get("value")


@hypotheses_app.command("list")
def list_hypotheses(json: Json = False, workspace: Workspace = "main") -> None:
    """Cards with their outcomes; private ones of others are left out."""
    desk, me = open_as_admin(workspace)
    items = desk.hypotheses.page(me, None, None, None, 500)["items"]
    if json:
        print_json({"items": items})
    elif not items:
        typer.echo("None yet. Make one in the browser, on the page of a unit or under Findings.")
    else:
        columns = ["id", "statement", "outcome", "test", "control", "threshold"]
        print_table("", columns, [
            [h["id"][:8], h["statement"][:60], h["state"], _value(h["test_side"]), _value(h["control_side"]),
             f"{h['comparison']} {h['threshold']:g}"]
            for h in items
        ])  # fmt: skip


@hypotheses_app.command("start")
def start_hypothesis(card: Which, json: Json = False, workspace: Workspace = "main") -> None:
    """Queue the test and its control, for a running server. What the card predicts is locked from now on."""
    desk, me = open_as_admin(workspace)
    found = _one(desk.hypotheses.page(me, None, None, None, 500)["items"], card, "hypotheses")
    if found["start"] is not None:
        raise Conflict(f"The test was started on {found['start']['at'][:10]} already. A hypothesis is tested once.", field="id")
    started = desk.hypotheses.start(me, found["id"], str(found["revision"]))
    if json:
        print_json(started)
    else:
        typer.echo(f"{started['id'][:8]}: {started['state']}. {started['why']}")


@hypotheses_app.command("export")
def export_hypotheses(out: Out = None, format: Format = "csv", workspace: Workspace = "main") -> None:
    """Write all cards with what was measured to a file; prints its path."""
    desk, me = open_as_admin(workspace)
    write_file(out or Path(f"hypotheses.{format}"), export(desk.hypotheses, me, format)[0])


@studies_app.command("list")
def list_studies(json: Json = False, workspace: Workspace = "main") -> None:
    """Studies with how many took part."""
    desk, me = open_as_admin(workspace)
    items = desk.studies.page(me, None, 500)["items"]
    if json:
        print_json({"items": items})
    elif not items:
        typer.echo("None yet. Make one in the browser, under Findings.")
    else:
        columns = ["id", "name", "task", "state", "participants", "answers"]
        print_table("", columns, [[s["id"][:8], s["name"], s["kind"], s["state"], s["participants"], s["answers"]] for s in items])


@studies_app.command("export")
def export_study(
    study: Which,
    out: Out = None,
    what: Annotated[Literal["answers", "summary"], typer.Option("--what", help="All answers, or the summary.")] = "answers",
    format: Format = "csv",
    workspace: Workspace = "main",
) -> None:
    """Write the answers of a study, or its summary, to a file; prints its path."""
    desk, me = open_as_admin(workspace)
    found = _one(desk.studies.page(me, None, 500)["items"], study, "studies")
    data, _, name = desk.study_outcomes.export(me, found["id"], what, format)
    write_file(out or Path(name), data)
