"""How much memory something takes while it runs, beyond what is held at rest; where the system can say."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

_SELF = Path("/proc/self")


class Peak:
    """Attributes: megabytes: filled in at the end of the block; None where the system cannot say."""

    megabytes: float | None = None


@contextmanager
def peak_of(device: torch.device) -> Iterator[Peak]:
    """Peak of the block above what was held before it, on a CUDA device or, by Linux's high-water mark, of this process.

    What the process has freed and yet keeps for later use is held already: its use again is not seen. Nor is it seen whose memory it is:
    what other threads take meanwhile counts.
    """
    peak = Peak()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        rest = torch.cuda.memory_allocated(device)
        yield peak
        torch.cuda.synchronize(device)
        peak.megabytes = (torch.cuda.max_memory_allocated(device) - rest) / 2**20
        return
    before = _at_rest() if device.type == "cpu" else None
    yield peak
    after = _kilobytes("VmHWM")
    if before is not None and after is not None:
        peak.megabytes = max(0.0, after - before) / 1024


def _at_rest() -> float | None:
    """Resident memory in kB, with the high-water mark set back to it; None where that cannot be done.

    What the allocator keeps for later is given back first, where it can be: else its use again would not be seen.
    """
    if not (_SELF / "clear_refs").exists():
        return None
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc
    if trim is not None:
        trim(0)
    try:
        (_SELF / "clear_refs").write_text("5")
    except OSError:
        return None
    return _kilobytes("VmRSS")


def _kilobytes(name: str) -> float | None:
    try:
        found = re.search(rf"^{name}:\s+(\d+) kB", (_SELF / "status").read_text(), re.MULTILINE)
    except OSError:
        return None
    return float(found[1]) if found else None
