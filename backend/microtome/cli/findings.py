"""``microtome findings``: list, compute again, export, import."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy import Row

from microtome.api.desk import Desk
from microtome.api.findings import document
from microtome.api.findings.export import files, incoming
from microtome.cli.office import Workspace, open_as_admin, write_file
from microtome.cli.output import print_json, print_table
from microtome.cli.sources import Json
from microtome.collab.people import PersonRow
from microtome.core.errors import InvalidInput, MicrotomeError, NotFound

findings_app = typer.Typer(help="Findings: list, compute again, export, import.", no_args_is_help=True)
Which = Annotated[str, typer.Argument(help="Number or id of the finding.")]


class DoesNotHold(MicrotomeError):
    title = "The finding does not hold"


def _find(desk: Desk, me: PersonRow, which: str) -> Row[Any]:
    rows = [row for row in desk.findings.page(me, None, False, None, 10_000) if which in (str(row.seq), row.id)]
    if not rows:
        raise NotFound(f"There is no finding '{which}'. `microtome findings list` shows them.", field="finding")
    return rows[0]


@findings_app.command("list")
def list_findings(json: Json = False, workspace: Workspace = "main") -> None:
    """Findings with whether they still hold; files are not read again for it."""
    desk, me = open_as_admin(workspace)
    items = document.heads(desk, desk.findings.page(me, None, False, None, 10_000))
    if json:
        print_json({"items": items})
    elif not items:
        typer.echo("None yet. Choose Add to finding on a unit, an explanation or a result in the browser.")
    else:
        rows = [
            [f["number"], f["title"], f["model"] or "", f["evidence"], f["state"], ", ".join(p["name"] for p in f["contributors"])]
            for f in items
        ]
        print_table("", ["number", "title", "model", "numbers", "state", "by"], rows)


@findings_app.command("check")
def check(finding: Which, json: Json = False, workspace: Workspace = "main") -> None:
    """Compute everything again that a finding rests on, in this process; ends with 1 if it does not hold."""
    desk, me = open_as_admin(workspace, executor="inline")
    row = _find(desk, me, finding)
    begun = desk.verifier.begin(me, row)
    outcome = desk.verifier.settle(row, begun)
    assert outcome is not None  # its runs have ended
    if json:
        print_json(outcome)
    else:
        tests = [e["test"] for e in row.evidence]
        evidence = [[tests[n["place"]], n["then"], n["now"], "yes" if n["agrees"] else "no", n["why"]] for n in outcome["numbers"]]
        print_table("", ["number", "then", "now", "agrees", "why"], evidence, f"{len(outcome['results'])} results: {outcome['state']}.")
    if outcome["state"] not in ("unchanged", "agrees"):
        reasons = [r["why"] for r in outcome["results"] if r["device"] is None]
        raise DoesNotHold(reasons[0] if reasons else f"Finding {row.seq} {outcome['state']} (tolerance {outcome['tolerance']:g}).")


@findings_app.command("export")
def export(
    finding: Which,
    format: Annotated[files.Format, typer.Option("--format", "-f", help="Kind of file.")] = "crate",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File to write; named after the finding if left out.")] = None,
    workspace: Workspace = "main",
) -> None:
    """Write a finding to a file; prints its path."""
    desk, me = open_as_admin(workspace)
    told = document.finding(desk, me, _find(desk, me, finding))
    write_file(out or Path(f"finding-{told['number']}.{files.FORMATS[format][1]}"), files.WRITERS[format](desk, told))


@findings_app.command("import")
def import_finding(
    file: Annotated[Path, typer.Argument(help="An RO-Crate (zip) that was exported elsewhere.")],
    json: Json = False,
    workspace: Workspace = "main",
) -> None:
    """Bring a finding in. Its numbers are what the file says, until `microtome findings check` has computed them here."""
    if not file.is_file():
        raise InvalidInput(f"There is no file '{file}'.", field="file")
    desk, me = open_as_admin(workspace)
    with file.open("rb") as handle:
        data = handle.read(desk.settings.upload_bytes + 1)
    if len(data) > desk.settings.upload_bytes:
        raise InvalidInput(f"'{file}' is larger than {desk.settings.upload_bytes:,} bytes (MICROTOME_UPLOAD_BYTES).", field="file")
    content, origin = incoming.take(desk, me, incoming.read(data), "workspace", None)
    row = desk.findings.create(me, content, token=None, origin=origin)
    if json:
        print_json(document.finding(desk, me, row))
    else:
        typer.echo(f"Finding {row.seq}: {row.title}, {len(row.evidence)} numbers, not computed here yet")
