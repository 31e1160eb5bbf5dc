"""One file that holds everything, written while people work, and its way back into an empty place.

The file is a gzipped tar: ``backup.json``, ``microtome.db`` (SQLite, whatever the installation has), the arrays in files,
uploads, and the secret that cookies are signed with. The database in it is of one moment: SQLite's own backup, or one
REPEATABLE READ transaction over all tables of PostgreSQL. What was acknowledged before that moment is in it. Arrays in files
never change and are written before the rows that name them; results whose arrays were evicted while the file was written
are left out, since they can be computed again and nothing that people wrote depends on them: what shares pin is never evicted.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from sqlalchemy import Connection, Engine, Table, create_engine, delete, func, insert, inspect, select, text, update

from microtome import __version__
from microtome.core.errors import Conflict, InvalidInput, NotFound
from microtome.core.settings import Settings
from microtome.store import tables as t
from microtome.store.database import Store, open_store
from microtome.store.times import now

FORMAT = 1
FOLDERS = ("blobs", "uploads")
ROWS = 2000  # of one table in memory
LARGEST = 2**42  # bytes of one member


@dataclass(frozen=True, slots=True)
class Copied:
    """What a backup or a restore went through."""

    rows: int
    files: int
    bytes: int


def back_up(settings: Settings, target: Path) -> Copied:
    """Write the file; it is there whole or not at all, and readable by its owner only.

    Raises:
        Conflict: there is a file of that name. NotFound: there is nothing to copy.
    """
    if target.exists():
        raise Conflict(f"{target} exists. Choose another name; a backup is never overwritten.", field="file")
    if not settings.data_dir.is_dir():
        raise NotFound(f"There is no data folder {settings.data_dir}. Name it with --data.", field="data")
    store = open_store(settings)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=".backup-")  # mode 0600
    try:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".backup-") as folder:
            database = Path(folder) / "microtome.db"
            at = now()
            rows = _copy_database(store, database)
            with os.fdopen(handle, "wb") as raw, tarfile.open(fileobj=raw, mode="w:gz", compresslevel=1, dereference=True) as tar:
                # what a link leads to is written, since a restore takes plain files only
                about = {"format": FORMAT, "version": __version__, "made": at, "database": store.dialect, "rows": rows}
                (Path(folder) / "backup.json").write_text(json.dumps(about))
                tar.add(Path(folder) / "backup.json", "backup.json")
                files = _add_files(store, tar, database)
                tar.add(database, "microtome.db")
                raw.flush()
            with open(name, "rb") as written:
                os.fsync(written.fileno())
        os.link(name, target)  # unlike a rename, this refuses to replace a file that came meanwhile
        Path(name).unlink()
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    finally:
        store.close()
    return Copied(rows, files, target.stat().st_size)


def restore(settings: Settings, source: Path) -> Copied:
    """Put a backup into an empty place. Nobody is signed in there, and links that were open do not work any more.

    Raises:
        Conflict: something is there already. InvalidInput: it is no backup, or one of a newer version. NotFound: there is no such file.
    """
    if not source.is_file():
        raise NotFound(f"There is no file {source}.", field="file")
    if settings.data_dir.exists() and any(settings.data_dir.iterdir()):
        raise Conflict(f"{settings.data_dir} is not empty. Restore into a folder that is not there yet.", field="data")
    if settings.database_url is not None and not _sqlite_file(settings):
        _check_empty(settings)
    settings.data_dir.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=settings.data_dir.parent, prefix=".restore-") as folder:
        files = _extract(source, Path(folder))
        old = Path(folder) / "microtome.db"
        rows = json.loads((Path(folder) / "backup.json").read_text())["rows"]
        whole = Path(folder) / "data"
        whole.mkdir(mode=0o700)
        for name in (*FOLDERS, "secret"):
            if (Path(folder) / name).exists():
                os.replace(Path(folder) / name, whole / name)
        _shut(old, whole)
        if _sqlite_file(settings):
            os.replace(old, whole / "microtome.db")
        else:
            _fill(settings, old, whole)
        if settings.data_dir.exists():
            settings.data_dir.rmdir()
        os.replace(whole, settings.data_dir)
    open_store(settings).close()  # it can be opened
    return Copied(rows, files, source.stat().st_size)


def _sqlite_file(settings: Settings) -> bool:
    return settings.database_url is None


def _copy_database(store: Store, target: Path) -> int:
    if store.sqlite:
        source = sqlite3.connect(str(store.engine.url.database), timeout=60)
        copy = sqlite3.connect(target)
        with contextlib.closing(source), contextlib.closing(copy):
            source.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")
        with _opened(target) as engine, engine.connect() as connection:
            return sum(connection.execute(select(func.count()).select_from(table)).scalar_one() for table in t.metadata.sorted_tables)
    other = Store(f"sqlite:///{target}", target.parent / "made")
    other.migrate()
    try:
        isolated = store.engine.connect().execution_options(isolation_level="REPEATABLE READ", stream_results=True)
        with isolated as source_connection, other.write() as connection:
            connection.execute(text("PRAGMA defer_foreign_keys=ON"))
            return _copy_rows(source_connection, connection)
    finally:
        other.close()
        with contextlib.closing(sqlite3.connect(target)) as plain:
            plain.execute("PRAGMA journal_mode=DELETE")


def _copy_rows(source: Connection, target: Connection) -> int:
    """All rows of all tables, those that are referred to first."""
    count = 0
    for table in t.metadata.sorted_tables:
        target.execute(delete(table))  # what a migration put there
        for rows in source.execute(select(table)).mappings().partitions(ROWS):
            target.execute(insert(table), [dict(row) for row in rows])
            count += len(rows)
    return count


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Engine]:
    engine = create_engine(f"sqlite:///{path}")
    try:
        yield engine
    finally:
        engine.dispose()


def _add_files(store: Store, tar: tarfile.TarFile, database: Path) -> int:
    """Files that the copied database names, the uploads, the secret. Returns how many there are."""
    count = 0
    with _opened(database) as engine, engine.begin() as connection:
        gone = []
        for sha256 in connection.execute(select(t.blob.c.sha256).where(t.blob.c.data.is_(None))).scalars().all():
            try:
                tar.add(store.blobs.path(sha256), f"blobs/{sha256[:2]}/{sha256}")
                count += 1
            except FileNotFoundError:
                gone.append(sha256)
        _forget(connection, gone)
    uploads = store.data_dir / "uploads"
    for path in sorted(p for p in uploads.rglob("*") if p.is_file()) if uploads.is_dir() else []:
        with contextlib.suppress(FileNotFoundError):
            tar.add(path, f"uploads/{path.relative_to(uploads).as_posix()}")
            count += 1
    if (store.data_dir / "secret").is_file():
        tar.add(store.data_dir / "secret", "secret")
    return count


def _forget(connection: Connection, gone: list[str]) -> None:
    """Results whose arrays are not there any more."""
    for sha256 in gone:
        keys = select(t.result_blob.c.key).where(t.result_blob.c.sha256 == sha256).scalar_subquery()
        for table in (t.result_item, t.result_blob):
            found = connection.execute(select(table.c.key).where(table.c.key.in_(keys))).scalars().all()
            connection.execute(delete(table).where(table.c.key.in_(found)))
            connection.execute(delete(t.result).where(t.result.c.key.in_(found)))
        connection.execute(delete(t.blob).where(t.blob.c.sha256 == sha256))


def _extract(source: Path, folder: Path) -> int:
    """Unpack what a backup may hold and nothing else: plain files of known names, no links, nothing outside."""
    count, names = 0, set()
    try:
        with tarfile.open(source, "r:gz") as tar:
            for member in tar:
                path = PurePosixPath(member.name)
                known = member.name in ("backup.json", "microtome.db", "secret") or (len(path.parts) > 1 and path.parts[0] in FOLDERS)
                if not member.isreg() or path.is_absolute() or ".." in path.parts or not known or member.size > LARGEST:
                    raise InvalidInput(f"'{member.name[:100]}' does not belong into a backup. Nothing was restored.", field="file")
                target = folder / path
                target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                content = tar.extractfile(member)
                assert content is not None
                with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                    while chunk := content.read(2**20):
                        file.write(chunk)
                count += len(path.parts) > 1
                names.add(member.name)
        about = json.loads((folder / "backup.json").read_text())
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        raise InvalidInput(f"{source} cannot be read as a backup: {str(error)[:200]}. Nothing was restored.", field="file") from None
    if about.get("format") != FORMAT or "microtome.db" not in names:
        raise InvalidInput(f"{source} was written by a newer version ({about.get('version')}). Update first.", field="file")
    return count


def _check_empty(settings: Settings) -> None:
    store = Store(settings.database, settings.data_dir)
    try:
        if inspect(store.engine).get_table_names():
            raise Conflict("The database is not empty. Make a new one and name it in MICROTOME_DATABASE_URL.", field="database_url")
    finally:
        store.close()


def _shut(old: Path, folder: Path) -> None:
    """Bring the file up to date, and end what opens it: sessions ended and links used since it was written must not work again."""
    store = Store(f"sqlite:///{old}", folder)
    try:
        store.migrate()
        with store.write() as connection:
            connection.execute(delete(t.session))
            connection.execute(delete(t.failure))
            connection.execute(delete(t.presence))
            c = t.invitation.c
            connection.execute(update(t.invitation).where(c.used.is_(None), c.revoked.is_(None)).values(revoked=now()))
    finally:
        store.close()
    with contextlib.closing(sqlite3.connect(old)) as plain:
        plain.execute("PRAGMA journal_mode=DELETE")


def _fill(settings: Settings, old: Path, folder: Path) -> None:
    """Rows of the file into an empty database of another kind."""
    migrated = Store(f"sqlite:///{old}", folder)
    target = Store(settings.database, folder)
    try:
        target.migrate()
        with migrated.read() as source, target.write() as connection:
            _copy_rows(source, connection)
            for table in t.metadata.sorted_tables:
                _go_on_counting(connection, table)
    finally:
        migrated.close()
        target.close()


def _go_on_counting(connection: Connection, table: Table) -> None:
    """New rows get numbers behind those that were copied."""
    if connection.dialect.name == "sqlite":
        return
    for column in table.columns:
        if column.autoincrement is True:
            name = f'"{table.name}"'
            connection.execute(
                text(f"SELECT setval(pg_get_serial_sequence('{name}', '{column.name}'), (SELECT max({column.name}) FROM {name}))")  # noqa: S608
            )
