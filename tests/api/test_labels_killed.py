"""Many annotators write while a server is killed with -9 twice: every acknowledged write is there once, in order, with its author.

``MICROTOME_TEST_ANNOTATORS`` and ``MICROTOME_TEST_WRITES`` (per annotator) make it as large as one likes; 50 and 400 are the
twenty thousand revisions of the acceptance test.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from microtome.collab.labels.scores import Scores
from microtome.collab.people import PersonRow
from microtome.core.settings import Settings
from microtome.store import open_store
from microtome.store import tables as t
from microtome.store.sources import SourceRepository
from tests.fakes import FakeModel
from tests.reference import agreement as slow

ROOT = Path(__file__).parents[2]
ANNOTATORS = int(os.environ.get("MICROTOME_TEST_ANNOTATORS", "8"))
WRITES = int(os.environ.get("MICROTOME_TEST_WRITES", "25"))
OPTIONS = ["sky", "tree", "wall"]
UNITS = [("stage1", u) for u in range(6)] + [("stage2", u) for u in range(10)]
PATIENCE = 120.0  # seconds that an annotator keeps trying one write


@dataclass
class Server:
    """A process that can be killed and started again on its port."""

    folder: Path
    environment: dict[str, str]
    port: int = 0
    process: Any = None

    def start(self) -> None:
        if not self.port:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self.port = probe.getsockname()[1]
        command = [sys.executable, "-m", "tests.api.label_server", str(self.folder), str(self.port)]
        self.process = subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def ready(self) -> None:
        for _ in range(600):
            try:
                if httpx.get(f"{self.url}/ready", timeout=2).status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.05)
        raise AssertionError("the server did not start")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/v1"

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()


@dataclass
class Annotator:
    """Somebody who labels, and remembers every write that was acknowledged, in order, by rating."""

    number: int
    servers: list[Server]
    set: str
    id: str = ""
    held: dict[tuple[str, int], Any] = field(default_factory=dict)
    acknowledged: dict[str, list[tuple[int, str]]] = field(default_factory=lambda: defaultdict(list))
    retries: int = 0

    async def work(self, done: list[int]) -> None:
        choose = random.Random(self.number)
        async with httpx.AsyncClient(timeout=20) as http:
            session = (await self._sure(http, "GET", "/session", {})).json()
            self.id = session["person"]["id"]
            for _ in range(WRITES):
                unit, answer = choose.choice(UNITS), choose.choice(OPTIONS)
                before = self.held.get(unit)
                headers = {"Idempotency-Key": uuid.uuid4().hex}
                if before is None:
                    body = {"layer": unit[0], "unit": unit[1], "answer": answer}
                    told = await self._sure(http, "POST", f"/label-sets/{self.set}/ratings", headers, body)
                else:
                    headers["If-Match"] = f'"{before["revision"]}"'
                    told = await self._sure(http, "PATCH", f"/ratings/{before['id']}", headers, {"answer": answer})
                assert told.is_success, told.text
                self.held[unit] = told.json()
                self.acknowledged[self.held[unit]["id"]].append((self.held[unit]["revision"], answer))
                done[0] += 1

    async def _sure(self, http: httpx.AsyncClient, method: str, path: str, headers: Any, body: Any = None) -> httpx.Response:
        """Until there is an answer; the same request under the same key, at whichever server is there."""
        end = time.monotonic() + PATIENCE
        turn = self.number
        while True:
            server = self.servers[turn % len(self.servers)]
            try:
                answer = await http.request(method, server.url + path, headers=headers, json=body)
                under_way = answer.status_code == 409 and answer.json().get("field") == "Idempotency-Key"
                if answer.status_code < 500 and not under_way:
                    return answer
            except httpx.TransportError:
                pass
            assert time.monotonic() < end, f"{method} {path} got no answer"
            self.retries += 1
            turn += 1
            await asyncio.sleep(0.05)


async def label(annotators: list[Annotator], victim: Server) -> None:
    """All at once; the victim is killed and started again after a third and after two thirds of the writes."""
    done, whole = [0], ANNOTATORS * WRITES
    tasks = [asyncio.create_task(one.work(done)) for one in annotators]
    for share in (1 / 3, 2 / 3):
        while done[0] < whole * share and not all(task.done() for task in tasks):
            await asyncio.sleep(0.01)
        victim.kill()
        victim.start()
    await asyncio.gather(*tasks)


@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
@pytest.mark.slow
def test_no_acknowledged_write_is_lost_or_doubled(database: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue("postgres_url") if database == "postgresql" else None
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'backend'}:{ROOT}", "MICROTOME_DATA_DIR": str(tmp_path)}
    if url is not None:
        environment["MICROTOME_DATABASE_URL"] = url
    store = open_store(Settings(data_dir=tmp_path, database_url=url))
    fake = FakeModel("builtin:fake")
    SourceRepository(store).save("model", fake.source, fake.hash, fake.describe())
    servers = [Server(tmp_path, environment) for _ in range(2 if database == "postgresql" else 1)]
    try:
        for server in servers:
            server.start()
        for server in servers:
            server.ready()
        schema = {"type": "choice", "options": OPTIONS}
        units = [{"layer": layer, "unit": unit} for layer, unit in UNITS]
        new = {"name": "what", "model": "fake", "schema": schema, "units": units, "raters": 50, "blind": True}
        made = httpx.post(f"{servers[0].url}/label-sets", json=new).raise_for_status().json()
        annotators = [Annotator(number, servers, made["id"]) for number in range(ANNOTATORS)]
        with ThreadPoolExecutor(1) as own:  # a browser of another test may keep a loop running in this thread
            own.submit(asyncio.run, label(annotators, servers[0])).result()
    finally:
        for server in servers:
            server.kill()
    try:
        check(store, made["id"], annotators)
    finally:
        store.close()


def check(store: Any, set_id: str, annotators: list[Annotator]) -> None:
    past = t.rating_revision
    with store.read() as connection:
        rows = list(connection.execute(select(past).order_by(past.c.of_id, past.c.revision)))
        events = connection.execute(select(func.count()).where(t.event.c.type == "rating")).scalar_one()
        everybody = dict(connection.execute(select(t.rating.c.id, t.rating.c.author_id)).all())
    stored: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for row in rows:
        stored[row.of_id].append((row.revision, row.answer))
        assert row.person_id == everybody[row.of_id]
    acknowledged = {id: writes for one in annotators for id, writes in one.acknowledged.items()}
    assert stored == acknowledged
    assert len(rows) == ANNOTATORS * WRITES == events
    assert {id: one.id for one in annotators for id in one.acknowledged} == everybody
    told = Scores(store).agreement(PersonRow(annotators[0].id, "x"), set_id, "present")
    mine = annotators[0].held
    units = [[(o.id, o.held[unit]["answer"]) for o in annotators if unit in o.held] for unit in mine]
    found = {m["id"]: m["value"] for m in told["measures"]}
    assert found["percent"] == pytest.approx(slow.percent(units))
    assert found["alpha-nominal"] == pytest.approx(slow.alpha(units, "nominal"))
    print(f"{len(rows)} revisions, {sum(one.retries for one in annotators)} retries")
