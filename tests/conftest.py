"""Fixtures that several rooms share: settings in a fresh folder, a store on each database, an engine with fakes, a client."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from microtome.core.settings import Settings
from tests import postgres


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    """A command line that runs in this process sets up its logging; the next test has its own again."""
    yield
    structlog.reset_defaults()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of an empty installation."""
    return Settings(data_dir=tmp_path / "data", inline=True, source_roots=[tmp_path])


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """A PostgreSQL server of our own; yields the start of its URLs."""
    if (reason := postgres.missing()) is not None:
        pytest.skip(reason)
    with postgres.server() as url:
        yield url


@pytest.fixture
def postgres_url(postgres_server: str) -> str:
    """An empty database."""
    return postgres.new_database(postgres_server, f"t{uuid.uuid4().hex[:12]}")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def any_settings(request: pytest.FixtureRequest, settings: Settings) -> Settings:
    """Settings with each of the two databases."""
    if request.param == "postgresql":
        return settings.model_copy(update={"database_url": request.getfixturevalue("postgres_url")})
    return settings


@pytest.fixture
def any_store(any_settings: Settings) -> Iterator[Any]:
    from microtome.store import open_store

    store = open_store(any_settings)
    yield store
    store.close()


@pytest.fixture
def make_engine(tmp_path: Path) -> Iterator[Any]:
    """Engines with fakes; all are closed at the end."""
    from microtome.engine import Engine
    from microtome.engine.manifest import ManifestReader
    from tests.fakes import MANIFEST, FakeReader, FakeWorkshop

    made: list[Engine] = []

    def make(settings: Settings, executor: Any = "inline", **more: Any) -> Engine:
        packaged = tmp_path / "manifest.json"
        packaged.write_text(json.dumps(MANIFEST))
        engine = Engine(
            settings, executor=executor, workshop=FakeWorkshop(), reader=FakeReader(),
            manifests=ManifestReader(settings.data_dir, packaged), **more,
        )  # fmt: skip
        made.append(engine)
        return engine

    yield make
    for engine in made:
        engine.stop()
        engine.store.close()


@pytest.fixture
def engine(settings: Settings, make_engine: Any) -> Any:
    return make_engine(settings)


@pytest.fixture
def any_engine(any_settings: Settings, make_engine: Any) -> Any:
    return make_engine(any_settings)


@pytest.fixture
def ready(engine: Any) -> Any:
    """An engine with a model 'fake' and a probe set 'fake-probe'."""
    engine.add_source("add-model", "builtin:fake")
    engine.add_source("add-probe", "builtin:fake-probe")
    return engine


@pytest.fixture
def client(settings: Settings, ready: Any) -> Iterator[Any]:
    """A browser profile of an application with fakes and a dissected model."""
    from fastapi.testclient import TestClient

    from microtome.api.app import create_app

    ready.submit("dissection", {"model": "fake", "probe": "fake-probe"})
    ready.submit("unit-map", {"model": "fake", "probe": "fake-probe"})
    app = create_app(settings, engine=ready)
    with TestClient(app, base_url="http://127.0.0.1:8000", raise_server_exceptions=False) as client:
        yield client
