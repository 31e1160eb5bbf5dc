"""Arrays for building results: small ones in memory, large ones in files that go away at the end."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

IN_MEMORY = 16 * 2**20
_FILL = 8 * 2**20
_PREFIX = "import-scratch-"
_STALE_SECONDS = 86_400


class Scratch:
    """A folder of arrays, removed at the end of the block."""

    def __init__(self, data_dir: Path) -> None:
        data_dir.mkdir(parents=True, exist_ok=True)
        _sweep(data_dir)
        self._folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{socket.gethostname()}-{os.getpid()}-", dir=data_dir))
        self._count = 0

    def __enter__(self) -> Scratch:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def array(self, shape: Sequence[int], dtype: Any, fill: Any = 0) -> npt.NDArray[Any]:
        """An array of ``fill``, in a file when it is large.

        Raises:
            OSError: no room on the disk; it is asked for here, since a mapped page that cannot be written kills the process.
        """
        size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        if size <= IN_MEMORY:
            return np.full(shape, fill, dtype)
        self._count += 1
        path = self._folder / f"{self._count}.bin"
        part = np.full(_FILL // np.dtype(dtype).itemsize, fill, dtype).tobytes()
        with path.open("wb") as file:
            for start in range(0, size, len(part)):
                file.write(part[: min(len(part), size - start)])
        return np.memmap(path, dtype, "r+", shape=tuple(shape))


def _sweep(data_dir: Path) -> None:
    """Remove what a killed import left: of processes of this machine that are gone, and whatever is older than a day."""
    here = f"{_PREFIX}{socket.gethostname()}-"
    for folder in data_dir.glob(f"{_PREFIX}*"):
        pid = folder.name.removeprefix(here).partition("-")[0]
        try:
            gone = folder.name.startswith(here) and not _alive(int(pid))
            if gone or folder.stat().st_mtime < time.time() - _STALE_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)
        except (OSError, ValueError):  # another process was faster, or it is not one of these folders
            continue


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True
