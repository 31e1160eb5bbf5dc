"""An installation in a folder of its own, for imports: the real readers, no network of its own to run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from microtome.core import settings as module
from microtome.core.settings import Settings

Lab = Callable[..., Any]


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """Makes desks (``desk.engine``, ``desk.store``), each on an empty data folder; all are closed at the end."""
    from microtome.api.desk import open_desk
    from microtome.engine import Engine

    made: list[Any] = []

    def make(name: str = "data", **values: Any) -> Any:
        # the worker's probe sets read the settings of the process
        monkeypatch.setenv("MICROTOME_DATA_DIR", str(tmp_path / name))
        module.settings.cache_clear()
        settings = Settings(data_dir=tmp_path / name, inline=True, source_roots=[tmp_path], **values)
        made.append(open_desk(settings, Engine(settings, executor="inline")))
        return made[-1]

    yield make
    for desk in made:
        desk.engine.stop()
        desk.store.close()
    module.settings.cache_clear()


def imported(desk: Any, folder: Path) -> Any:
    """Import a folder that must be good."""
    run = desk.engine.import_folder(str(folder), trusted=True)
    assert run.state == "done", run.error
    return run


def refused(desk: Any, folder: Path) -> str:
    """The reason for which a folder is not imported; nothing of it may be visible."""
    from microtome.core.errors import MicrotomeError

    try:
        run = desk.engine.import_folder(str(folder), trusted=True)
    except MicrotomeError as error:
        reason = error.detail
    else:
        assert run.state == "failed"
        reason = run.error["detail"]
    assert_nothing(desk)
    return reason


def assert_nothing(desk: Any) -> None:
    from sqlalchemy import func, select

    from microtome.store import tables as t

    with desk.store.read() as connection:
        counts = {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar() for table in (t.result, t.model, t.probe_set)
        }
    assert not any(counts.values()), counts
    assert not list(desk.store.data_dir.glob("import-scratch-*"))
