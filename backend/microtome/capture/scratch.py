"""Arrays that grow with the examples: a fixed amount of them in memory, all others in unlinked files of the data folder, mapped.

Pages of a new file cost several times what pages cost that the process has used before, so small questions stay in memory. For
large ones memory does not grow with the examples: the system keeps what is hot of the files and writes out the rest. A process
that dies leaves nothing behind.
"""

from __future__ import annotations

import os
import tempfile
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from microtome.core.disk import free_bytes, is_disk_full
from microtome.core.errors import DiskFull
from microtome.core.settings import settings

_MOST = 32 * 2**30
#: Bytes of scratch arrays of this process that are in memory, at most.
_MEMORY = 256 * 2**20
_lock = threading.RLock()  # a finaliser may run in the middle of its own thread
_used = 0


def scratch_folder() -> Path:
    folder = settings().data_dir / "scratch"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def scratch_budget() -> int:
    """Bytes of scratch files that may exist at a time: as set, else a quarter of the free disk and at most 32 GiB."""
    return settings().scratch_bytes or min(_MOST, free_bytes(settings().data_dir) // 4)


def scratch_array(shape: tuple[int, ...], dtype: Any) -> npt.NDArray[Any]:
    """An array with undefined contents, in memory or in a file that has no name and vanishes with the array.

    Raises:
        DiskFull: there is no room. Space is reserved now: writing to a mapped file on a full disk would kill the process.
    """
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    if not _take(size):
        return _mapped(shape, dtype, size)
    array = np.empty(shape, dtype)
    weakref.finalize(array, _take, -size)
    return array


def _take(size: int) -> bool:
    """Count bytes as used, or as free again where negative; False if they are more than memory may hold."""
    global _used
    with _lock:
        if _used + size > _MEMORY:
            return False
        _used += size
        return True


def _mapped(shape: tuple[int, ...], dtype: Any, size: int) -> npt.NDArray[Any]:
    folder = scratch_folder()
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            if not is_disk_full(error):
                raise
            raise DiskFull(
                f"The activations of this pass need {size / 1e9:.1f} GB in {folder}, and the disk is full. Free some space, choose "
                "fewer layers, limit the images with max_examples, or point MICROTOME_DATA_DIR to a larger disk."
            ) from None
        return np.asarray(np.memmap(file, dtype, "r+", shape=shape))
