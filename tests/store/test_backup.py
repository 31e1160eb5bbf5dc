"""Backup while people write, and restore into an empty place, on both databases and from one to the other."""

from __future__ import annotations

import io
import json
import struct
import tarfile
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from microtome.collab.accounts import Accounts
from microtome.collab.annotations import Annotations
from microtome.collab.people import ANYBODY, People, PersonRow
from microtome.core.errors import Conflict, Forbidden, InvalidInput, NotFound
from microtome.core.settings import Settings
from microtome.store import open_store
from microtome.store import tables as t
from microtome.store.backup import back_up, restore
from microtome.store.events import EventRepository

PASSWORD = "four plain words here"
WHERE = {"kind": "note", "model": "fake", "layer": "stage1", "unit": 2}


@pytest.fixture
def lab(any_engine: Any) -> tuple[Any, Annotations, PersonRow]:
    any_engine.add_source("add-model", "builtin:fake")
    any_engine.add_source("add-probe", "builtin:fake-probe")
    any_engine.submit("dissection", {"model": "fake", "probe": "fake-probe"})
    people = People(any_engine.store)
    return any_engine, Annotations(any_engine.store, people, any_engine.events), people.create("Ada")


def everything(settings: Settings) -> dict[str, list[Any]]:
    store = open_store(settings)
    with store.read() as connection:
        found = {table.name: sorted(map(str, connection.execute(select(table)))) for table in t.metadata.sorted_tables}
        # one database writes a float32 with 9 digits, the other as the double that it is kept in
        found["exemplar"] = sorted(
            str((*row[:4], struct.pack("f", row.activation), *row[5:])) for row in connection.execute(select(t.exemplar))
        )
    store.close()
    return found


def test_what_was_acknowledged_before_is_there(lab: Any, any_settings: Settings, tmp_path: Path) -> None:
    engine, notes, ada = lab
    acknowledged: list[str] = []
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            acknowledged.append(notes.create(ada, **WHERE, body="x")["id"])

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        while len(acknowledged) < 20:
            assert any(thread.is_alive() for thread in threads)
        before = list(acknowledged)
        made = back_up(any_settings, tmp_path / "copy.tar.gz")
        after = list(acknowledged)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert made.rows > len(before)
    assert (tmp_path / "copy.tar.gz").stat().st_mode & 0o777 == 0o600

    place = Settings(data_dir=tmp_path / "elsewhere", inline=True)
    restore(place, tmp_path / "copy.tar.gz")
    store = open_store(place)
    people = People(store)
    copy = Annotations(store, people, EventRepository(store))
    kept = {a.id for a in copy.of_units(ANYBODY, "fake")}
    assert set(before) <= kept <= set(acknowledged)
    assert len(kept) <= len(after) + len(threads)
    assert people.key == People(engine.store).key
    with store.read() as connection:
        for row in connection.execute(select(t.blob.c.sha256)).scalars():
            assert store.blobs.array(row).tobytes() == engine.store.blobs.array(row).tobytes()
    assert copy.create(ada, **WHERE, body="after")["id"] not in kept  # and it goes on from there
    store.close()


def test_there_and_back_nothing_is_lost(lab: Any, any_settings: Settings, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    _, notes, ada = lab
    made = notes.create(ada, **WHERE, body="sky — 天空 'quoted' \\ \n second line")
    notes.change(ada, made["id"], '"1"', body="clouds")
    back_up(any_settings, tmp_path / "one.tar.gz")
    other = Settings(data_dir=tmp_path / "two", inline=True)
    if any_settings.database_url is None and not _no_postgres():
        other = other.model_copy(update={"database_url": request.getfixturevalue("postgres_url")})
    restore(other, tmp_path / "one.tar.gz")
    assert everything(other) == everything(any_settings)
    back_up(other, tmp_path / "two.tar.gz")
    third = Settings(data_dir=tmp_path / "three", inline=True)
    restore(third, tmp_path / "two.tar.gz")
    assert everything(third) == everything(any_settings)
    store = open_store(other)
    again = Annotations(store, People(store), EventRepository(store))
    assert again.create(ada, **WHERE, body="new")["revision"] == 1  # numbers go on behind those that were copied
    store.close()


def test_a_restore_lets_nobody_in_by_itself(any_settings: Settings, tmp_path: Path) -> None:
    store = open_store(any_settings)
    accounts = Accounts(store, People(store).key, 24)
    ada = accounts.create("Ada", "ada@lab.example", PASSWORD, "admin")
    cookie = accounts.sign_in("ada@lab.example", PASSWORD, "10.0.0.1", "")
    with pytest.raises(Forbidden):
        accounts.sign_in("ada@lab.example", "wrong", "10.0.0.1", "")
    _, link = accounts.invitations.create(None, "main", "viewer", person=ada)
    secret, elsewhere = store.data_dir / "secret", tmp_path / "mounted secret"
    secret.rename(elsewhere)
    secret.symlink_to(elsewhere)
    (store.data_dir / "uploads").mkdir()
    (tmp_path / "image").write_bytes(b"image")
    (store.data_dir / "uploads" / "one").symlink_to(tmp_path / "image")
    store.close()
    back_up(any_settings, tmp_path / "copy.tar.gz")
    place = Settings(data_dir=tmp_path / "place")
    restore(place, tmp_path / "copy.tar.gz")
    assert (place.data_dir / "uploads" / "one").read_bytes() == b"image"
    assert not (place.data_dir / "secret").is_symlink()
    store = open_store(place)
    again = Accounts(store, People(store).key, 24)
    assert again.sessions.csrf("x") == accounts.sessions.csrf("x")  # the secret is the same
    assert again.sessions.signed(cookie) is None
    with pytest.raises(NotFound):
        again.invitations.look(link)
    with store.read() as connection:
        assert connection.execute(select(t.failure)).all() == []
    again.sign_in("ada@lab.example", PASSWORD, "10.0.0.1", "")
    store.close()


def _no_postgres() -> bool:
    from tests import postgres

    return postgres.missing() is not None


def test_only_into_an_empty_place(any_settings: Settings, any_store: Any, tmp_path: Path) -> None:
    file = tmp_path / "copy.tar.gz"
    back_up(any_settings, file)
    with pytest.raises(Conflict):
        back_up(any_settings, file)
    with pytest.raises(Conflict):
        restore(any_settings, file)
    if any_settings.database_url is not None:
        with pytest.raises(Conflict):
            restore(any_settings.model_copy(update={"data_dir": tmp_path / "new"}), file)
    with pytest.raises(NotFound):
        restore(Settings(data_dir=tmp_path / "new"), tmp_path / "nothing.tar.gz")
    assert not [p.name for p in tmp_path.iterdir() if p.name.startswith((".backup", ".restore"))]


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, 2 if kind == tarfile.REGTYPE else 0
    return info


@pytest.mark.parametrize(
    "bad",
    [
        member("../../evil"),
        member("/etc/evil"),
        member("blobs/../../evil"),
        member("blobs/aa", tarfile.SYMTYPE, "/etc/passwd"),
        member("secret", tarfile.LNKTYPE, "/etc/passwd"),
        member("blobs/dev", tarfile.CHRTYPE),
        member("other/file"),
    ],
    ids=lambda info: info.name,
)
def test_files_that_want_to_be_elsewhere_are_refused(bad: tarfile.TarInfo, tmp_path: Path) -> None:
    file, place = tmp_path / "bad.tar.gz", tmp_path / "inside" / "place"
    with tarfile.open(file, "w:gz") as tar:
        about = json.dumps({"format": 1, "version": "0", "rows": 0}).encode()
        head = tarfile.TarInfo("backup.json")
        head.size = len(about)
        tar.addfile(head, io.BytesIO(about))
        tar.addfile(bad, io.BytesIO(b"xx"))
    with pytest.raises(InvalidInput, match="does not belong"):
        restore(Settings(data_dir=place), file)
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*")) == ["bad.tar.gz", "inside"]


def test_a_damaged_file_restores_nothing(any_settings: Settings, any_store: Any, tmp_path: Path) -> None:
    file = tmp_path / "copy.tar.gz"
    back_up(any_settings, file)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(InvalidInput):
        restore(Settings(data_dir=tmp_path / "place"), file)
    assert not (tmp_path / "place").exists()
