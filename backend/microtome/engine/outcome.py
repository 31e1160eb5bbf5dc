"""How a run ended, in words for people: what happened, with which value, and what to do."""

from __future__ import annotations

import errno
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import structlog

from microtome.core.errors import DiskFull, MicrotomeError, RunCancelled
from microtome.core.machine import free_disk_bytes

log = structlog.get_logger("microtome.engine")
#: No space, quota used up, file larger than allowed.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_DATABASE_FULL = ("database or disk is full", "no space left on device", "could not extend file")


def columns(error: BaseException | None, method: str, data_dir: Path) -> dict[str, Any]:
    """Columns of the run that say how it ended.

    Args:
        error: what was raised, None if it is done.
    """
    if error is None:
        return {"state": "done", "error": None}
    if isinstance(error, RunCancelled):
        return {"state": "cancelled"}
    if is_disk_full(error):
        error = disk_full(error, data_dir)
    if isinstance(error, MicrotomeError):
        return {"state": "failed", "error": {"title": error.title, "detail": error.detail, "field": error.field}}
    if is_out_of_memory(error):
        detail = (
            "There was not enough memory, even for one image at a time. Use fewer layers or a smaller model, lower "
            "MICROTOME_MODEL_BYTES, or run where there is more memory."
        )
        return {"state": "failed", "error": {"title": "Out of memory", "detail": detail}}
    log.error("run failed", method=method, trace="".join(traceback.format_exception(error, limit=-20)))
    text = str(error).strip().split("\n")[0][:500]
    detail = f"{method} stopped with {type(error).__name__}: {text}. The worker's log has the rest."
    return {"state": "failed", "error": {"title": "The method failed", "detail": detail}}


def is_out_of_memory(error: BaseException) -> bool:
    from microtome.capture.run import is_out_of_memory as judge  # brings torch

    return any(judge(e) for e in _chain(error))


def is_disk_full(error: BaseException) -> bool:
    """True if writing failed for lack of room, in a file or in the database, however deep the reason lies."""
    return any(
        isinstance(e, DiskFull) or (isinstance(e, OSError) and e.errno in FULL) or any(words in str(e).lower() for words in _DATABASE_FULL)
        for e in _chain(error)
    )


def disk_full(error: BaseException, data_dir: Path) -> DiskFull:
    """The error that says so, naming the place and how much is free there."""
    if isinstance(error, DiskFull):
        return error
    named = next((e.filename for e in _chain(error) if isinstance(e, OSError) and isinstance(e.filename, str)), None)
    place = Path(named).parent if named else data_dir
    try:
        free = f"; {free_disk_bytes(place) / 1e6:,.0f} MB are free there"
    except OSError:
        free = ""
    return DiskFull(
        f"The disk of {place} has no room for what this run writes{free}. What was complete is kept, nothing partial is. Free some "
        "space, lower MICROTOME_CACHE_BYTES, or point MICROTOME_DATA_DIR to a larger disk; then run it again."
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        found = waiting.pop()
        if found is None or id(found) in seen:
            continue
        seen.add(id(found))
        yield found
        waiting += [found.__cause__, found.__context__, getattr(found, "orig", None)]
