"""``microtome labels``: list label sets, their agreement, and take them out of an installation and into another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from microtome.api.desk import Desk
from microtome.cli.office import Workspace, open_as_admin, write_file
from microtome.cli.output import print_json, print_table
from microtome.cli.sources import Json
from microtome.collab.labels.exchange.files import BYTES, Format, Style
from microtome.collab.labels.scores import Which
from microtome.collab.people import PersonRow
from microtome.core.errors import InvalidInput, NotFound

labels_app = typer.Typer(help="Label sets: list, agreement, export, import.", no_args_is_help=True)
Set = Annotated[str, typer.Argument(help="Id of the label set, or its first characters (at least six).")]
Reveal = Annotated[bool, typer.Option("--reveal", help="Look into a blind set; that is noted in its audit log.")]


def _find(desk: Desk, me: PersonRow, start: str, reveal: bool) -> dict[str, Any]:
    found = [s for s in desk.label_sets.page(me, None, None, 500)["items"] if len(start) >= 6 and s["id"].startswith(start)]
    if len(found) != 1:
        raise NotFound(f"{len(found)} label sets begin with '{start}'. `microtome labels list` shows their ids.", field="set")
    if reveal:
        desk.ratings.reveal(me, found[0]["id"], None)
    return found[0]


@labels_app.command("list")
def list_sets(json: Json = False, workspace: Workspace = "main") -> None:
    """Label sets with how much is done."""
    desk, me = open_as_admin(workspace)
    items = desk.label_sets.page(me, None, None, 500)["items"]
    if json:
        print_json({"items": items})
    elif not items:
        typer.echo("None yet. Make one in the browser, or `microtome labels import FILE`.")
    else:
        columns = ["id", "name", "model", "kind", "units", "answers", "wanted", "by machines", "state"]
        print_table("", columns, [
            [s["id"][:8], s["name"], s["model"], s["schema"]["type"], s["units"], s["answers"], s["units"] * s["raters"],
             s["machine_answers"], "closed" if s["closed"] else "blind" if s["blind"] else "open"]
            for s in items
        ])  # fmt: skip


@labels_app.command("agreement")
def agreement(
    set: Set,
    answers: Annotated[Which | None, typer.Option("--answers", help="independent (blind sets, if left out) or present.")] = None,
    reveal: Reveal = False,
    json: Json = False,
    workspace: Workspace = "main",
) -> None:
    """Agreement between people, and of machines with people."""
    desk, me = open_as_admin(workspace)
    told = desk.label_scores.agreement(me, _find(desk, me, set, reveal)["id"], answers)
    if json:
        print_json(told)
        return
    note = f"{told['answers']} answers of {told['people']} people, {told['units_compared']} units with two or more. {told['comparison']}"
    if told["hidden_units"]:
        note += f" {told['hidden_units']} units are hidden: the set is blind (--reveal)."
    rows = [[m["title"], m["value"], m["low"], m["high"], m["why"] or ""] for m in told["measures"]]
    rows += [
        [f"{m['machine']['name']} {m['machine']['version']}: kappa", m["kappa"], None, None, m["why"] or ""] for m in told["machine_scores"]
    ]
    print_table("", ["measure", "value", "low", "high", "why none"], rows, note)


@labels_app.command("export")
def export_set(
    set: Set,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File to write; named after the set if left out.")] = None,
    format: Annotated[Format, typer.Option("--format", "-f", help="Kind of file.")] = "csv",
    style: Annotated[Style, typer.Option("--style", help="Whose names of columns.")] = "microtome",
    reveal: Reveal = False,
    workspace: Workspace = "main",
) -> None:
    """Write a label set with its whole history to a file; prints its path."""
    desk, me = open_as_admin(workspace)
    found = _find(desk, me, set, reveal)
    data, _ = desk.label_exchange.export(me, found["id"], format, style)
    write_file(out or Path(f"labels-{found['id'][:8]}.{format}"), data)


@labels_app.command("import")
def import_set(
    file: Annotated[Path, typer.Argument(help="CSV, JSON or Parquet: an export, or rows as Neuronpedia or MILANNOTATIONS have them.")],
    name: Annotated[str | None, typer.Option("--name", help="Another name for the set.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="The model that it is about, if not the one that the file names.")] = None,
    json: Json = False,
    workspace: Workspace = "main",
) -> None:
    """Make a label set from a file, which is validated whole first."""
    if not file.is_file():
        raise InvalidInput(f"There is no file '{file}'.", field="file")
    with file.open("rb") as handle:
        data = handle.read(BYTES + 1)
    desk, me = open_as_admin(workspace)
    made = desk.label_exchange.load(me, data, name, model, None)
    if json:
        print_json(made)
    else:
        typer.echo(f"{made['id']}: {made['name']}, {made['units']:,} units, {made['answers'] + made['machine_answers']:,} answers")
