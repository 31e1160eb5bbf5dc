"""``microtome import``: results computed elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from microtome.cli.output import print_json, print_table, show_progress, size
from microtome.cli.run import RunFailed
from microtome.core.errors import RunCancelled
from microtome.core.settings import settings
from microtome.engine import Engine


def import_results(
    folder: Annotated[Path, typer.Argument(help="Folder with manifest.json and the tables it names (docs/bulk-import.md).")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check every file and value; write nothing.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Import unit statistics, scores and exemplars that were computed elsewhere; put again, it goes on where it stopped."""
    engine = Engine(settings(), executor="inline")
    try:
        document = _checked(engine, folder) if dry_run else _imported(engine, folder)
    finally:
        engine.stop()
    if json:
        print_json(document)
        return
    rows = [[name or "map", part["units"], "stored" if part["stored"] else "missing", part["key"][:12]] for name, part in _parts(document)]
    print_table("", ["layer", "units", "state", "key"], rows)
    what = "is valid; nothing was written" if dry_run else f"was imported as {document['model']} on {document['probe']}"
    typer.echo(f"{folder} {what}; {size(document['bytes'])} {'needed at most' if dry_run else 'stored'}.")


def _parts(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [*document["layers"].items(), *([("", document["map"])] if document["map"] is not None else [])]


def _checked(engine: Engine, folder: Path) -> dict[str, Any]:
    with show_progress(engine):
        importer = engine.check_folder(str(folder))
    return {
        "run": None,
        "state": "valid",
        "model": importer.manifest.model.name,
        "probe": importer.manifest.probe.name,
        **_layers(importer),
    }


def _imported(engine: Engine, folder: Path) -> dict[str, Any]:
    with show_progress(engine):
        run = engine.import_folder(str(folder), trusted=True)
        run = engine.wait(run.id)
    if run.state == "cancelled":
        raise RunCancelled("The import was cancelled. Layers that were complete are kept; import the folder again to go on.")
    if run.state != "done":
        raise RunFailed((run.error or {}).get("detail", "No reason was stored."))
    parts = engine.runs.parts([run.id])[run.id]
    head = engine.results.head(parts[0][1])
    units = {layer.name: layer.units for layer in engine.sources.layers(engine.sources.get("model", head.subjects["model"]).id)}
    found = {part: {"key": key, "units": units.get(part), "stored": done} for part, key, done in parts}
    stored = sum(engine.results.head(key).bytes for _, key, _ in parts)
    return {
        "run": run.id, "state": run.state, "model": head.subjects["model"], "probe": head.subjects["probe"], "bytes": stored,
        "map": found.pop("", None), "layers": found,
    }  # fmt: skip


def _layers(importer: Any) -> dict[str, Any]:
    units = {layer.name: layer.units for layer in importer.manifest.layers}
    found = {part: {"key": key, "units": units.get(part), "stored": part not in importer.missing} for part, key in importer.keys.items()}
    return {"bytes": importer.needed_bytes, "map": found.pop("", None), "layers": found}
