"""Putting the commands together, and turning errors into one line and an exit status.

Exit status: 0 done, 1 failed, 2 wrong usage or unknown name, 130 cancelled.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
import warnings
from collections.abc import Iterable

import structlog
import typer

from microtome import __version__
from microtome.core.errors import InvalidInput, MicrotomeError, NotFound, RunCancelled

#: Command -> the module that it is in, and what is it there: a function, or a group of commands.
COMMANDS = {
    "demo": ("serve", "demo"), "serve": ("serve", "serve"), "models": ("sources", "models_app"), "probes": ("sources", "probes_app"),
    "methods": ("methods", "methods"), "run": ("run", "run"), "export": ("export", "export"), "import": ("imports", "import_results"),
    "labels": ("labels", "labels_app"), "findings": ("findings", "findings_app"), "hypotheses": ("hypotheses", "hypotheses_app"),
    "studies": ("hypotheses", "studies_app"), "admin": ("admin", "app"),
}  # fmt: skip


def assembled(names: Iterable[str] = COMMANDS) -> typer.Typer:
    """The command line with these commands. Only their modules are imported: some of them bring a server, or a database."""
    app = typer.Typer(
        name="microtome",
        help="Look inside neural networks, together.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(invoke_without_command=True)(options)
    for name in names:
        module, what = COMMANDS[name]
        found = getattr(importlib.import_module(f"microtome.cli.{module}"), what)
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=name)
        else:
            app.command(name)(found)
    return app


def options(version: bool = typer.Option(False, "--version", help="Print the version and exit.")) -> None:
    if version:
        typer.echo(f"microtome {__version__}")
        raise typer.Exit


def quiet() -> None:
    """Standard output belongs to the answer; what libraries say goes to standard error, and only when it matters."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TQDM_DISABLE", "1")
    warnings.filterwarnings("ignore", category=FutureWarning)
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),  # as it is when something is written
    )


def main() -> None:
    """Entry point of the ``microtome`` command."""
    quiet()
    asked = sys.argv[1] if len(sys.argv) > 1 else ""
    needed: Iterable[str] = [asked] if asked in COMMANDS else [] if asked == "--version" else COMMANDS
    try:
        assembled(needed)(standalone_mode=False)
    except typer.Exit as stop:
        sys.exit(stop.exit_code)
    except typer.Abort:
        sys.exit(130)
    except RunCancelled as error:
        print(f"microtome: {error.detail}", file=sys.stderr)
        sys.exit(130)
    except (InvalidInput, NotFound) as error:
        print(f"microtome: {error.detail}", file=sys.stderr)
        sys.exit(2)
    except MicrotomeError as error:
        print(f"microtome: {error.title}: {error.detail}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("microtome: stopped", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        if hasattr(error, "format_message"):  # a usage error of the command line itself
            print(f"microtome: {error.format_message()} Try --help.", file=sys.stderr)
            sys.exit(getattr(error, "exit_code", 2))
        raise
