"""Arrays that grow with the examples: in unlinked files of the data folder, mapped, so that memory need not grow with them.

The system keeps what is hot in memory and writes out the rest; a process that dies leaves nothing behind.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from microtome.core.disk import free_bytes, is_disk_full
from microtome.core.errors import DiskFull
from microtome.core.settings import settings

_MOST = 32 * 2**30


def scratch_folder() -> Path:
    folder = settings().data_dir / "scratch"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def scratch_budget() -> int:
    """Bytes of scratch files that may exist at a time: as set, else a quarter of the free disk and at most 32 GiB."""
    return settings().scratch_bytes or min(_MOST, free_bytes(settings().data_dir) // 4)


def scratch_array(shape: tuple[int, ...], dtype: Any) -> npt.NDArray[Any]:
    """A zeroed array in a file that has no name and vanishes with the array.

    Raises:
        DiskFull: there is no room. Space is reserved now: writing to a mapped file on a full disk would kill the process.
    """
    count = int(np.prod(shape))
    size = count * np.dtype(dtype).itemsize
    if size == 0:
        return np.zeros(shape, dtype)
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
        return np.memmap(file, dtype, "r+", shape=shape)
