"""How a run ended, in words for people: what happened, with which value, and what to do."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

import structlog

from microtome.core.disk import causes, disk_full, is_disk_full
from microtome.core.errors import MicrotomeError, RunCancelled

log = structlog.get_logger("microtome.engine")


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

    return any(judge(e) for e in causes(error))
