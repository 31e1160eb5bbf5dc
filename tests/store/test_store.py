"""The store on both databases: migrations, results, blobs, eviction, events, queue."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import func, select, text, update

from microtome.core.errors import NotFound
from microtome.store import tables as t
from microtome.store.bulk import insert_rows
from microtome.store.database import Store, _config
from microtome.store.events import EventRepository
from microtome.store.eviction import cache_bytes, evict
from microtome.store.index import sweep_rows
from microtome.store.results import ResultHead, ResultRepository
from microtome.store.runs import ATTEMPTS, RunRepository
from microtome.store.sources import SourceRepository
from tests.fakes import Params, layer_results

pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")


def head(key: str, seconds: float = 1.0, **more: Any) -> ResultHead:
    values: dict[str, Any] = {
        "key": key, "method": "dissection", "version": "1", "part": "stage1", "subjects": {}, "params": {}, "group_key": "g",
        "builds_on": [], "model_hash": "m", "probe_hash": "p", "provenance": {}, "seconds": seconds,
    }  # fmt: skip
    return ResultHead(**values | more)


def key(letter: str) -> str:
    return letter * 64


def test_migrations_make_the_schema_that_the_code_has(any_store: Any) -> None:
    assert any_store.ready()
    with any_store.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, t.metadata) == []
    any_store.migrate()  # again, harmless


def test_events_of_before_there_were_workspaces_stay_in_the_first(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/old.db", tmp_path)
    with store.write() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0003")
        connection.execute(text("INSERT INTO event (type, data, at) VALUES ('annotation', '{}', 1.0)"))
    store.migrate()
    assert [row.workspace_id for row in EventRepository(store).after(0)] == ["main"]
    store.close()


def test_a_result_comes_back_as_it_went(any_store: Any) -> None:
    results = ResultRepository(any_store)
    made = layer_results("stage1", 300, 8, Params(), 24)
    results.put(head(key("a")), made)
    back = results.load(key("a"))
    assert list(back) == list(made)
    for name, result in made.items():
        assert back[name].model_dump() == result.model_dump()
        for array, values in result.arrays.items():
            np.testing.assert_array_equal(back[name].arrays[array], values)
    big = back["exemplars"].arrays["maps"]
    assert isinstance(big, np.memmap)  # one unit's slice reads its own pages only
    assert not big.flags.writeable
    results.put(head(key("a")), made)  # the same key again changes nothing
    with any_store.read() as connection:
        assert connection.execute(select(func.count()).select_from(t.unit_stat)).scalar() == 300
        top = connection.execute(select(t.unit_concept).where(t.unit_concept.c.rank == 0)).all()
        stats = {row.unit: row for row in connection.execute(select(t.unit_stat))}
        assert len(top) > 100
        assert all(stats[row.unit].best_concept == row.concept for row in top)
        iou, chance = made["iou"].arrays["values"], made["iou"].arrays["chance"]
        best = np.argsort(-iou, axis=1, kind="stable")[:, :8]
        above = np.take_along_axis(iou, best, 1) > np.maximum(np.take_along_axis(chance, best, 1), 0)
        assert connection.execute(select(func.count()).select_from(t.unit_concept)).scalar() == above.sum()
        rows = connection.execute(select(t.exemplar)).all()
        gallery = made["exemplars"].arrays
        expected = {(int(gallery["example"][u, s]), s, u) for u in range(300) for s in range(3)}
        assert {(r.example, r.rank, r.unit) for r in rows} == expected
        assert all(r.activation == gallery["activation"][r.unit, r.rank] for r in rows)


def test_a_result_is_invisible_until_it_is_whole(any_store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    results = ResultRepository(any_store)

    def die(*_: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("microtome.store.results.index_rows", die)
    with pytest.raises(OSError, match="disk full"):
        results.put(head(key("a")), layer_results("stage1", 300, 8, Params(), 24))
    with pytest.raises(NotFound):
        results.head(key("a"))
    files = [f for f in (any_store.data_dir / "blobs").glob("??/*")]
    assert files  # they were written first
    assert any_store.blobs.sweep() == 0  # somebody may just be writing
    assert any_store.blobs.sweep(older_than=-1) == len(files)


def test_eviction_drops_what_is_cheap_to_compute_again(any_store: Any) -> None:
    results = ResultRepository(any_store)
    for letter, seconds in (("a", 100.0), ("b", 1.0), ("c", 10.0)):
        made = layer_results("stage1", 300, 8, Params(seed=ord(letter)), 24)
        results.put(head(key(letter), seconds), made)
    with any_store.write() as connection:
        connection.execute(update(t.result).values(used=time.time() - 9999))
    size = cache_bytes(any_store)
    assert evict(any_store, size) == 0
    assert evict(any_store, size - 1) > 0
    assert results.stored([key(x) for x in "abc"]) == {key("a"), key("c")}
    assert len(list((any_store.data_dir / "blobs").glob("??/*"))) == len({f for f in (any_store.data_dir / "blobs").glob("??/*")})
    assert results.load(key("a"))  # others keep their arrays
    with any_store.write() as connection:
        person = {"id": "p", "name": "Ada", "created": "x"}
        connection.execute(t.person.insert().values(**person))
        connection.execute(t.share.insert().values(id="s", state={}, frozen={}, person_id="p", created="x"))
        connection.execute(t.share_result.insert().values(share_id="s", key=key("c")))
    evict(any_store, 0)
    assert results.stored([key(x) for x in "abc"]) == {key("c")}
    assert results.load(key("c"))["units"]


def test_blobs_shared_by_two_results_outlive_one(any_store: Any) -> None:
    results = ResultRepository(any_store)
    made = layer_results("stage1", 300, 8, Params(), 24)
    results.put(head(key("a")), made)
    results.put(head(key("b")), made)
    results.drop([key("a")])
    assert results.load(key("b"))["exemplars"].arrays["maps"].shape == (300, 4, 8, 8)
    results.drop([key("b")])
    assert list((any_store.data_dir / "blobs").glob("??/*")) == []
    with any_store.read() as connection:
        for table in (t.unit_stat, t.unit_concept, t.exemplar, t.row_set):
            assert connection.execute(select(func.count()).select_from(table)).scalar() == 0, table.name


def test_rows_of_a_result_that_never_came_to_be_are_swept(any_store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    results = ResultRepository(any_store)
    kept = layer_results("stage1", 300, 8, Params(seed=1), 24)
    results.put(head(key("b")), kept)
    monkeypatch.setattr(results, "_insert", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        results.put(head(key("a")), layer_results("stage1", 300, 8, Params(), 24))

    def rows() -> int:
        with any_store.read() as connection:
            return int(connection.execute(select(func.count()).select_from(t.exemplar)).scalar_one())

    assert rows() == 2 * 300 * 3
    assert sweep_rows(any_store) == 0  # somebody may just be writing
    monkeypatch.setattr("microtome.store.index.STEP", 100)  # several steps
    assert sweep_rows(any_store, older_than=-1) == 1
    assert rows() == 300 * 3
    assert sweep_rows(any_store, older_than=-1) == 0


def test_missing_values_are_null_and_texts_go_through(any_store: Any) -> None:
    """Both ways of COPY, and SQLite's."""
    columns = {
        "result": 7, "unit": np.arange(3), "mean": np.array([1.5, np.nan, -2]),
        "best_concept": np.array(["a\tb\\", None, "\u00e9"], object), "dead": np.array([True, False, True]),
    }  # fmt: skip
    with any_store.write() as connection:
        insert_rows(connection, t.unit_stat, columns)
        insert_rows(connection, t.unit_stat, {"result": 8, "unit": np.arange(2), "mean": np.array([0.1, 2.0])})
        c = t.unit_stat.c
        rows = connection.execute(select(c.result, c.unit, c.mean, c.best_concept, c.dead).order_by(c.result, c.unit)).all()
    assert [tuple(r) for r in rows] == [
        (7, 0, 1.5, "a\tb\\", True), (7, 1, None, None, False), (7, 2, -2.0, "\u00e9", True),
        (8, 0, 0.1, None, None), (8, 1, 2.0, None, None),
    ]  # fmt: skip


def test_which_units_an_example_drives_is_one_index_search(any_store: Any) -> None:
    """The plan of the question, on both databases: no scan, no sort."""
    results = ResultRepository(any_store)
    results.put(head(key("a")), layer_results("stage1", 300, 8, Params(), 24))
    c = t.exemplar.c
    query = select(c.unit).where(c.result == 1, c.example == 3).order_by(c.rank, c.unit).limit(5)
    text = str(query.compile(any_store.engine, compile_kwargs={"literal_binds": True}))
    with any_store.read() as connection:
        if any_store.sqlite:
            plan = " ".join(r[-1] for r in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}"))
            assert "SEARCH exemplar USING PRIMARY KEY (result=? AND example=?)" in plan
        else:
            connection.exec_driver_sql("SET enable_seqscan = off")
            connection.exec_driver_sql("SET enable_bitmapscan = off")
            plan = " ".join(r[0] for r in connection.exec_driver_sql(f"EXPLAIN {text}"))
            assert "using pk_exemplar" in plan
        assert "SORT" not in plan.upper()
        assert "TEMP B-TREE" not in plan.upper()


def test_an_older_database_keeps_its_tables_and_rows(settings: Any, any_settings: Any) -> None:
    """A dissection stored by the first version reads the same after the upgrade."""
    store = Store(any_settings.database, any_settings.data_dir)
    any_settings.data_dir.mkdir(parents=True, exist_ok=True)
    config = _config()
    values = {"title": "Units", "note": "", "kind": "unit-table", "layer": "stage1", "units": [0, 1, 2], "columns": [
        {"name": "mean", "title": "Mean", "type": "number", "unit": "", "values": [0.5, None, 2.0]},
        {"name": "best_concept", "title": "Best", "type": "text", "unit": "", "values": ["object:sky", None, "colour:red"]},
        {"name": "dead", "title": "Dead", "type": "flag", "unit": "", "values": [False, True, False]},
        {"name": "active_positions", "title": "On", "type": "integer", "unit": "", "values": [4, 5, 6]},
    ]}  # fmt: skip
    with store.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        result = {n: getattr(head(key("a")), n) for n in ResultHead.__slots__} | {"bytes": 10, "used": 1.0}
        for name in ("subjects", "params", "builds_on", "provenance"):
            result[name] = orjson.dumps(result[name]).decode()
        names = ", ".join(result)
        connection.execute(text(f"INSERT INTO result ({names}) VALUES ({', '.join(':' + n for n in result)})"), result)
        item = {"k": key("a"), "d": orjson.dumps(values).decode()}
        connection.execute(text("INSERT INTO result_item VALUES (:k, 'units', 0, 'unit-table', :d, '{}')"), item)
        insert = "INSERT INTO exemplar VALUES (:k, :u, :s, 'top', :e, 1.5, 0, 1)"
        connection.execute(text(insert), [{"k": key("a"), "u": u, "s": s, "e": 10 * u + s} for u in range(3) for s in range(2)])
        connection.execute(text("INSERT INTO unit_stat (key, unit, mean, best_concept) VALUES (:k, 1, 0.5, 'object:sky')"), {"k": key("a")})
    store.migrate()
    table = ResultRepository(store).load(key("a"))["units"]
    assert table.units.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(table.column("mean"), [0.5, np.nan, 2.0])
    assert table.column("best_concept").tolist() == ["object:sky", None, "colour:red"]
    assert table.column("dead").tolist() == [False, True, False]
    assert table.column("active_positions").tolist() == [4, 5, 6]
    with store.read() as connection:
        assert connection.execute(select(t.exemplar.c.unit).where(t.exemplar.c.result == 1, t.exemplar.c.example == 11)).scalar() == 1
        assert connection.execute(select(func.count()).select_from(t.exemplar)).scalar() == 6
        assert connection.execute(select(t.unit_stat.c.best_concept).where(t.unit_stat.c.result == 1)).scalar() == "object:sky"
    assert ResultRepository(store).drop([key("a")]) > 0
    store.close()


def test_event_ids_only_grow_and_none_is_missed(any_store: Any) -> None:
    """Four writers, one reader that asks for what is after the last id it saw."""
    writers = [EventRepository(any_store) for _ in range(4)]

    def write(number: int) -> None:
        for i in range(15):
            writers[number].add("test", {"n": number, "i": i})

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    reader, seen, last = EventRepository(any_store), [], 0
    for thread in threads:
        thread.start()
    end = time.monotonic() + 20
    while len(seen) < 60 and time.monotonic() < end:
        for row in reader.after(last):
            assert row.id > last
            last = row.id
            seen.append((row.data["n"], row.data["i"]))
    for thread in threads:
        thread.join()
    assert len(set(seen)) == 60


def queued(runs: RunRepository, **more: Any) -> str:
    values = {
        "method": "m", "title": "t", "request_key": "k", "subjects": {}, "params": {}, "plan": {}, **more,
    }  # fmt: skip
    with runs.store.write() as connection:
        return runs.insert(connection, values, [])


def test_each_run_is_claimed_once(any_store: Any) -> None:
    runs = RunRepository(any_store)
    ids = [queued(runs) for _ in range(12)]
    taken: list[str] = []

    def work(name: str) -> None:
        own = RunRepository(any_store)
        while (run := own.claim(name)) is not None:
            taken.append(run.id)

    threads = [threading.Thread(target=work, args=(f"w{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == sorted(ids)


def test_lost_runs_are_queued_again_then_given_up(any_store: Any) -> None:
    runs = RunRepository(any_store)
    id = queued(runs)
    for attempt in range(1, ATTEMPTS + 1):
        run = runs.claim(f"w{attempt}")
        assert run is not None
        assert run.attempts == attempt
        assert runs.recover() == []  # the lease still holds
        assert runs.recover(f"w{attempt}") == [id]
    run = runs.get(id)
    assert run.state == "failed"
    assert "worker process ended" in run.error["detail"]


def test_a_run_waits_for_the_one_before_and_fails_with_it(any_store: Any) -> None:
    runs = RunRepository(any_store)
    first = queued(runs)
    second = queued(runs, after=first, priority=1)
    claimed = runs.claim("w")
    assert claimed is not None
    assert claimed.id == first
    assert runs.claim("w") is None
    runs.set(first, state="failed", error={"title": "x", "detail": "the disk is full"})
    assert runs.fail_orphans() == [second]
    assert "the disk is full" in runs.get(second).error["detail"]


def test_versions_of_a_source(any_store: Any) -> None:
    sources = SourceRepository(any_store)
    description = {
        "layers": [{"name": "a", "label": "a", "kind": "Conv", "units": 2, "height": 1, "width": 1, "default": True, "depth": 0}]
    }
    assert sources.save("model", "path:/x/My Net", "h1", description) == "my-net"
    assert sources.save("model", "path:/y/My Net", "h9", description) == "my-net-2"
    assert sources.save("model", "path:/x/My Net", "h2", description) == "my-net"
    assert [v.hash for v in sources.versions("model", "my-net")] == ["h2", "h1"]
    assert sources.get("model", "my-net").hash == "h2"
    assert len(sources.layers(sources.versions("model", "my-net")[1].id)) == 1
    sources.remove("model", "my-net")
    with pytest.raises(NotFound, match="my-net-2"):
        sources.get("model", "my-net")


def test_sqlite_is_set_up_for_many_readers_and_one_writer(settings: Any) -> None:
    from microtome.store import open_store

    store = open_store(settings)
    with store.read() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    assert Path(settings.data_dir / "microtome.db").exists()
    store.close()
