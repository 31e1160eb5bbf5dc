"""How many threads compute."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from microtome.core.settings import Settings


@pytest.mark.parametrize(
    ("asked", "given", "expected"), [(3, "1", 3), (0, "2", 2), (0, None, os.cpu_count()), (0, "", os.cpu_count()), (0, "0", os.cpu_count())]
)
def test_threads_are_those_asked_for_or_those_of_openmp_or_all_cores(
    asked: int, given: str | None, expected: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if given is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", given)
    assert Settings(data_dir=tmp_path, threads=asked).cores == expected
