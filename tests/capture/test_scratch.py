"""Arrays that grow with the examples: some in memory, the others in files, all gone when nobody holds them."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from microtome.capture import scratch
from microtome.core.errors import DiskFull
from microtome.core.settings import settings
from tests import micro
from tests.capture.test_taken import dissect, same


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    monkeypatch.setenv("MICROTOME_DATA_DIR", str(tmp_path))
    settings.cache_clear()
    yield tmp_path
    monkeypatch.undo()
    settings.cache_clear()


def mapped(array: np.ndarray) -> bool:
    """Whether an array, or what it is a view of, lies in a file."""
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    return base is not None


def test_what_exceeds_the_memory_goes_to_files_until_room_is_free_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "_MEMORY", scratch._used + 1000)
    first = scratch.scratch_array((200,), np.float32)
    second = scratch.scratch_array((200,), np.float32)
    assert not mapped(first)
    assert mapped(second)
    assert not os.listdir(scratch.scratch_folder()), "a scratch file must have no name"
    view = first[10:]
    del first
    assert mapped(scratch.scratch_array((200,), np.float32)), "a view keeps the memory in use"
    del view
    assert not mapped(scratch.scratch_array((200,), np.float32))


def test_a_full_disk_is_said_before_anything_is_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(scratch, "_MEMORY", 0)
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(DiskFull, match="disk is full"):
        scratch.scratch_array((4, 4), np.float32)


def test_a_dissection_in_files_is_that_in_memory_and_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, probe = micro.load("resnet"), micro.probe()
    dissect(model, probe)  # the compiler keeps what it was called with for a while
    gc.collect()
    gc.disable()  # memory must come back at once, not when the collector happens to run
    try:
        used = scratch._used
        in_memory = dissect(model, probe)
        assert scratch._used - used <= sum(result["peaks"].arrays["values"].nbytes for result in in_memory.values())
        monkeypatch.setattr(scratch, "_MEMORY", 0)
        same(in_memory, dissect(model, probe))
    finally:
        gc.enable()
