"""Events and presence over several server processes: nothing is missed or sent twice, and who writes is heard without looking."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select, text

from microtome.api import stream
from microtome.api.app import create_app
from microtome.collab.people import PersonRow
from microtome.collab.presence import EXPIRE, Presence, place_of
from microtome.core.settings import Settings
from microtome.store import open_store
from microtome.store import tables as t
from microtome.store.sources import SourceRepository
from tests.api.serve import serving
from tests.api.test_labels_killed import ROOT, Server
from tests.fakes import FakeModel

NOTE = {"kind": "note", "model": "fake", "layer": "stage1", "unit": 0}
BROWSE = {"screen": "browse", "model": "fake", "probe": "fake-probe", "layer": "stage1", "unit": 3}


class Client(threading.Thread):
    """Reads one stream until it ends or is closed; keeps (id, event, data) of everything."""

    def __init__(self, url: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(daemon=True)
        self.url, self.sent, self.got, self.open = url, headers or {}, list[Any](), threading.Event()
        self.last = "0"
        self._ended = False
        self.start()
        assert self.open.wait(20), "the stream did not open"

    def run(self) -> None:
        try:
            with httpx.stream("GET", f"{self.url}/api/v1/events", headers=self.sent, timeout=httpx.Timeout(20, read=120)) as answer:
                current: dict[str, str] = {}
                for line in answer.iter_lines():
                    if self._ended:
                        return
                    if line == "":
                        if "event" in current:
                            self.last = current.get("id", self.last)
                            self.got.append((int(current.get("id", 0)), current["event"], json.loads(current["data"])))
                        self.open.set()
                        current = {}
                    elif not line.startswith(":"):
                        name, _, value = line.partition(": ")
                        current[name] = value
        except httpx.TransportError:
            return  # its server was killed

    def close(self) -> None:
        self._ended = True

    def of(self, kind: str) -> list[Any]:
        return [(id, data) for id, event, data in self.got if event == kind]

    def bodies(self) -> list[str]:
        return [data["body"] for _, data in self.of("annotation")]


def until(true: Any, what: str, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def write(url: str, *bodies: str) -> None:
    for body in bodies:
        httpx.post(f"{url}/api/v1/annotations", json=NOTE | {"body": body}, timeout=30).raise_for_status()


@pytest.mark.postgres
@pytest.mark.slow
def test_a_client_goes_on_at_the_other_process_when_one_is_killed(tmp_path: Path, postgres_url: str) -> None:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'backend'}:{ROOT}", "MICROTOME_DATA_DIR": str(tmp_path)}
    environment["MICROTOME_DATABASE_URL"] = postgres_url
    store = open_store(Settings(data_dir=tmp_path, database_url=postgres_url))
    fake = FakeModel("builtin:fake")
    SourceRepository(store).save("model", fake.source, fake.hash, fake.describe())
    store.close()
    servers = [Server(tmp_path, environment) for _ in range(2)]
    try:
        for server in servers:
            server.start()
        for server in servers:
            server.ready()
        urls = [server.url.removesuffix("/api/v1") for server in servers]
        heard = Client(urls[0])
        witness = Client(urls[1])
        written = [f"before {n}" for n in range(6)]
        for n, body in enumerate(written):
            write(urls[n % 2], body)
        until(lambda: len(heard.bodies()) == 6, "what the other process wrote is heard at once")
        servers.pop(0).kill()
        heard.join(20)
        missed = [f"meanwhile {n}" for n in range(5)]
        write(urls[1], *missed)
        again = Client(urls[1], {"Last-Event-ID": heard.last})
        late = [f"after {n}" for n in range(3)]
        write(urls[1], *late)
        until(lambda: len(again.bodies()) >= 8, "the client hears what it missed and what comes")
        until(lambda: len(witness.bodies()) >= 14, "who stayed hears everything")
        assert heard.bodies() == written
        assert again.bodies() == missed + late
        assert witness.bodies() == written + missed + late
        ids = [id for id, _ in heard.of("annotation") + again.of("annotation")]
        assert ids == [id for id, _ in witness.of("annotation")] == sorted(set(ids))
    finally:
        for server in servers:
            server.kill()


@contextmanager
def two(settings: Any, make_engine: Any) -> Iterator[tuple[list[Any], list[str]]]:
    """Two applications with a store each over one database: what two processes know of each other."""
    settings = settings.model_copy(update={"inline": True})
    engines = [make_engine(settings) for _ in range(2)]
    engines[0].add_source("add-model", "builtin:fake")
    apps = [create_app(settings, engine=engine) for engine in engines]
    with ExitStack() as stack:
        yield apps, [stack.enter_context(serving(app)) for app in apps]


def ears(app: Any) -> Any:
    return app.state.desk.broadcast._ears


@pytest.mark.postgres
def test_other_processes_are_woken_and_need_not_look(settings: Any, make_engine: Any, postgres_url: str, monkeypatch: Any) -> None:
    for name in ("POLL", "POLL_HEARD"):
        monkeypatch.setattr(stream, name, 3600.0)
    with two(settings.model_copy(update={"database_url": postgres_url}), make_engine) as (apps, urls):
        until(lambda: all(ears(app).open for app in apps), "both listen")
        clients = [Client(url) for url in urls]
        write(urls[0], "at the first")
        write(urls[1], "at the second")
        for client in clients:
            until(lambda client=client: len(client.bodies()) == 2, "both are heard at both")
            assert client.bodies() == ["at the first", "at the second"]
        # the line is cut; what is written meanwhile is there as soon as it is up again
        with apps[0].state.desk.store.write() as connection:
            cut = (
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE 'LISTEN %' AND datname = current_database()"
            )
            assert connection.execute(text(cut)).scalar_one() == 2
        write(urls[1], "while nobody listens")
        for client in clients:
            until(lambda client=client: len(client.bodies()) == 3, "the line came back")
        until(lambda: all(ears(app).open for app in apps), "both listen again")
        write(urls[0], "after all")
        for client in clients:
            until(lambda client=client: len(client.bodies()) == 4, "and wakes as before")
            client.close()


def test_who_writes_in_this_process_wakes_it(settings: Any, make_engine: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(stream, "POLL", 3600.0)
    engine = make_engine(settings)
    engine.add_source("add-model", "builtin:fake")
    with serving(create_app(settings, engine=engine)) as url:
        client = Client(url)
        write(url, "heard without looking")
        until(lambda: client.bodies() == ["heard without looking"], "a commit wakes")
        client.close()


def test_what_other_processes_write_into_sqlite_is_looked_for(settings: Any, make_engine: Any) -> None:
    with two(settings, make_engine) as (_, urls):
        client = Client(urls[0])
        write(urls[1], "from a worker, say")
        until(lambda: client.bodies() == ["from a worker, say"], "polling finds it")
        client.close()


def test_only_a_commit_wakes(any_store: Any) -> None:
    from microtome.store.events import EventRepository

    heard: list[str] = []
    any_store.committed.add(heard.append)
    events = EventRepository(any_store)

    def fails() -> None:
        with any_store.write() as connection:
            events.add("x", {}, connection)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert heard == []
    with any_store.write() as connection:
        events.add("x", {}, connection)
        events.add("y", {}, connection)
        assert heard == []  # nobody else could see it yet
    assert heard == ["microtome_events"]
    with any_store.write() as connection:
        connection.execute(select(t.event.c.id))
    assert heard == ["microtome_events"]


def who(client: Client) -> dict[str, Any]:
    """What a browser makes of the presence events so far: place by name."""
    here: dict[str, Any] = {}
    for _, told in client.of("presence"):
        here = ({} if told["all"] else {id: p for id, p in here.items() if id not in told["gone"]}) | {p["id"]: p for p in told["people"]}
    return {person["name"]: person["place"] for person in here.values()}


def browser(url: str, name: str) -> httpx.Client:
    """A browser profile with a name."""
    http = httpx.Client(base_url=f"{url}/api/v1", timeout=30)
    http.get("/session")
    http.patch("/session", json={"name": name}).raise_for_status()
    return http


def cookie(http: httpx.Client) -> dict[str, str]:
    return {"Cookie": "; ".join(f"{k}={v}" for k, v in http.cookies.items())}


def test_everybody_sees_where_the_others_are(any_settings: Any, make_engine: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(stream, "BEAT", 0.5)
    with two(any_settings, make_engine) as (_, urls):
        ada, ben = browser(urls[0], "Ada"), browser(urls[1], "Ben")
        at_ada, at_ben = Client(urls[0], cookie(ada)), Client(urls[1], cookie(ben))
        for client in (at_ada, at_ben):
            until(lambda client=client: who(client) == {"Ada": None, "Ben": None}, "both see both, whichever process holds their stream")
        # said at the process that does not hold the stream, as behind a proxy
        said = httpx.put(f"{urls[1]}/api/v1/presence", json={"place": BROWSE}, headers=cookie(ada)).raise_for_status().json()
        assert said == {"hidden": False, "place": BROWSE | {"subject": None}}
        for client in (at_ada, at_ben):
            until(lambda client=client: who(client)["Ada"] == said["place"], "the place is told at both")
        before = len(at_ben.of("presence"))
        ada.put("/presence", json={"place": BROWSE}).raise_for_status()
        ben.put("/presence", json={"place": BROWSE | {"unit": 4}}).raise_for_status()
        until(lambda: (who(at_ben)["Ben"] or {}).get("unit") == 4, "he moved")
        assert [len(told["people"]) for _, told in at_ben.of("presence")[before:]] == [1], "only what differs is told"
        ada.put("/presence", json={"hidden": True}).raise_for_status()
        until(lambda: who(at_ben) == {"Ben": BROWSE | {"unit": 4, "subject": None}}, "who does not want to be seen is not seen")
        assert ada.put("/presence", json={}).json()["hidden"] is True
        ada.put("/presence", json={"hidden": False}).raise_for_status()
        until(lambda: "Ada" in who(at_ben), "and is seen again")
        for client in (at_ada, at_ben):
            client.close()


def test_a_dead_process_leaves_nobody_behind(any_store: Any) -> None:
    from microtome.collab.people import People

    clock = [1000.0]
    ada, ben = (People(any_store).create(name) for name in ("Ada", "Ben"))
    alive, dead = Presence(any_store, lambda: clock[0]), Presence(any_store, lambda: clock[0])
    dead.enter(ada)
    alive.enter(ben)
    dead.put(ada, {"screen": "home"}, None)
    assert [p["name"] for p in alive.here(["main"])["main"]] == ["Ada", "Ben"]
    clock[0] += EXPIRE / 2
    alive.beat({("main", ben.id)})
    clock[0] += EXPIRE / 2 + 1
    assert [p["name"] for p in alive.here(["main"])["main"]] == ["Ben"]
    # a browser that comes over before that keeps its place
    alive.enter(ada)
    assert [p["place"] and p["place"]["screen"] for p in alive.here(["main"])["main"]] == ["home", None]
    alive.leave(ada)
    alive.beat({("main", ben.id)})
    with any_store.read() as connection:
        assert [row.person_id for row in connection.execute(select(t.presence))] == [ben.id]
    # rows that somebody else removed, since this process slept, come back
    alive.end()
    alive.beat({("main", ben.id)})
    assert [p["name"] for p in alive.here(["main"])["main"]] == ["Ben"]
    assert alive.here(["elsewhere"]) == {"elsewhere": []}


def test_a_place_is_no_answer() -> None:
    """Of a label set it is told that somebody is there, never at which unit; of unknown screens no more than their name."""
    where = {"screen": "label-set", "model": "m", "probe": "p", "layer": "l", "unit": 3, "subject": "s"}
    assert place_of(where) == {"screen": "label-set", "model": None, "probe": None, "layer": None, "unit": None, "subject": "s"}
    assert {k: v for k, v in place_of(where | {"screen": "diary"}).items() if v is not None} == {"screen": "diary"}


def test_presence_is_of_ones_own_workspace(any_store: Any) -> None:
    from microtome.collab.people import People

    here = Presence(any_store)
    person = People(any_store).create("Ada")
    here.enter(PersonRow(person.id, "Ada", workspace="one"))
    assert [len(people) for people in here.here(["one", "two"]).values()] == [1, 0]
