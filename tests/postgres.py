"""A PostgreSQL server of our own on a free loopback port, for tests and benchmarks; nothing of it is left afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BINARIES = Path("/usr/lib/postgresql/15/bin")


def binary(name: str) -> str | None:
    found = BINARIES / name
    return str(found) if found.exists() else shutil.which(name)


def missing() -> str | None:
    """Why no server can be started here; None if one can."""
    if binary("initdb") is None or binary("postgres") is None:
        return "no PostgreSQL server binaries (initdb, postgres) on this machine"
    if os.getuid() == 0 and "postgres" not in {entry.pw_name for entry in pwd.getpwall()}:
        return "PostgreSQL does not run as root, and there is no user 'postgres'"
    return None


@contextmanager
def server() -> Iterator[str]:
    """Yields the start of the server's URLs, without a database name. Writes are not synced to disk (-F)."""
    folder = Path(tempfile.mkdtemp(prefix="microtome-pg-"))
    prefix: list[str] = []
    if os.getuid() == 0:  # PostgreSQL refuses to run as root
        owner = pwd.getpwnam("postgres")
        os.chown(folder, owner.pw_uid, owner.pw_gid)
        prefix = ["runuser", "-u", "postgres", "--"]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data = folder / "data"
    subprocess.run(
        [*prefix, str(binary("initdb")), "-D", str(data), "-U", "microtome", "-A", "trust", "-N"],
        check=True, capture_output=True, cwd=folder,
    )  # fmt: skip
    process = subprocess.Popen(
        [*prefix, str(binary("postgres")), "-D", str(data), "-h", "127.0.0.1", "-p", str(port), "-k", str(folder), "-F"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder,
    )  # fmt: skip
    import psycopg

    for _ in range(100):
        try:
            psycopg.connect(f"host=127.0.0.1 port={port} user=microtome dbname=postgres").close()
            break
        except psycopg.OperationalError:
            time.sleep(0.1)
    try:
        yield f"postgresql+psycopg://microtome@127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


def new_database(server: str, name: str) -> str:
    """An empty database; returns its URL."""
    import psycopg

    plain = server.replace("postgresql+psycopg", "postgresql")
    with psycopg.connect(f"{plain}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")  # type: ignore[call-overload]
    return f"{server}/{name}"
