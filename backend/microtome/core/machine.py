"""What the machine has to give."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

_CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
_UNKNOWN = 8 * 2**30  # where the system does not say
#: Options of glibc's mallopt, and the size above which arrays still get mappings of their own.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX, _LARGE = -1, -3, -8, 2**28


def memory_bytes() -> int:
    """Memory this process may use: of the machine, or of its container where that is less."""
    try:
        physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        physical = _UNKNOWN
    for path in _CGROUP_LIMITS:
        try:
            text = path.read_text("ascii").strip()
        except OSError:
            continue
        if text.isdigit():  # "max" is no limit
            physical = min(physical, int(text))
    return physical


def keep_freed_memory() -> bool:
    """Have the C library keep large arrays it gets back, for the next ones, instead of returning them to the system at once.

    A forward pass allocates and frees the same large arrays again and again; with glibc's defaults the system hands out and
    clears their pages anew each time, which can take a quarter of the time of a pass. :func:`return_memory` gives them back.
    Threads share one arena, because those of other arenas could not grow beyond 64 MiB. False where the library is not glibc.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        return False
    settings = ((_MMAP_THRESHOLD, _LARGE), (_TRIM_THRESHOLD, 2**31 - 1), (_ARENA_MAX, 1))
    return all([mallopt(what, value) == 1 for what, value in settings])


def return_memory() -> None:
    """Return memory to the system that the process has freed."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
