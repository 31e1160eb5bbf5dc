"""Thirty-two people browsing a million units, over loopback, on SQLite and PostgreSQL; and how long a batch run keeps one waiting.

A real server (`microtome serve`) on the load of bench/synthetic.py: one layer of a million units, 20 million exemplar rows. Each
client is a person: it asks, waits a moment (0.2 to 1.2 s), asks again. What they ask: the atlas, pages of the table with a filter
and an order of their own, the linked views of that filter, pieces of the map, units, exemplar strips, the units an image drives,
a stored result. Then the same without waiting, for the most requests per second. Clients and server share the machine's cores.
Outside: making the load, and the first request of each kind, whose time is given apart (it reads columns and sorts them once).
Answers are checked: pages obey their filter and order, their counts agree with the linked views, and no answer but a picture is
larger than 2 MB. PostgreSQL is started for this with its own defaults; it does not sync writes to disk, and nothing here writes.

The second part submits a saliency map while a dissection of the built-in network runs, and compares the time until a worker has begun
it with an idle server's; what follows (map, evidence) is the same work in both cases and is cancelled.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import httpx
from common import arguments, document, finish, percentiles, report
from synthetic import MODEL, PROBE, SLOTS
from tests import postgres

USERS, LIMIT, PAUSE = 32, 2_000_000, (0.2, 1.2)
ABOUT = {"model": MODEL, "probe": PROBE}
GOALS = {"page": 100.0, "cached result": 50.0}
SORTS = ("iou", "density", "mean", "max", "threshold", "concept", "unit")
#: What people ask, by how often.
SHARES = {
    "page": 30, "aggregate": 15, "unit": 15, "strip": 15, "cached result": 10, "atlas": 5, "map chunk": 4, "driven": 4, "similar": 2,
}  # fmt: skip
Ask = Callable[[httpx.AsyncClient, random.Random], Awaitable[httpx.Response]]


@contextmanager
def serve(data: Path, database: str | None = None) -> Iterator[tuple[str, int]]:
    """A running server; yields the address of its API and its process id."""
    environment = {**os.environ, "MICROTOME_DATA_DIR": str(data), "HF_HUB_OFFLINE": "1"}
    if database is not None:
        environment["MICROTOME_DATABASE_URL"] = database
    command = [sys.executable, "-m", "microtome.cli", "serve", "--port", "0"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout
        match = re.search(r"http://\S+?(?=/?\s)", process.stdout.readline())
        assert match, "the server did not start"
        yield f"{match[0]}/api/v1", process.pid
    finally:
        process.terminate()
        process.wait(30)


def selection(dice: random.Random, concepts: list[str]) -> dict[str, Any]:
    """A filter that hardly anybody else has at the moment."""
    chosen: dict[str, Any] = {"iou": {"min": round(dice.uniform(0.0, 0.12), 4)}}
    if dice.random() < 0.5:
        chosen["density"] = {"max": round(dice.uniform(0.1, 0.6), 3)}
    if dice.random() < 0.4:
        chosen["not_concepts"] = dice.sample(concepts, 2)
    if dice.random() < 0.3:
        chosen["detector"] = True
    return chosen


def asks(facts: dict[str, Any]) -> dict[str, Ask]:
    """The requests by kind."""
    layer, units, concepts = facts["layer"], facts["units"], facts["concepts"]

    async def page(http: httpx.AsyncClient, dice: random.Random) -> httpx.Response:
        body = {**ABOUT, "selection": selection(dice, concepts), "sort": dice.choice(SORTS), "descending": dice.random() < 0.7}
        answer = await http.post("/units/query", json=body | {"limit": 50})
        check_page(answer.json(), body)
        return answer

    async def aggregate(http: httpx.AsyncClient, dice: random.Random) -> httpx.Response:
        return await http.post("/units/aggregate", json={**ABOUT, "selection": selection(dice, concepts)})

    def one(tail: str, **query: Any) -> Ask:
        async def get(http: httpx.AsyncClient, dice: random.Random) -> httpx.Response:
            return await http.get(f"/units/{MODEL}/{layer}/{dice.randrange(units)}{tail}", params={"probe": PROBE, **query})

        return get

    async def chunk(http: httpx.AsyncClient, dice: random.Random) -> httpx.Response:
        query = {**ABOUT, "version": facts["version"]}
        return await http.get(f"/units/map/{dice.randrange(facts['chunks'])}", params=query)

    async def driven(http: httpx.AsyncClient, dice: random.Random) -> httpx.Response:
        return await http.get("/units/driven", params={**ABOUT, "example": dice.randrange(facts["images"])})

    async def stored(http: httpx.AsyncClient, _: random.Random) -> httpx.Response:
        return await http.get(f"/results/{facts['key']}")

    async def atlas(http: httpx.AsyncClient, _: random.Random) -> httpx.Response:
        return await http.get("/atlas", params=ABOUT)

    return {
        "page": page, "aggregate": aggregate, "unit": one(""), "strip": one("/strip", key=facts["key"]), "cached result": stored,
        "atlas": atlas, "map chunk": chunk, "driven": driven, "similar": one("/similar"),
    }  # fmt: skip


def check_page(found: dict[str, Any], body: dict[str, Any]) -> None:
    """The rows obey the filter and the order."""
    rows, chosen = found["items"], body["selection"]
    held = all(
        row["iou"] >= chosen["iou"]["min"]
        and ("density" not in chosen or row["density"] <= chosen["density"]["max"])
        and row["concept"] not in chosen.get("not_concepts", ())
        and (not chosen.get("detector") or row["detector"])
        for row in rows
    )
    values = [row[body["sort"]] for row in rows]
    if not held or values != sorted(values, reverse=body["descending"]):
        sys.exit(f"a page does not obey its filter or order, no time is printed: {body}")


async def browse(url: str, facts: dict[str, Any], seconds: float, pause: tuple[float, float]) -> tuple[dict[str, list[float]], float, int]:
    """Milliseconds by kind, requests per second, and bytes of the largest answer that is no picture."""
    kinds, largest = asks(facts), 0
    times: dict[str, list[float]] = defaultdict(list)
    # one context for all: reading certificates 32 times would stand in the way of the first requests
    clients = [httpx.AsyncClient(base_url=url, timeout=60, verify=False) for _ in range(USERS)]  # noqa: S501 -- loopback without TLS
    begun = time.perf_counter()

    async def person(number: int) -> None:
        nonlocal largest
        dice = random.Random(number)
        async with clients[number] as http:
            await asyncio.sleep(dice.uniform(0, pause[1]))
            while time.perf_counter() - begun < seconds:
                kind = dice.choices(list(SHARES), list(SHARES.values()))[0]
                start = time.perf_counter()
                answer = await kinds[kind](http, dice)
                times[kind].append((time.perf_counter() - start) * 1000)
                answer.raise_for_status()
                if not answer.headers["content-type"].startswith("image/"):
                    largest = max(largest, len(answer.content))
                if pause[1]:
                    await asyncio.sleep(dice.uniform(*pause))

    await asyncio.gather(*(person(number) for number in range(USERS)))
    if largest > LIMIT:
        sys.exit(f"an answer had {largest} bytes, more than {LIMIT}; no time is printed")
    return times, sum(map(len, times.values())) / (time.perf_counter() - begun), largest


def first_requests(url: str) -> tuple[dict[str, Any], dict[str, float]]:
    """What the load holds, and the milliseconds of the first request of each kind."""
    first: dict[str, float] = {}
    with httpx.Client(base_url=url, timeout=300) as http:

        def timed(name: str, call: Callable[[], httpx.Response]) -> Any:
            start = time.perf_counter()
            answer = call().raise_for_status()
            first[name] = round((time.perf_counter() - start) * 1000, 1)
            return answer.json()

        atlas = timed("atlas", lambda: http.get("/atlas", params=ABOUT))
        layer = next(x for x in atlas["layers"] if x["computed"])
        head = timed("map", lambda: http.get("/units/map", params=ABOUT))
        for sort in SORTS:
            for down in (True, False):
                body = {**ABOUT, "sort": sort, "descending": down}
                counts = timed(f"page by {sort}{'' if down else ', ascending'}", lambda b=body: http.post("/units/query", json=b))["counts"]
        linked = timed("aggregate", lambda: http.post("/units/aggregate", json=ABOUT))
        timed("similar", lambda: http.get(f"/units/{MODEL}/{layer['name']}/0/similar", params={"probe": PROBE}))
        chosen = {"iou": {"min": 0.05}, "detector": True}
        table = http.post("/units/query", json={**ABOUT, "selection": chosen}).json()["counts"]
        views = http.post("/units/aggregate", json={**ABOUT, "selection": chosen}).json()["counts"]
        if any(table[name] != views[name] for name in table) or not 0 < table["in_filter"] < counts["all"]:
            sys.exit("counts of table and linked views differ; no time is printed")
    return {
        "layer": layer["name"], "units": layer["units"], "key": layer["key"], "version": head["version"], "chunks": head["chunks"],
        "images": atlas["images"], "concepts": [f"{c['category']}:{c['concept'].split(':')[-1]}" for c in linked["concepts"]],
    }, first  # fmt: skip


def memory(pid: int) -> dict[str, int]:
    """Megabytes of the server process: its own, and with the pages of mapped files that it shares with the file cache."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = {name: int(value) // 1024 for name, value in re.findall(r"^(Rss|Anonymous):\s+(\d+) kB", text, re.M)}
    return {"own": found["Anonymous"], "with mapped files": found["Rss"]}


def measure(data: Path, units: int, seconds: float, database: str | None) -> dict[str, Any]:
    command = [sys.executable, str(Path(__file__).with_name("synthetic.py")), "--units", str(units), "--data", str(data)]
    if database is not None:
        command += ["--database", database]
    load = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    with serve(data, database) as (url, pid):
        facts, first = first_requests(url)
        calm, _, largest = asyncio.run(browse(url, facts, seconds, PAUSE))
        rush, rate, other = asyncio.run(browse(url, facts, seconds, (0.0, 0.0)))
        held, load_average = memory(pid), round(os.getloadavg()[0], 1)

    def shown(times: dict[str, list[float]]) -> dict[str, Any]:
        return {k: {n: round(v, 1) for n, v in percentiles(times[k]).items()} | {"n": len(times[k])} for k in SHARES if times[k]}

    return {
        "load": load, "first request ms": first, "browsing ms": shown(calm), "without pauses ms": shown(rush),
        "requests per second without pauses": round(rate, 1), "largest answer bytes": max(largest, other), "server MB": held,
        "load average": load_average,
    }  # fmt: skip


def interactive(images: int, repeats: int) -> dict[str, Any]:
    """Seconds of an explanation on an idle server and while a dissection runs."""

    with tempfile.TemporaryDirectory() as folder, serve(Path(folder)) as (url, _), httpx.Client(base_url=url, timeout=300) as http:
        finish(http, "/models", {"source": "builtin:tinyplaces-resnet"})
        finish(http, "/probes", {"source": f"builtin:tinyplaces#val:{images}", "name": "tinyplaces"})

        def explain(index: int) -> float:
            body = {
                "method": "saliency", "subjects": {"model": "tinyplaces-resnet", "example": f"tinyplaces:{index}"},
                "priority": "interactive",
            }  # fmt: skip
            start = time.perf_counter()
            run = http.post("/runs", json=body).raise_for_status().json()
            if run["cached"]:
                sys.exit("an explanation came from the cache; no time is printed")
            while run["state"] == "queued":
                time.sleep(0.005)
                run = http.get(f"/runs/{run['id']}").json()
            waited = (time.perf_counter() - start) * 1000
            http.post(f"/runs/{run['id']}/cancel")
            while run["state"] in ("queued", "running"):
                time.sleep(0.02)
                run = http.get(f"/runs/{run['id']}").json()
            if run["state"] == "failed":
                sys.exit(f"{run['method']} failed: {run['error']}")
            return waited

        explain(0), explain(1)
        idle = [explain(2 + i) for i in range(repeats)]
        subjects = {"model": "tinyplaces-resnet", "probe": "tinyplaces"}
        batch = http.post("/runs", json={"method": "dissection", "subjects": subjects, "priority": "batch"}).json()
        busy: list[float] = []
        rates: list[float] = []
        while len(busy) < 3 * repeats and 2 + repeats + len(busy) < images:
            run = http.get(f"/runs/{batch['id']}").json()
            if run["state"] not in ("queued", "running"):
                break
            progress = run["progress"]
            if progress is None:
                time.sleep(0.01)
                continue
            if progress["rate"] and "image" in progress["what"]:
                rates.append(progress["rate"])
            busy.append(explain(2 + repeats + len(busy)))
        http.post(f"/runs/{batch['id']}/cancel")
    from microtome.capture.run import BATCH

    found: dict[str, Any] = {
        "explanation begins, idle ms": {k: round(v, 1) for k, v in percentiles(idle).items()},
        "explanation begins, during a dissection ms": {k: round(v, 1) for k, v in percentiles(busy).items()} | {"n": len(busy)}
        if busy
        else None,
    }
    if rates and busy:
        one = BATCH / statistics.median(rates) * 1000
        found |= {
            "one batch ms": round(one, 1),
            "delay p50 ms": round(statistics.median(busy) - statistics.median(idle), 1),
            "longest delay ms": round(max(busy) - statistics.median(idle), 1),
            "delays over one batch": sum(b - statistics.median(idle) > one for b in busy),
        }
    return found


def main() -> None:
    options = arguments(__doc__ or "")
    units, seconds = (20_000, 2.0) if options.quick else (1_000_000, 25.0)
    figures: dict[str, Any] = {"units": units, "exemplar rows": units * SLOTS, "users": USERS, "pause s": list(PAUSE)}
    with tempfile.TemporaryDirectory() as folder:
        figures["sqlite"] = measure(Path(folder), units, seconds, None)
    if (reason := postgres.missing()) is None:
        with tempfile.TemporaryDirectory() as folder, postgres.server() as server:
            figures["postgresql"] = measure(Path(folder), units, seconds, postgres.new_database(server, "load"))
    else:
        figures["postgresql"] = reason
    figures["interactive"] = interactive(120 if options.quick else 1200, 6 if options.quick else 20)
    ratios = {}
    for database in ("sqlite", "postgresql"):
        for kind, goal in GOALS.items():
            if isinstance(figures[database], dict):
                p = figures[database]["browsing ms"][kind]
                ratios[f"{database}: {kind} p95 over its goal of {goal:g} ms"] = {
                    "median": p["p95"] / goal, "min": p["p50"] / goal, "max": p["p95"] / goal, "goal": 1.0,
                }  # fmt: skip
    report(document("api", ratios, figures, ("fastapi", "uvicorn", "sqlalchemy", "psycopg", "numpy", "httpx")), options.json)


if __name__ == "__main__":
    main()
