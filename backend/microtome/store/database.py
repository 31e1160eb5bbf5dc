"""Opening, migrating and talking to the database."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import SQLAlchemyError

from microtome.core.settings import Settings
from microtome.store.blobs import Blobs

MIGRATIONS = Path(__file__).parent / "migrations"


class Store:
    """One database with its folder of blobs. Threads may share it."""

    def __init__(self, url: str, data_dir: Path) -> None:
        self.data_dir = data_dir.absolute()
        self.sqlite = make_url(url).get_backend_name() == "sqlite"
        self.engine = _sqlite(url) if self.sqlite else _postgres(url)
        self.blobs = Blobs(self)
        self.committed: set[Callable[[str], None]] = set()  # called with what :meth:`after_commit` was given

    @property
    def dialect(self) -> str:
        return "sqlite" if self.sqlite else "postgresql"

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A consistent view for reading."""
        with self.engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self, lock: str | None = None) -> Iterator[Connection]:
        """One transaction. SQLite takes its writer lock at once, so that what was read inside stays true.

        Args:
            lock: on PostgreSQL, transactions with the same name follow one another (SQLite has one writer anyway).
        """
        with self.engine.connect().execution_options(immediate=True) as connection, connection.begin():
            if lock is not None and not self.sqlite:
                connection.execute(text("SELECT pg_advisory_xact_lock(:n)"), {"n": zlib.crc32(lock.encode())})
            connection.info["said"] = said = set[str]()
            yield connection
        for what in said:
            for call in list(self.committed):
                call(what)

    def after_commit(self, connection: Connection, what: str) -> None:
        """Tell this process of something once the transaction of :meth:`write` is committed."""
        said = connection.info.get("said")
        if said is not None:
            said.add(what)

    def migrate(self) -> None:
        """Bring the schema to the newest version; several processes may call it at once."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        with self.write(lock="migrate") as connection:
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def ready(self) -> bool:
        """True if the database answers and has the newest schema."""
        try:
            with self.read() as connection:
                now = MigrationContext.configure(connection).get_current_revision()
        except SQLAlchemyError:
            return False
        return now == ScriptDirectory.from_config(_config()).get_current_head()

    def close(self) -> None:
        self.engine.dispose()


def open_store(settings: Settings, *, migrate: bool = True) -> Store:
    """The store of these settings, migrated."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    store = Store(settings.database, settings.data_dir)
    if migrate:
        store.migrate()
    return store


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


def _sqlite(url: str) -> Engine:
    engine = create_engine(url, connect_args={"check_same_thread": False, "timeout": 30}, pool_size=20, max_overflow=40)

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, record: Any) -> None:
        # Transactions are begun by the listener below; the driver's own rule would begin them only at the first write.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (
            "journal_mode=WAL", "foreign_keys=ON", "busy_timeout=30000", "synchronous=NORMAL", "cache_size=-65536",
        ):  # fmt: skip
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        immediate = connection.get_execution_options().get("immediate", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return engine


def _postgres(url: str) -> Engine:
    return create_engine(url, pool_size=10, max_overflow=30, pool_pre_ping=True)
