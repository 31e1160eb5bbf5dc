"""``microtome models`` and ``microtome probes``: add, list, remove."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from microtome.api.desk import Desk, open_desk
from microtome.api.sources import model_detail, model_shapes, probe_detail, probe_shapes
from microtome.cli.output import print_json, print_table, show_progress, size
from microtome.collab.people import ANYBODY
from microtome.core.errors import InvalidInput, RunCancelled
from microtome.core.settings import settings
from microtome.engine import Engine

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Name = Annotated[str | None, typer.Option("--name", help="Short name; made from the source if left out.")]
Source = Annotated[str, typer.Argument(help="builtin:NAME, path:FOLDER, hf:ORG/NAME, or module:package.module:function.")]
ProbeSource = Annotated[str, typer.Argument(help="builtin:NAME[#split[:count]], path:FOLDER or path:FOLDER#split.")]
Slug = Annotated[str, typer.Argument(help="Its short name.")]
Drop = Annotated[bool, typer.Option("--drop-results", help="Also drop what was computed, except what shares pin.")]

models_app = typer.Typer(help="Add, list and remove models.", no_args_is_help=True)
probes_app = typer.Typer(help="Add, list and remove probe sets.", no_args_is_help=True)


def _desk() -> Desk:
    return open_desk(settings(), Engine(settings(), executor="inline"))


def _add(type: Literal["model", "probe"], source: str, name: str | None, json: bool) -> None:
    desk = _desk()
    with show_progress(desk.engine):
        run = desk.engine.add_source(f"add-{type}", source, name, trusted=True)
        run = desk.engine.wait(run.id)
    if run.state == "cancelled":
        raise RunCancelled(f"{source} was not added: it was cancelled.")
    if run.state != "done":
        raise InvalidInput((run.error or {}).get("detail", f"{source} could not be read."))
    slug = desk.engine.sources.get(type, source).slug
    detail = model_detail(desk, ANYBODY, slug) if type == "model" else probe_detail(desk, slug)
    if json:
        print_json(detail)
    elif type == "model":
        main = sum(layer["default"] for layer in detail["layers"])
        typer.echo(f"{slug}: {detail['family']}, {main} layers, {detail['units']:,} units, weights {detail['hash'][:7]}")
    else:
        shown = "texts" if detail["modality"] == "text" else "images"
        typer.echo(f"{slug}: {detail['examples']:,} {shown}, {detail['concepts']} concepts, data {detail['hash'][:7]}")
        if detail["reports"]:
            rows = [[r["file"], r["reason"]] for r in detail["reports"][:20]]
            print_table(f"{detail['skipped']} files were left out", ["file", "reason"], rows)


def _list(items: list[dict[str, Any]], json: bool, columns: dict[str, Any]) -> None:
    if json:
        print_json({"items": items})
    elif not items:
        typer.echo("None yet. `microtome demo` brings the built-in ones; add your own with `add`.")
    else:
        print_table("", list(columns), [[read(item) for read in columns.values()] for item in items])


@models_app.command("add")
def add_model(source: Source, name: Name = None, json: Json = False) -> None:
    """Read a model: its layers, shapes, classes and hash."""
    _add("model", source, name, json)


@models_app.command("list")
def list_models(json: Json = False) -> None:
    """Models that were added."""
    columns = {
        "name": lambda m: m["slug"], "family": lambda m: m["family"], "units": lambda m: m["units"],
        "weights": lambda m: m["hash"][:7], "size": lambda m: size(m["bytes"]), "state": lambda m: m["state"],
        "source": lambda m: m["source"],
    }  # fmt: skip
    _list(model_shapes(_desk(), ANYBODY), json, columns)


@models_app.command("remove")
def remove_model(name: Slug, drop_results: Drop = False) -> None:
    """Take a model off the list. Its files and what people wrote stay."""
    _desk().engine.remove_source("model", name, drop=drop_results)
    typer.echo(f"{name} removed")


@probes_app.command("add")
def add_probe(source: ProbeSource, name: Name = None, json: Json = False) -> None:
    """Read a probe set: its images or texts, classes, concepts and hash; files that cannot be used are named."""
    _add("probe", source, name, json)


@probes_app.command("list")
def list_probes(json: Json = False) -> None:
    """Probe sets that were added."""
    columns = {
        "name": lambda p: p["slug"], "examples": lambda p: p["examples"], "classes": lambda p: len(p["classes"]),
        "concepts": lambda p: p["concepts"], "data": lambda p: p["hash"][:7], "size": lambda p: size(p["bytes"]),
        "source": lambda p: p["source"],
    }  # fmt: skip
    _list(probe_shapes(_desk()), json, columns)


@probes_app.command("remove")
def remove_probe(name: Slug, drop_results: Drop = False) -> None:
    """Take a probe set off the list. Its files stay."""
    _desk().engine.remove_source("probe", name, drop=drop_results)
    typer.echo(f"{name} removed")
