"""What commands about people's things share: the desk, who is at it, files that are written."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from sqlalchemy import select

from microtome.api.desk import Desk, open_desk
from microtome.collab.people import PersonRow
from microtome.core.errors import InvalidInput, NotFound
from microtome.core.settings import settings
from microtome.engine import Engine
from microtome.store import tables as t
from microtome.store.blobs import insert_ignore, write_atomic
from microtome.store.times import now

Workspace = Annotated[str, typer.Option("--workspace", "-w", help="Id of the workspace.")]


def open_as_admin(workspace: str, executor: Literal["none", "inline"] = "none") -> tuple[Desk, PersonRow]:
    """The desk, and who runs the command line: whoever may read the database, so an admin, under a name of its own.

    Args:
        executor: ``none`` leaves runs to a server, ``inline`` executes them in this process.
    """
    desk = open_desk(settings(), Engine(settings(), executor=executor))
    me = PersonRow("command-line", "command line", "admin", workspace)
    with desk.store.write() as connection:
        if connection.execute(select(t.workspace.c.id).where(t.workspace.c.id == workspace)).first() is None:
            raise NotFound(f"There is no workspace '{workspace}'.", field="workspace")
        connection.execute(insert_ignore(connection, t.person), {"id": me.id, "name": me.name, "created": now()})
    return desk, me


def write_file(path: Path, data: bytes) -> None:
    """Write it whole or not at all, and print its path.

    Raises:
        InvalidInput: it is a folder, or in none.
    """
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise InvalidInput(f"'{path}' is a folder, or in none. Name a file in a folder that exists.", field="out")
    write_atomic(path, data)
    typer.echo(path)
