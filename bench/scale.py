"""Time and memory of a dissection against the number of images, units and concepts.

Every point runs in a process of its own on a small convolutional network with random weights. Time is that of the whole dissection,
without loading and compiling (a dissection of 32 images comes before the clock). Memory is the peak of anonymous memory, sampled
every 5 ms: what grows with the images lives in scratch files, which the system may write out. Goals: time grows at most linearly
with images, units and concepts; memory does not grow with images (at most by 10 % from 2,000 to 20,000).
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from common import arguments, document, ratio, report
from plot import lines

SIDE, LABELS = 64, 64
BASE = {"images": 1000, "units": 128, "concepts": 100}
SERIES = {
    "images": [500, 1000, 2000, 5000, 10_000, 20_000],
    "units": [32, 64, 128, 256, 512],
    "concepts": [10, 30, 100, 300, 1000],
}
QUICK = {"images": [250, 500, 1000], "units": [32, 64], "concepts": [10, 100]}


class Anonymous:
    """The largest anonymous memory of this process while the block runs, in bytes."""

    def __enter__(self) -> Anonymous:
        self.peak, self._end = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while True:
            with open("/proc/self/status") as status:
                rss = next(line for line in status if line.startswith("RssAnon"))
            self.peak = max(self.peak, int(rss.split()[1]) * 1024)
            if self._end.wait(0.005):
                return

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()


def point(images: int, units: int, concepts: int) -> dict[str, float]:
    """Measure one dissection, in this process."""
    import numpy as np
    import torch

    from microtome.core.context import SilentContext
    from microtome.core.geometry import Geometry
    from microtome.methods.dissection.dissection import Params, dissection
    from microtome.models.image import ImageModel
    from microtome.probes import Concept

    class Tensor:
        geometry, size = Geometry("exact", (SIDE, SIDE), (SIDE, SIDE)), (SIDE, SIDE)

        def __call__(self, given: list[Any]) -> torch.Tensor:
            return torch.stack(given)

    class Drawn:
        """Images and labels made from their number when they are read, so that none is kept."""

        classes, kind, hash, modality = (), "generator", "", "image"

        def __init__(self, count: int) -> None:
            self.count = count
            self.concepts = tuple(Concept(f"c{i}", "object", i) for i in range(concepts))

        def __len__(self) -> int:
            return self.count

        def image(self, index: int) -> torch.Tensor:
            return torch.randn(3, SIDE, SIDE, generator=torch.Generator().manual_seed(index))

        def labels(self, index: int) -> np.ndarray:
            drawn = np.random.default_rng(index).integers(1, concepts + 1, (1, 8, 8))
            return drawn.repeat(SIDE // 8, 1).repeat(SIDE // 8, 2).astype(np.uint16)

        def ignore(self, index: int) -> None:
            return None

    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 64, 5, 4, 2), torch.nn.ReLU(), torch.nn.Conv2d(64, units, 3, 1, 1), torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(units, 10),
    )  # fmt: skip
    model = ImageModel(source="bench", network=network, preprocess=Tensor(), classes=[], family="cnn", hash="", bytes=0, config={})  # type: ignore[arg-type]

    def run(count: int) -> None:
        dissection.function(model=model, probe=Drawn(count), layers=["3"], params=Params(), run=SilentContext())

    run(32)
    with Anonymous() as memory:
        start = time.perf_counter()
        run(images)
        seconds = time.perf_counter() - start
    return {"seconds": seconds, "megabytes": memory.peak / 1e6}


def apart(**values: int) -> dict[str, float]:
    """The same in a fresh process."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--point", json.dumps(values)]
        environment = os.environ | {"MICROTOME_DATA_DIR": folder}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=1800)
    if done.returncode:
        sys.exit(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


def slope(xs: list[int], ys: list[float]) -> float:
    """Exponent of growth between the ends: 1 is linear."""
    return math.log(ys[-1] / ys[0]) / math.log(xs[-1] / xs[0])


def main() -> None:
    if "--point" in sys.argv:
        print(json.dumps(point(**json.loads(sys.argv[-1]))))
        return
    options = arguments(__doc__ or "")
    series = QUICK if options.quick else SERIES
    base = BASE | ({"images": 250} if options.quick else {})
    measured = {name: [apart(**(base | {name: x})) for x in xs] for name, xs in series.items()}
    ratios, figures = {}, {}
    for name, xs in series.items():
        seconds, memory = [m["seconds"] for m in measured[name]], [m["megabytes"] for m in measured[name]]
        ratios[f"exponent of time in {name}"] = ratio([slope(xs, seconds)], 1.05)
        figures[name] = {"at": xs, "seconds": [round(s, 3) for s in seconds], "peak anonymous megabytes": [round(m, 1) for m in memory]}
    few = 2000 if 2000 in series["images"] else series["images"][0]
    images = dict(zip(series["images"], (m["megabytes"] for m in measured["images"]), strict=True))
    ratios[f"memory of {series['images'][-1]} over {few} images"] = ratio([images[series["images"][-1]] / images[few]], 1.10)
    figures["otherwise"] = base
    result = document("scale", ratios, figures, ("torch", "numpy", "numba"))
    if not options.quick:
        folder = Path(__file__).parent / "results"
        panels = [
            (f"{what} by {name}", series[name], [m[key] for m in measured[name]])
            for what, key in (("seconds", "seconds"), ("peak MB", "megabytes"))
            for name in series
        ]
        (folder / "scale.svg").write_text(lines(panels, columns=3))
    report(result, options.json)


if __name__ == "__main__":
    main()
