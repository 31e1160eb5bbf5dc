"""``kill -9`` of the whole server in the middle of a dissection."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from tests.e2e.conftest import Server


def test_after_a_kill_the_run_ends_and_nothing_anybody_wrote_is_lost(tmp_path: Path) -> None:
    data, sources = tmp_path / "data", tmp_path / "sources"
    sources.mkdir()
    first = Server(data, sources)
    try:
        first.add("models", "builtin:tinyplaces-resnet")
        first.add("probes", "builtin:tinyplaces#val:360", "few")
        note = {"kind": "note", "model": "tinyplaces-resnet", "layer": "resnet.embedder", "unit": 1, "body": "kept"}
        first.post("/annotations", note)
        body = {"method": "dissection", "subjects": {"model": "tinyplaces-resnet", "probe": "few"}, "params": {}}
        run = first.post("/runs", body)
        for _ in range(600):
            now = first.http.get(f"/runs/{run['id']}").json()
            if now["state"] != "queued" and (now["progress"] or now["state"] != "running"):
                break
            time.sleep(0.05)
    finally:
        os.kill(first.process.pid, signal.SIGKILL)
        first.process.wait()
    second = Server(data, sources)
    try:
        for part in run["parts"]:
            # Whatever is served is whole: all six results of a layer, or none.
            answer = second.http.get(f"/results/{part['key']}")
            assert answer.status_code == 404 or len(answer.json()["results"]) == 6
        ended = second.finish(second.http.get(f"/runs/{run['id']}").json())
        assert all(part["done"] for part in ended["parts"])
        assert second.http.get("/annotations", params={"model": "tinyplaces-resnet"}).json()["items"][0]["body"] == "kept"
    finally:
        second.stop()
