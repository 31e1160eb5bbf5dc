"""Activations of a pass, kept so that recorders which need finished thresholds can read them without a second forward pass."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from microtome.core.errors import Unavailable
from microtome.core.settings import settings
from microtome.models.layers import Layer

FloatArray = npt.NDArray[np.float32]


def spool_bytes(layers: Sequence[Layer], examples: int) -> int:
    """Bytes that keeping float32 activations of ``layers`` takes."""
    return 4 * examples * sum(x.units * x.height * x.width for x in layers)


def memory_budget() -> int:
    """Bytes of activations that may stay in memory."""
    if settings().spool_bytes:
        return settings().spool_bytes
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4
    except (ValueError, OSError, AttributeError):
        return 2 * 2**30


class Spool:
    """float32 [examples, units, height, width] per layer: in memory within the budget, else in one unlinked file per layer.

    Use as a context manager: leaving it frees memory and disk.
    """

    def __init__(self, layers: Sequence[Layer], examples: int) -> None:
        self.bytes = spool_bytes(layers, examples)
        self.on_disk = self.bytes > memory_budget()
        self._arrays: dict[str, FloatArray] = {}
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        if self.on_disk:
            root = settings().data_dir / "spool"
            root.mkdir(parents=True, exist_ok=True)
            stat = os.statvfs(root)
            free = stat.f_bavail * stat.f_frsize
            if self.bytes > 0.9 * free:
                raise Unavailable(
                    f"The activations of this pass need {self.bytes / 1e9:.1f} GB; {free / 1e9:.1f} GB are free in {root}. "
                    "Choose fewer layers, limit the images with max_examples, or point MICROTOME_DATA_DIR to a larger disk."
                )
            self._folder = tempfile.TemporaryDirectory(dir=root)
        for number, layer in enumerate(layers):
            shape = (examples, layer.units, layer.height, layer.width)
            self._arrays[layer.name] = (
                np.lib.format.open_memmap(Path(self._folder.name) / f"{number}.npy", "w+", np.float32, shape)
                if self._folder
                else np.empty(shape, np.float32)
            )

    def write(self, layer: str, start: int, values: FloatArray) -> None:
        self._arrays[layer][start : start + len(values)] = values

    def __getitem__(self, layer: str) -> FloatArray:
        return self._arrays[layer]

    def drop(self, layer: str) -> None:
        """Free a layer that is finished."""
        self._arrays.pop(layer, None)

    def chunks(self, layer: str, size: int) -> Iterator[tuple[int, FloatArray]]:
        """Consecutive examples: (first index, float32 [n, units, height, width])."""
        array = self._arrays[layer]
        for start in range(0, len(array), size):
            yield start, array[start : start + size]

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: Any) -> None:
        self._arrays.clear()
        if self._folder:
            self._folder.cleanup()
