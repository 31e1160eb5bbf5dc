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
from common import arguments, document, percentiles, ratio, report
from tests import postgres
from tests.fakes import FakeModel

from api import serve
from microtome.api.who import PERSON_COOKIE
from microtome.collab.people import People
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


async def moves(http: httpx.AsyncClient, url: str, cookie: str, number: int, count: int) -> None:
    await asyncio.sleep(MOVE * number / count)
    for unit in itertools.count(number):
        place = {"screen": "browse", "model": "fake", "layer": "stage1", "unit": unit % 6}
        await http.put(f"{url}/presence", json={"place": place}, headers={"Cookie": cookie})
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
    http = httpx.AsyncClient(timeout=30)
    tasks += [asyncio.create_task(moves(http, url, cookie, n, len(people))) for n, (url, cookie) in enumerate(people)]
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
def servers(database: str | None, count: int) -> Iterator[tuple[list[str], list[str]]]:
    """Servers over one database that knows a model and the people; their addresses, and a cookie of each person."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        store = open_store(Settings(data_dir=Path(folder), database_url=database))
        fake = FakeModel("builtin:fake")
        SourceRepository(store).save("model", fake.source, fake.hash, fake.describe())
        known = People(store)
        cookies = [f"{PERSON_COOKIE}={known.cookie(known.create(f'Person {n}'))}" for n in range(BROWSERS)]
        store.close()
        yield [stack.enter_context(serve(Path(folder), database))[0] for _ in range(count)], cookies


def measure(urls: list[str], cookies: list[str], seconds: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """Figures of all deliveries, and the ratio of each browser's p95 to the goal."""
    people = [[urls[n % len(urls)], cookie] for n, cookie in enumerate(cookies)]
    command = [sys.executable, __file__, "--listen"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin
    assert process.stdout
    process.stdin.write(json.dumps(people) + "\n")
    process.stdin.flush()
    assert process.stdout.readline() == "ready\n", "the browsers did not connect"
    took = asyncio.run(write(urls, seconds))
    time.sleep(1.0)  # what was not there by then counts as lost
    process.stdin.write("end\n")
    process.stdin.flush()
    told = json.loads(process.stdout.readline())
    process.wait(30)
    check(told, took)
    after = [[max(0.0, at - took[n][1]) for _, n, at in one["heard"]] for one in told]
    everything = [seconds for late in after for seconds in late]
    sent = [at - took[n][0] for one in told for _, n, at in one["heard"]]
    acknowledged = [ack - start for start, ack in took.values()]
    figures = {
        "writes": len(took), "deliveries": len(everything), "other events": sum(one["events"] for one in told) - len(everything),
        "seconds after the acknowledgement": percentiles(everything) | {"max": max(everything)},
        "seconds after sending": percentiles(sent) | {"max": max(sent)},
        "seconds to the acknowledgement": percentiles(acknowledged) | {"max": max(acknowledged)},
    }  # fmt: skip
    return figures, ratio([percentiles(late)["p95"] / GOAL for late in after], 1.0)


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
    seconds = 3.0 if options.quick else 30.0
    figures: dict[str, Any] = {"browsers": BROWSERS, "annotators": WRITERS, "writes in a second": RATE, "seconds between moves": MOVE}
    ratios: dict[str, Any] = {}
    with servers(None, 1) as (urls, cookies):
        figures["one server, SQLite"], ratios["p95 of a browser / 1 s, one server, SQLite"] = measure(urls, cookies, seconds)
    if (why := postgres.missing()) is None:
        with postgres.server() as start, servers(postgres.new_database(start, "collab"), 2) as (urls, cookies):
            figures["two servers, PostgreSQL"], ratios["p95 of a browser / 1 s, two servers"] = measure(urls, cookies, seconds)
    else:
        figures["two servers, PostgreSQL"] = why
    report(document("collab", ratios, figures, ("fastapi", "uvicorn", "sqlalchemy", "psycopg")), options.json)


if __name__ == "__main__":
    main()
