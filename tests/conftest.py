"""Fixtures that several rooms share: settings in a fresh folder, a store on each database, an engine with fakes, a client."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from microtome.core.settings import Settings

POSTGRES = Path("/usr/lib/postgresql/15/bin")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of an empty installation."""
    return Settings(data_dir=tmp_path / "data", inline=True, source_roots=[tmp_path])


def _postgres_binary(name: str) -> str | None:
    found = POSTGRES / name
    return str(found) if found.exists() else shutil.which(name)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """A PostgreSQL server of our own on a free loopback port; yields the start of its URLs."""
    if _postgres_binary("initdb") is None or _postgres_binary("postgres") is None:
        pytest.skip("no PostgreSQL server binaries (initdb, postgres) on this machine")
    folder = Path(tempfile.mkdtemp(prefix="microtome-pg-"))
    prefix: list[str] = []
    if os.getuid() == 0:  # PostgreSQL refuses to run as root
        try:
            owner = pwd.getpwnam("postgres")
        except KeyError:
            pytest.skip("PostgreSQL does not run as root, and there is no user 'postgres'")
        os.chown(folder, owner.pw_uid, owner.pw_gid)
        prefix = ["runuser", "-u", "postgres", "--"]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data = folder / "data"
    subprocess.run(
        [*prefix, str(_postgres_binary("initdb")), "-D", str(data), "-U", "microtome", "-A", "trust", "-N"],
        check=True, capture_output=True, cwd=folder,
    )  # fmt: skip
    server = subprocess.Popen(
        [*prefix, str(_postgres_binary("postgres")), "-D", str(data), "-h", "127.0.0.1", "-p", str(port), "-k", str(folder), "-F"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder,
    )  # fmt: skip
    url = f"postgresql+psycopg://microtome@127.0.0.1:{port}"
    import psycopg

    for _ in range(100):
        try:
            psycopg.connect(f"host=127.0.0.1 port={port} user=microtome dbname=postgres").close()
            break
        except psycopg.OperationalError:
            time.sleep(0.1)
    yield url
    server.terminate()
    server.wait(20)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres_server: str) -> str:
    """An empty database."""
    import psycopg

    name = f"t{uuid.uuid4().hex[:12]}"
    plain = postgres_server.replace("postgresql+psycopg", "postgresql")
    with psycopg.connect(f"{plain}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")  # type: ignore[call-overload]
    return f"{postgres_server}/{name}"


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
