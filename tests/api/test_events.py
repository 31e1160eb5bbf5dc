"""The stream of events, over a real socket: live, resumed without gaps, and resync when the id is too old."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from sqlalchemy import delete

from microtome.api.app import create_app
from microtome.store import tables as t
from tests.api.serve import serving

NOTE = {"kind": "note", "model": "fake", "layer": "stage1", "unit": 0}


@pytest.fixture
def server(settings: Any, ready: Any) -> Iterator[str]:
    with serving(create_app(settings, engine=ready)) as url:
        yield url


def listen(url: str, want: int, headers: dict[str, str] | None = None, kinds: tuple[str, ...] = ("annotation",)) -> list[Any]:
    """The first ``want`` events of these kinds: (id, event, data)."""
    found: list[Any] = []
    with httpx.stream("GET", f"{url}/api/v1/events", headers=headers or {}, timeout=10) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        current: dict[str, str] = {}
        for line in answer.iter_lines():
            if line == "":
                if current.get("event") in kinds:
                    found.append((int(current.get("id", 0)), current["event"], json.loads(current["data"])))
                    if len(found) == want:
                        return found
                current = {}
            elif not line.startswith(":"):
                name, _, value = line.partition(": ")
                current[name] = value
    return found


def write(url: str, *bodies: str) -> None:
    for body in bodies:
        httpx.post(f"{url}/api/v1/annotations", json=NOTE | {"body": body}).raise_for_status()


def test_live_and_resumed(server: str) -> None:
    got: list[Any] = []
    thread = threading.Thread(target=lambda: got.extend(listen(server, 2)))
    thread.start()
    time.sleep(0.5)
    began = time.monotonic()
    write(server, "one", "two")
    thread.join(5)
    assert [data["body"] for _, _, data in got] == ["one", "two"]
    assert time.monotonic() - began < 2
    write(server, "three", "four")  # while nobody listens
    late: list[Any] = []
    thread = threading.Thread(target=lambda: late.extend(listen(server, 4, {"Last-Event-ID": str(got[0][0])})))
    thread.start()
    time.sleep(0.4)
    write(server, "five")
    thread.join(5)
    assert [data["body"] for _, _, data in late] == ["two", "three", "four", "five"]
    ids = [id for id, _, _ in late]
    assert ids == sorted(ids)


def test_runs_and_presence(server: str, ready: Any) -> None:
    session = httpx.Client(base_url=server)
    me = session.get("/api/v1/session").json()["person"]
    got: list[Any] = []
    cookie = "; ".join(f"{k}={v}" for k, v in session.cookies.items())
    for kinds in (("presence",), ("run",)):
        thread = threading.Thread(target=lambda kinds=kinds: got.extend(listen(server, 1, {"Cookie": cookie}, kinds)))
        thread.start()
        time.sleep(0.4)
        ready.submit("broken", {"model": "fake"})
        thread.join(5)
    assert any(event == "presence" and [p["id"] for p in data["people"]] == [me["id"]] for _, event, data in got)
    assert any(event == "run" and data["method"] == "broken" for _, event, data in got)


def test_too_old_an_id_gets_resync(server: str, ready: Any) -> None:
    write(server, "one", "two", "three")
    with ready.store.write() as connection:
        connection.execute(delete(t.event).where(t.event.c.id < ready.events.newest()))
    for since in ("1", "999999", "nonsense"):
        [(id, event, _)] = listen(server, 1, {"Last-Event-ID": since}, ("resync", "annotation"))
        assert event == "resync"
        assert id == ready.events.newest()
