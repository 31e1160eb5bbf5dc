"""One application for all tests that change nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Argon2id with the least that it takes; the real parameters are looked at in tests/collab/test_accounts.py."""
    from argon2 import PasswordHasher

    from microtome.collab.accounts import passwords

    cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(passwords, "_hasher", cheap)
    monkeypatch.setattr(passwords, "_NOBODY", cheap.hash("nobody"))


@pytest.fixture
def team_app(any_settings: Any, make_engine: Any, cheap_passwords: None) -> Any:
    """An application in team mode, with a model and a probe set; on each database."""
    from microtome.api.app import create_app

    settings = any_settings.model_copy(update={"mode": "team"})
    engine = make_engine(settings)
    engine.add_source("add-model", "builtin:fake")
    engine.add_source("add-probe", "builtin:fake-probe")
    return create_app(settings, engine=engine)


@pytest.fixture(scope="module")
def shared_client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from fastapi.testclient import TestClient

    from microtome.api.app import create_app
    from microtome.core.settings import Settings
    from microtome.engine import Engine
    from microtome.engine.manifest import ManifestReader
    from tests.fakes import MANIFEST, FakeReader, FakeWorkshop

    folder: Path = tmp_path_factory.mktemp("shared")
    (folder / "manifest.json").write_text(json.dumps(MANIFEST))
    settings = Settings(data_dir=folder / "data", inline=True, source_roots=[folder])
    engine = Engine(
        settings, executor="inline", workshop=FakeWorkshop(), reader=FakeReader(),
        manifests=ManifestReader(settings.data_dir, folder / "manifest.json"),
    )  # fmt: skip
    engine.add_source("add-model", "builtin:fake")
    engine.add_source("add-probe", "builtin:fake-probe")
    engine.submit("unit-map", {"model": "fake", "probe": "fake-probe"})
    with TestClient(create_app(settings, engine=engine), base_url="http://127.0.0.1:8000", raise_server_exceptions=False) as client:
        yield client
    engine.store.close()
