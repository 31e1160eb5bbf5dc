"""``microtome export``: results as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from microtome.api.desk import open_desk
from microtome.api.results import export_file
from microtome.core.errors import InvalidInput
from microtome.core.settings import settings
from microtome.engine import Engine
from microtome.ingest.writer import export_folder


def export(
    key: Annotated[str, typer.Argument(help="Key of a result set, or its first characters (at least six).")],
    name: Annotated[str | None, typer.Argument(help="One result of the set; all if left out.")] = None,
    format: Annotated[
        Literal["csv", "json", "npz", "html", "parquet"],
        typer.Option("--format", "-f", help="Kind of file; parquet writes a whole dissection as a folder that `microtome import` reads."),
    ] = "csv",
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write to.")] = Path(),
) -> None:
    """Write stored results to files; prints the path of each. Formats that a result cannot take are named and left out."""
    engine = Engine(settings(), executor="none")
    desk = open_desk(settings(), engine)
    full = engine.results.find_key(key)
    if format == "parquet":
        if name is not None:
            raise InvalidInput("parquet writes the whole dissection; leave the name of the result out.", field="name")
        typer.echo(export_folder(engine.results, full, out))
        return
    names = [name] if name else [row.name for row in engine.results.items(full)]
    out.mkdir(parents=True, exist_ok=True)
    written = 0
    for each in names:
        try:
            data, _, filename = export_file(desk, full, each, format)
        except InvalidInput as error:
            if name:
                raise
            typer.echo(f"{each}: {error.detail}", err=True)
            continue
        (out / filename).write_bytes(data)
        typer.echo(out / filename)
        written += 1
    if not written:
        raise InvalidInput(f"None of the results can be written as {format}. Use npz or json.", field="format")
