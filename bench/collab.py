"""Two hundred browsers hear what eight people write: on one server with SQLite, and on two with PostgreSQL behind no proxy.

Each browser is a person with a stream of events of its own (`GET /events`, a raw socket, in a process apart), who moves to another
unit every 30 seconds (`PUT /presence`), so that presence is told too. Eight annotators write notes, 10 a second together. With two
servers browsers and annotators are spread evenly over both, so half of what a browser hears was written at the other server.

Checked first: every browser got every note exactly once, in one order, with growing ids. Then, for every delivery, the seconds from
the acknowledgement of the write until the browser had the event; and from sending the write, which nothing can beat. Servers, database,
annotators and browsers share the machine's cores. Outside: starting, connecting, making the people. PostgreSQL does not sync to disk.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).parents[1]))

import httpx
from common import arguments, document, percentiles, report
from tests import postgres
from tests.fakes import FakeModel

from api import serve
from microtome.core.settings import Settings
from microtome.store import open_store
from microtome.store.sources import SourceRepository

BROWSERS, WRITERS, RATE, MOVE, GOAL = 200, 8, 10.0, 30.0, 1.0
NOTE = re.compile(rb'"body":"n(\d+)"')


async def browser(url: str, cookie: str, out: dict[str, Any]) -> None:
    """One stream, read until the process is told to end: (id, note, when) of every note."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=2**21)
    writer.write(f"GET {parts.path}/events HTTP/1.1\r\nHost: {parts.netloc}\r\nCookie: {cookie}\r\n\r\n".encode())
    id = 0
    while line := await reader.readline():
        if line.startswith(b"id: "):
            id = int(line[4:])
        elif line.startswith(b"event: "):
            out["events"] += 1
            if line == b"event: hello\n":
                out["ready"] = True
        elif line.startswith(b"data: ") and (found := NOTE.search(line)) is not None:
            out["heard"].append((id, int(found[1]), time.monotonic()))


async def moves(url: str, cookie: str, number: int, count: int) -> None:
    await asyncio.sleep(MOVE * number / count)
    async with httpx.AsyncClient(headers={"Cookie": cookie}, timeout=30) as http:
        for unit in itertools.count(number):
            place = {"screen": "browse", "model": "fake", "layer": "stage1", "unit": unit % 6}
            await http.put(f"{url}/presence", json={"place": place})
            await asyncio.sleep(MOVE)


async def listen(people: list[list[str]]) -> None:
    """The process of the browsers: says when all are there, ends with its input, and prints what they heard."""
    heard = [{"heard": [], "events": 0, "ready": False} for _ in people]
    tasks = [asyncio.create_task(browser(url, cookie, out)) for (url, cookie), out in zip(people, heard, strict=True)]
    while not all(out["ready"] for out in heard):
        await asyncio.sleep(0.05)
        for task in tasks:
            if task.done():
                task.result()
                sys.exit("a stream ended before it began")
    tasks += [asyncio.create_task(moves(url, cookie, n, len(people))) for n, (url, cookie) in enumerate(people)]
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    for task in tasks:
        task.cancel()
    print(json.dumps([{"heard": out["heard"], "events": out["events"]} for out in heard]), flush=True)


async def write(urls: list[str], seconds: float) -> dict[int, tuple[float, float]]:
    """Notes at an even rate; when each was sent and acknowledged."""
    count, took = int(seconds * RATE), {}

    async def annotator(number: int) -> None:
        async with httpx.AsyncClient(base_url=urls[number % len(urls)], timeout=30) as http:
            await http.get("/session")
            for n in range(number, count, WRITERS):
                await asyncio.sleep(max(0.0, began + n / RATE - time.monotonic()))
                body = {"kind": "note", "model": "fake", "layer": "stage1", "unit": n % 6, "body": f"n{n}"}
                sent = time.monotonic()
                (await http.post("/annotations", json=body)).raise_for_status()
                took[n] = (sent, time.monotonic())

    began = time.monotonic() + 1.0
    await asyncio.gather(*(annotator(number) for number in range(WRITERS)))
    return took


@contextmanager
def servers(database: str | None, count: int) -> Iterator[list[str]]:
    """Servers over one database that knows a model."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        store = open_store(Settings(data_dir=Path(folder), database_url=database))
        fake = FakeModel("builtin:fake")
        SourceRepository(store).save("model", fake.source, fake.hash, fake.describe())
        store.close()
        yield [stack.enter_context(serve(Path(folder), database))[0] for _ in range(count)]


def measure(urls: list[str], seconds: float) -> dict[str, Any]:
    people = []
    for n in range(BROWSERS):
        with httpx.Client(base_url=urls[n % len(urls)]) as http:
            http.get("/session").raise_for_status()
            people.append([urls[n % len(urls)], "; ".join(f"{k}={v}" for k, v in http.cookies.items())])
    command = [sys.executable, __file__, "--listen"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin
    assert process.stdout
    process.stdin.write(json.dumps(people) + "\n")
    process.stdin.flush()
    assert process.stdout.readline() == "ready\n", "the browsers did not connect"
    took = asyncio.run(write(urls, seconds))
    time.sleep(2.0)  # what was not there by then counts as lost
    process.stdin.write("end\n")
    process.stdin.flush()
    told = json.loads(process.stdout.readline())
    process.wait(30)
    check(told, took)
    after = [max(0.0, at - took[n][1]) for one in told for _, n, at in one["heard"]]
    sent = [at - took[n][0] for one in told for _, n, at in one["heard"]]
    acknowledged = [ack - start for start, ack in took.values()]
    return {
        "writes": len(took), "deliveries": len(after), "other events": sum(one["events"] for one in told) - len(after),
        "seconds after the acknowledgement": percentiles(after) | {"max": max(after)},
        "seconds after sending": percentiles(sent) | {"max": max(sent)},
        "seconds to the acknowledgement": percentiles(acknowledged) | {"max": max(acknowledged)},
    }  # fmt: skip


def check(told: list[dict[str, Any]], took: dict[int, Any]) -> None:
    """Every browser heard the same, each note once, in the order of ids."""
    first = [(id, n) for id, n, _ in told[0]["heard"]]
    if sorted(n for _, n in first) != sorted(took):
        sys.exit(f"a browser heard {len(first)} of {len(took)} notes")
    for number, one in enumerate(told):
        heard = [(id, n) for id, n, _ in one["heard"]]
        if heard != first or any(a[0] >= b[0] for a, b in itertools.pairwise(heard)):
            sys.exit(f"browser {number} did not hear every note once, in order: {len(heard)} of {len(took)}")


def main() -> None:
    if "--listen" in sys.argv:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(listen(json.loads(sys.stdin.readline())))
        return
    options: argparse.Namespace = arguments(__doc__ or "")
    seconds = 6.0 if options.quick else 30.0
    figures: dict[str, Any] = {"browsers": BROWSERS, "annotators": WRITERS, "writes in a second": RATE, "seconds between moves": MOVE}
    with servers(None, 1) as urls:
        figures["one server, SQLite"] = measure(urls, seconds)
    if (why := postgres.missing()) is None:
        with postgres.server() as start, servers(postgres.new_database(start, "collab"), 2) as urls:
            figures["two servers, PostgreSQL"] = measure(urls, seconds)
    else:
        figures["two servers, PostgreSQL"] = why
    ratios = {}
    for place in ("one server, SQLite", "two servers, PostgreSQL"):
        if isinstance(figures[place], dict):
            late = figures[place]["seconds after the acknowledgement"]
            share = {"median": late["p95"] / GOAL, "min": late["p50"] / GOAL, "max": late["max"] / GOAL, "goal": 1.0}
            ratios[f"p95 / 1 s, {place}"] = share
                "median": late["p95"] / GOAL,
                "min": late["p50"] / GOAL,
                "max": late["max"] / GOAL,
                "goal": 1.0,
            }
    report(document("collab", ratios, figures, ("fastapi", "uvicorn", "sqlalchemy", "psycopg")), options.json)


if __name__ == "__main__":
    main()
