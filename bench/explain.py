"""A whole Explain screen: twelve methods about one image of tinyplaces-resnet, with their evidence, on a real server.

Asked together, as the screen asks them, and heard as it hears them: a preview of a map is an event, a complete answer a run that is
done. Figures are seconds since the first request: first map, all maps, first complete answer, all complete answers; the median over
images that the server has not seen, after one image that warms it. Then the same requests once more, which the cache answers.
Outside: starting the server, reading the model for the first time, drawing in the browser.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import httpx
from common import arguments, document, finish, report

from api import serve

MODEL, PROBE = "tinyplaces-resnet", "tinyplaces"
METHODS = [
    "grad-cam", "saliency", "input-x-gradient", "smoothgrad", "integrated-gradients", "guided-backpropagation", "deeplift", "fullgrad",
    "layer-cam", "lrp", "occlusion", "rise",
]  # fmt: skip


class Previews(threading.Thread):
    """When the first event with a map of each run came, by run."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.url, self.at, self.ready = url, {}, threading.Event()  # type: ignore[var-annotated]

    def run(self) -> None:
        # The server ends first, in the middle of the stream.
        with (
            contextlib.suppress(httpx.RemoteProtocolError),
            httpx.Client(base_url=self.url, timeout=httpx.Timeout(30, read=600)) as http,
            http.stream("GET", "/events") as stream,
        ):
            self.ready.set()
            for line in stream.iter_lines():
                if line.startswith("data: ") and '"maps"' in line:
                    self.at.setdefault(json.loads(line[6:])["run"], time.perf_counter())


def screen(http: httpx.Client, heard: Previews, example: str) -> dict[str, float]:
    """Seconds until the maps and the answers of all methods, asked at once."""
    start = time.perf_counter()
    runs = []
    for method in METHODS:
        body = {"method": method, "subjects": {"model": MODEL, "example": example}, "params": {}, "priority": "interactive"}
        runs.append(http.post("/runs", json=body).raise_for_status().json())
    ended: dict[str, float] = {}
    while len(ended) < len(runs):
        for run in runs:
            if run["id"] not in ended:
                now = http.get(f"/runs/{run['id']}").json() if not run["cached"] else run
                if now["state"] in ("failed", "cancelled"):
                    sys.exit(f"{run['method']} {now['state']}: {now['error']}")
                if now["state"] == "done":
                    ended[run["id"]] = time.perf_counter()
        time.sleep(0.05)
    seen = [min(heard.at.get(run["id"], ended[run["id"]]), ended[run["id"]]) - start for run in runs]
    whole = [at - start for at in ended.values()]
    return {"first map": min(seen), "all maps": max(seen), "first answer": min(whole), "all answers": max(whole)}


def main() -> None:
    options = arguments(__doc__ or "")
    images = 1 if options.quick else 3
    with tempfile.TemporaryDirectory() as folder, serve(Path(folder)) as (url, _), httpx.Client(base_url=url, timeout=300) as http:
        finish(http, "/models", {"source": f"builtin:{MODEL}"})
        finish(http, "/probes", {"source": f"builtin:{PROBE}#val:24", "name": PROBE})
        heard = Previews(url)
        heard.start()
        heard.ready.wait(10)
        finish(http, "/runs", {"method": "grad-cam", "subjects": {"model": MODEL, "example": f"{PROBE}:0"}, "params": {}})
        fresh = [screen(http, heard, f"{PROBE}:{n + 1}") for n in range(images)]
        again = screen(http, heard, f"{PROBE}:1")
    figures: dict[str, Any] = {
        "methods": METHODS, "images": images,
        "seconds, new image": {name: statistics.median(f[name] for f in fresh) for name in fresh[0]},
        "seconds, each image": fresh, "seconds, cached": again["all answers"], "goals in seconds": {"first map": 1, "all answers": 60},
    }  # fmt: skip
    report(document("explain", {}, figures, ("torch", "transformers")), options.json)


if __name__ == "__main__":
    main()
