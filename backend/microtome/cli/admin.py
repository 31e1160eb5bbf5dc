"""``microtome admin``: what must work when nobody can sign in, and copies of everything."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from microtome.cli.accounts import open_accounts
from microtome.cli.output import size
from microtome.cli.serve import Data, configured
from microtome.collab.accounts.accounts import plain_email
from microtome.collab.accounts.invitations import RESET_DAYS, link
from microtome.collab.accounts.passwords import check_new
from microtome.collab.people import MAIN, ROLES, Role, plain_name
from microtome.core.errors import InvalidInput
from microtome.core.settings import Settings
from microtome.store.backup import back_up, restore

app = typer.Typer(help="Accounts, backup and restore.", no_args_is_help=True)
Email = Annotated[str, typer.Option("--email", help="E-mail address.")]
Name = Annotated[str, typer.Option("--name", help="Name that others see.")]


@app.command("create-admin")
def create_admin(
    email: Annotated[str, typer.Option("--email", prompt="E-mail address", help="E-mail address.")],
    name: Annotated[str, typer.Option("--name", prompt="Name", help="Name that others see.")],
    from_stdin: Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input, not the terminal.")] = False,
    data: Data = None,
) -> None:
    """Make an admin of the first workspace. The password is asked for; it is never given on the command line."""
    values = configured(None, None, data)
    accounts = open_accounts(values)
    plain_name(name), plain_email(email)
    password = sys.stdin.readline().rstrip("\n") if from_stdin else typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    accounts.create(name, email, check_new(password, name, email), "admin")
    typer.echo(f"{plain_email(email)} is an admin. `microtome serve --mode team` starts the server.")


@app.command()
def invite(
    role: Annotated[str, typer.Argument(help="viewer, annotator, editor or admin.")],
    email: Annotated[str | None, typer.Option("--email", help="Only this address may use the link.")] = None,
    workspace: Annotated[str, typer.Option("--workspace", help="Id of the workspace.")] = MAIN,
    days: Annotated[int, typer.Option("--days", min=1, max=60, help="How long the link works.")] = 7,
    data: Data = None,
) -> None:
    """Print a link with which somebody makes an account. It works once."""
    if role not in ROLES:
        raise InvalidInput(f"There is no role '{role[:40]}'. Choose one of {', '.join(ROLES)}.", field="role")
    chosen: Role = role
    values = configured(None, None, data)
    address = plain_email(email) if email is not None else None
    _, token = open_accounts(values).invitations.create(None, workspace, chosen, email=address, days=days)
    typer.echo(link(_address(values), token))


@app.command("reset-password")
def reset_password(email: Annotated[str, typer.Argument(help="Whose.")], data: Data = None) -> None:
    """Print a link with which somebody sets a new password. It works once, for a day; all their sessions end with it."""
    values = configured(None, None, data)
    accounts = open_accounts(values)
    person = accounts.by_email(email)
    _, token = accounts.invitations.create(None, MAIN, "viewer", days=RESET_DAYS, person=person.id)
    typer.echo(link(_address(values), token))


@app.command("sign-out-all")
def sign_out_all(data: Data = None) -> None:
    """End all sessions, of everybody. API tokens go on working."""
    count = open_accounts(configured(None, None, data)).sign_out_all()
    typer.echo(f"{count} sessions ended")


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(help="File to write, .tar.gz.")],
    data: Data = None,
) -> None:
    """Write database, arrays, uploads and secret into one file, while the server runs. It holds secrets: keep it like a password."""
    made = back_up(configured(None, None, data), file)
    typer.echo(f"{file}: {made.rows:,} rows, {made.files:,} files, {size(made.bytes)}")


@app.command("restore")
def restore_backup(
    file: Annotated[Path, typer.Argument(help="A file that `microtome admin backup` wrote.")],
    data: Data = None,
) -> None:
    """Put a backup into an empty place: a data folder with nothing in it, and, with PostgreSQL, an empty database."""
    values = configured(None, None, data)
    made = restore(values, file)
    typer.echo(f"{values.data_dir}: {made.rows:,} rows, {made.files:,} files")


def _address(values: Settings) -> str:
    return values.public_url or f"http://{values.host}:{values.port}"
