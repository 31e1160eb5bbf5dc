"""Putting the commands together, and turning errors into one line and an exit status.

Exit status: 0 done, 1 failed, 2 wrong usage or unknown name, 130 cancelled.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings

import structlog
import typer

from microtome import __version__
from microtome.cli import admin, export, findings, hypotheses, imports, labels, methods, run, serve, sources
from microtome.core.errors import InvalidInput, MicrotomeError, NotFound, RunCancelled

app = typer.Typer(
    name="microtome",
    help="Look inside neural networks, together.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(serve.demo)
app.command("serve")(serve.serve)
app.add_typer(sources.models_app, name="models")
app.add_typer(sources.probes_app, name="probes")
app.command("methods")(methods.methods)
app.command("run")(run.run)
app.command("export")(export.export)
app.command("import")(imports.import_results)
app.add_typer(labels.labels_app, name="labels")
app.add_typer(findings.findings_app, name="findings")
app.add_typer(hypotheses.hypotheses_app, name="hypotheses")
app.add_typer(hypotheses.studies_app, name="studies")
app.add_typer(admin.app, name="admin")


@app.callback(invoke_without_command=True)
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
    try:
        app(standalone_mode=False)
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
