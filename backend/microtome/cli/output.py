"""What the command line prints: one JSON document, or tables for people. Progress goes to standard error."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

if TYPE_CHECKING:
    from microtome.engine import Engine


def print_json(document: Any) -> None:
    """The document and nothing else, on standard output."""
    data = orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS)
    sys.stdout.buffer.write(data + b"\n")
    sys.stdout.flush()


def print_table(title: str, columns: list[str], rows: list[list[Any]], note: str = "") -> None:
    """A table for people; numbers right-aligned."""
    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for index, name in enumerate(columns):
        numeric = bool(rows) and all(isinstance(r[index], int | float) and not isinstance(r[index], bool) for r in rows)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(number(v) for v in row))
    console = Console(highlight=False)
    console.print(table)
    if note:
        console.print(note, style="dim")


def number(value: Any) -> str:
    """A value as people read it: grouped integers, at most four significant decimals."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


def size(count: int) -> str:
    """Bytes in the unit that fits."""
    amount = float(count)
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"


@contextmanager
def show_progress(engine: Engine) -> Iterator[None]:
    """A bar on standard error for whatever run is under way; nothing when that is no terminal."""
    if not sys.stderr.isatty():
        yield
        return
    done = threading.Event()
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[what]}"),
        TimeRemainingColumn(), console=Console(stderr=True), transient=True,
    )  # fmt: skip
    task = bar.add_task("waiting", total=None, what="")

    def watch() -> None:
        while not done.wait(0.2):
            running = next(iter(engine.runs.running()), None)
            if running is not None and running.progress:
                state = running.progress
                bar.update(task, description=running.title, completed=state["done"], total=state["total"], what=state["what"])

    thread = threading.Thread(target=watch, daemon=True)
    with bar:
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
