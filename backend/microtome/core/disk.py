"""Disks: how much is free, and whether an error means that one is full."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

from microtome.core.errors import DiskFull

#: No space, quota used up, file larger than the process may write.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_DATABASE_FULL = ("database or disk is full", "no space left on device", "could not extend file")


def free_bytes(path: Path) -> int:
    """Bytes that may still be written where ``path`` is, or would be."""
    while not path.exists() and path != path.parent:
        path = path.parent
    stat = os.statvfs(path)
    return stat.f_bavail * stat.f_frsize


def is_disk_full(error: BaseException) -> bool:
    """True if writing failed for lack of room, in a file or in the database, however deep the reason lies."""
    return any(
        isinstance(e, DiskFull) or (isinstance(e, OSError) and e.errno in _FULL) or any(words in str(e).lower() for words in _DATABASE_FULL)
        for e in causes(error)
    )


def disk_full(error: BaseException, data_dir: Path) -> DiskFull:
    """The error that says so, naming the place and how much is free there.

    Args:
        data_dir: the place, where ``error`` names no file.
    """
    if isinstance(error, DiskFull):
        return error
    named = next((e.filename for e in causes(error) if isinstance(e, OSError) and isinstance(e.filename, str)), None)
    place = Path(named).parent if named else data_dir.absolute()
    try:
        free = f" ({free_bytes(place) / 1e6:,.1f} MB are free)"
    except OSError:
        free = ""
    return DiskFull(
        f"The disk of {place} has no room for what has to be written{free}. What was complete is kept, nothing partial is. Free "
        "some space, lower MICROTOME_CACHE_BYTES, or point MICROTOME_DATA_DIR to a larger disk; then try again."
    )


def causes(error: BaseException) -> Iterator[BaseException]:
    """``error``, what it was raised from or in the course of, and what a database driver said."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        found = waiting.pop()
        if found is None or id(found) in seen:
            continue
        seen.add(id(found))
        yield found
        waiting += [found.__cause__, found.__context__, getattr(found, "orig", None)]
