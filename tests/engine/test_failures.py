"""What goes wrong under a run: memory, disk, a spoilt file. Nothing partial is visible, and the message says what to do."""

from __future__ import annotations

import errno
import io
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError

from microtome.capture.run import BATCH
from microtome.core.disk import disk_full, is_disk_full
from microtome.core.errors import Unavailable
from microtome.core.settings import Settings
from microtome.engine import Engine
from microtome.engine.manifest import publish
from microtome.engine.workshop import Workshop
from microtome.methods.contract import MethodParams, method
from microtome.results import Matrix, Scorecard
from microtome.store import tables as t
from tests import micro
from tests.fakes import METHODS


def nothing_partial(engine: Any, run: Any) -> None:
    """No part of the run is stored, and no row or file is left of it."""
    assert [done for _, _, done in engine.runs.parts([run.id])[run.id]] == [False]
    with engine.store.read() as connection:
        for table in (t.result, t.result_item, t.result_blob, t.blob):
            assert connection.execute(select(func.count()).select_from(table)).scalar() == 0, table.name
    assert not [f for f in engine.store.blobs.folder.glob("??/.new-*")]


# --- memory ---------------------------------------------------------------------------------------------------------------


class Narrow(Workshop):
    """Its models run out of memory beyond ``most`` examples at once."""

    def __init__(self, settings: Settings, most: int) -> None:
        super().__init__(settings)
        self.most = most
        self.batches: list[int] = []

    def load_model(self, source: str) -> Any:
        model = super().load_model(source)

        def check(_: Any, given: Any) -> None:
            self.batches.append(len(given[0]))
            if len(given[0]) > self.most:
                raise torch.OutOfMemoryError("Tried to allocate 20.00 GiB (simulated)")

        model.network.register_forward_pre_hook(check)
        return model


@pytest.fixture
def photos(tmp_path: Path) -> str:
    """A segmentation folder of 40 images."""
    return f"path:{micro.write_probe(tmp_path / 'photos', 40)}#val"


def real_engine(settings: Settings, workshop: Any = None) -> Any:
    """An inline engine with a real micro model under the name of its folder."""
    engine = Engine(settings, executor="inline", workshop=workshop)
    run = engine.add_source("add-model", f"path:{micro.model_folder('resnet')}", "net", trusted=True)
    assert run.state == "done", run.error
    return engine


@pytest.fixture
def closing() -> Iterator[list[Any]]:
    engines: list[Any] = []
    yield engines
    for engine in engines:
        engine.stop()
        engine.store.close()


def probabilities(engine: Any, run: Any) -> np.ndarray:
    [(_, key, _)] = engine.runs.parts([run.id])[run.id]
    return np.asarray(engine.results.load(key)["probabilities"].arrays["values"])


def test_out_of_memory_halves_the_batch(settings: Settings, photos: str, closing: list[Any], tmp_path: Path) -> None:
    shop = Narrow(settings, BATCH)
    engine = real_engine(settings, shop)
    other = real_engine(settings.model_copy(update={"data_dir": tmp_path / "other"}), Workshop(settings))
    closing += [engine, other]
    for one in (engine, other):
        assert one.add_source("add-probe", photos, "photos", trusted=True).state == "done"
    shop.most = 3
    shop.batches.clear()
    subjects = {"model": "net", "probe": "photos"}
    run, expected = engine.submit("predictions", subjects), other.submit("predictions", subjects)
    assert run.state == "done"
    assert max(b for b in shop.batches if b <= 3) == 2  # 16, 8 and 4 did not fit
    assert shop.batches.count(16) == 1  # and are not tried again
    np.testing.assert_allclose(probabilities(engine, run), probabilities(other, expected), atol=1e-6)


def test_out_of_memory_for_one_image_fails_that_run_only(settings: Settings, photos: str, closing: list[Any]) -> None:
    shop = Narrow(settings, BATCH)
    engine = real_engine(settings, shop)
    closing.append(engine)
    engine.add_source("add-probe", photos, "photos", trusted=True)
    shop.most = 0
    run = engine.submit("predictions", {"model": "net", "probe": "photos"})
    assert (run.state, run.error["title"]) == ("failed", "Out of memory")
    assert "one image at a time" in run.error["detail"]
    assert "MICROTOME_MODEL_BYTES" in run.error["detail"]
    assert shop.batches[-1] == 1
    nothing_partial(engine, run)
    shop.most = BATCH
    assert engine.submit("predictions", {"model": "net", "probe": "photos"}).state == "done"


# --- disk -----------------------------------------------------------------------------------------------------------------


def _save(kind: str, size: int) -> Any:
    """A method whose result needs ``size`` bytes, in blobs or in the database."""
    noise = np.random.default_rng(0)

    @method(f"save-{kind}", title="Save", question="?", subjects=("model",), returns=(Matrix, Scorecard), params=MethodParams, cite="-")
    def save(*, model: Any, params: Any, run: Any) -> Any:
        """Much."""
        if kind == "blob":
            values = noise.random((size // 200, 50), np.float32)
            return {
                f"m{i}": Matrix(title="m", rows=[], columns=[], row_axis="a", column_axis="b", quantity="q", arrays={"values": values + i})
                for i in range(2)
            }
        return {f"s{i}": Scorecard(title="s", scores=[], note=noise.bytes(400_000).hex()) for i in range(size // 800_000)}

    return save


@pytest.fixture
def full_disk(tmp_path: Path, settings: Settings, make_engine: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An engine on a disk of 12 MB, and a function that fills the disk up to some bytes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("only root may mount a small disk")
    for kind in ("blob", "text"):
        monkeypatch.setitem(METHODS, f"save-{kind}", _save(kind, 4_000_000))
    try:
        engine = make_engine(settings.model_copy(update={"data_dir": disk / "data"}))
        publish(disk / "data", {id: spec.manifest() for id, spec in METHODS.items()})
        engine.add_source("add-model", "builtin:fake")

        def fill(leave: int) -> None:
            ballast = disk / "ballast"
            ballast.unlink(missing_ok=True)
            stat = os.statvfs(disk)
            with ballast.open("wb") as file:
                file.write(b"x" * (stat.f_bavail * stat.f_frsize - leave))

        yield engine, fill, disk / "ballast"
        engine.stop()
        engine.store.close()
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.parametrize("kind", ["blob", "text"])
def test_a_full_disk_fails_the_run_and_leaves_nothing(full_disk: Any, kind: str) -> None:
    engine, fill, ballast = full_disk
    fill(1_500_000)
    run = engine.submit(f"save-{kind}", {"model": "fake"})
    assert (run.state, run.error["title"]) == ("failed", "The disk is full")
    assert "MB are free" in run.error["detail"]
    assert "MICROTOME_DATA_DIR" in run.error["detail"]
    assert str(engine.store.data_dir) in run.error["detail"]
    nothing_partial(engine, run)
    ballast.unlink()
    again = engine.submit(f"save-{kind}", {"model": "fake"})
    assert (again.state, again.cached) == ("done", False)


def test_an_ending_that_cannot_be_written_is_written_later(ready: Any, make_engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = ready._worker().worker
    idle = make_engine(ready.settings, "none", store=ready.store)
    run = idle.submit("broken", {"model": "fake"})
    full = [True]
    write = worker.runs.set

    def refuse(*given: Any, **values: Any) -> None:
        if full[0] and "ended" in values:
            raise OperationalError("UPDATE run", {}, Exception("database or disk is full"))
        write(*given, **values)

    monkeypatch.setattr(worker.runs, "set", refuse)
    assert worker.step()
    assert (idle.get(run.id).state, worker.active) == ("running", [run.id])  # its lease is kept: nobody begins it anew
    waiting = idle.submit("grad-cam", {"model": "fake", "example": "fake-probe:1"})
    assert worker.step() is False  # nothing else is begun whose end could not be written either
    assert idle.get(waiting.id).state == "queued"
    full[0] = False
    assert worker.step()
    assert worker.active == []
    assert idle.get(run.id).state == "failed"
    assert "the cable is out" in idle.get(run.id).error["detail"]
    assert idle.get(waiting.id).state == "done"


def test_the_command_line_does_not_wait_for_a_full_database(ready: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **values: Any) -> None:
        raise OperationalError("UPDATE run", {}, Exception("database or disk is full"))

    monkeypatch.setattr(ready._worker().worker.runs, "set", refuse)
    with pytest.raises(Unavailable, match="its disk is full or it is away"):
        ready.submit("broken", {"model": "fake"})


def test_no_room_for_a_file(ready: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same without a disk of its own, for where nobody may mount: the system refuses when the file is written out."""
    monkeypatch.setitem(METHODS, "save-blob", _save("blob", 400_000))
    publish(ready.settings.data_dir, {id: spec.manifest() for id, spec in METHODS.items()})

    def refuse(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", refuse)
        run = ready.submit("save-blob", {"model": "fake"})
    assert (run.state, run.error["title"]) == ("failed", "The disk is full")
    nothing_partial(ready, run)
    assert ready.submit("save-blob", {"model": "fake"}).state == "done"


def test_an_upload_to_a_full_disk_says_so(client: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    picture = io.BytesIO()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(picture, "PNG")
    client.get("/api/v1/system")  # who am I: the cookie of a browser profile
    files = {"file": ("x.png", picture.getvalue())}
    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", refuse)
        answer = client.post("/api/v1/uploads", files=files)
    assert (answer.status_code, answer.json()["type"]) == (507, "/problems/disk-full")
    assert "Free some space" in answer.json()["detail"]
    assert not [f for f in (settings.data_dir / "uploads").rglob("*") if f.is_file()]
    assert client.post("/api/v1/uploads", files=files).status_code == 201


def test_a_full_disk_is_recognised_wherever_it_is_said() -> None:
    direct = OSError(errno.ENOSPC, "No space left on device", "/data/blobs/ab/.new-x")
    wrapped = RuntimeError("writing failed")
    wrapped.__cause__ = direct
    database = OperationalError("INSERT", {}, Exception("database or disk is full"))
    postgres = OperationalError("INSERT", {}, Exception('could not extend file "base/1": No space left on device'))
    for error in (direct, wrapped, database, postgres):
        assert is_disk_full(error)
        assert disk_full(error, Path("/data")).status == 507
    assert "/data/blobs/ab" in disk_full(wrapped, Path("/elsewhere")).detail
    for error in (OSError(errno.ENOENT, "No such file"), OperationalError("x", {}, Exception("database is locked")), ValueError()):
        assert not is_disk_full(error)


# --- a spoilt file --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["val", "val_labels"])
def test_a_file_spoilt_while_a_probe_set_is_open(settings: Settings, photos: str, closing: list[Any], place: str) -> None:
    engine = real_engine(settings)
    closing.append(engine)
    engine.add_source("add-probe", photos, "photos", trusted=True)
    subjects = {"model": "net", "probe": "photos"}
    assert engine.submit("predictions", subjects).state == "done"  # the worker has the folder open now
    [(_, key, _)] = engine.runs.parts([engine.runs.page(state="done", model="net", method=None, before=None, limit=1)[0].id]).popitem()[1]
    engine.results.drop([key])
    idle = Engine(settings, store=engine.store, executor="none")
    method = "dissection"
    run = idle.submit(method, subjects)
    spoilt = Path(photos[5:-4]) / place / "020.png"
    whole = spoilt.read_bytes()
    spoilt.write_bytes(whole[: len(whole) // 2])
    worker = engine._worker().worker
    worker.step()
    failed = engine.get(run.id)
    assert failed.state == "failed"
    assert f"{place}/020.png" in f"val/{failed.error['detail']}"
    assert "Replace the file or remove it, then run again" in failed.error["detail"]
    assert failed.error["field"] == "probe"
    assert not any(done for _, _, done in engine.runs.parts([run.id])[run.id])
    # what the message promises: the folder is read anew, and the file is left out and listed
    again = engine.submit(method, subjects)
    assert again.state == "done"
    description = engine.sources.get("probe", "photos").description
    assert description["examples"] == 39
    assert [r["file"] for r in description["reports"]] == ["020.png"]
    assert again.forward_passes == 39


def test_a_file_spoilt_while_the_run_waits(settings: Settings, photos: str, closing: list[Any]) -> None:
    engine = real_engine(settings)
    closing.append(engine)
    engine.add_source("add-probe", photos, "photos", trusted=True)
    idle = Engine(settings, store=engine.store, executor="none")
    run = idle.submit("predictions", {"model": "net", "probe": "photos"})
    (Path(photos[5:-4]) / "val" / "003.png").write_bytes(b"not an image")
    engine._worker().worker.step()
    failed = engine.get(run.id)
    assert failed.state == "failed"
    assert "changed while this run was waiting. Put the run again" in failed.error["detail"]
    nothing_partial(engine, failed)
