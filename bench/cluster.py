"""A dissection over a Ray cluster beside the same one in the local executor, and two workers of a core beside one of two cores.

Inside the timing: reading and preparing images, forward passes, recording, thresholds, histograms, counts and exemplars at all
offered quantiles, of the built-in network on drawn images. Outside: starting Ray and its workers, loading the model, drawing the
images, compiling kernels, writing results to a database. Every array of the results is compared, bit by bit, before a time is
printed. The fixed part of the overhead weighs more here than in a run of a minute, which the goal is about.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import time
from pathlib import Path

import structlog
import torch
from common import arguments, document, ratio, report

from microtome.capture.taken import Captures, MakeShards, local_shards
from microtome.core.context import SilentContext
from microtome.core.settings import Settings
from microtome.engine.cluster.connect import Cluster, connect
from microtome.methods.dissection.dissection import Params, dissection
from microtome.models import load_model
from microtome.probes import open_probe

CORES = 2


def differences(first: SilentContext, second: SilentContext) -> list[str]:
    """Names of the arrays whose bits differ, and of documents that are not the same."""
    out = []
    for part, results in first.published.items():
        for kind, result in results.items():
            other = second.published[part][kind]
            out += [f"{part} {kind}"] * (result.model_dump_json() != other.model_dump_json())
            out += [f"{part} {kind} {n}" for n, a in result.arrays.items() if a.tobytes() != other.arrays[n].tobytes()]
    return out


def main(data: str) -> None:
    options = arguments(__doc__ or "")
    count, stages, rounds = (512, 1, 5) if options.quick else (2048, 9, 5)
    os.environ |= {
        "MICROTOME_DATA_DIR": data, "MICROTOME_THREADS": str(CORES), "PYTHONPATH": str(Path(__file__).parents[1] / "backend"),
    }  # fmt: skip
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    torch.set_num_threads(CORES)
    model, probe = load_model("builtin:tinyplaces-resnet"), open_probe(f"builtin:tinyplaces#val:{count}")
    if hasattr(probe, "materialise"):
        probe.materialise(lambda *_: None)
    layers = model.default_layers()[-stages:]

    def whole(make: MakeShards) -> SilentContext:
        run = SilentContext()
        run.captures = Captures(make)  # type: ignore[assignment]
        try:
            dissection.function(model=model, probe=probe, layers=[x.name for x in layers], params=Params(), run=run)
        finally:
            run.captures.close()  # type: ignore[attr-defined]
        return run

    began = time.perf_counter()
    # cores are counted twice: the two clusters below take turns
    ray = connect(Settings(ray_address="local", threads=2 * CORES))
    one, two = (Cluster(Settings(executor="ray", ray_actors=n, ray_cpus=CORES // n)) for n in (1, CORES))
    for cluster in (one, two):
        cluster.pool().ready(lambda: None, everybody=True)
    start = time.perf_counter() - began

    here = whole(local_shards)  # warm: kernels are compiled, models loaded, images in the cache of the system
    for name, cluster in (("one worker", one), ("two workers", two)):
        wrong = differences(here, whole(cluster.shards))
        if wrong:
            sys.exit(f"answers of {name} differ from those of the local executor: {wrong[:5]}; no time is printed")

    seconds: list[tuple[float, ...]] = []
    for _ in range(rounds):  # A B C A B C
        row = []
        for make in (local_shards, one.shards, two.shards):
            began = time.perf_counter()
            whole(make)
            row.append(time.perf_counter() - began)
        seconds.append(tuple(row))
    ratios = {
        "ray, one worker, over local": ratio([b / a for a, b, _ in seconds], 1.10),
        "two workers of a core over one of two": ratio([c / b for _, b, c in seconds], 1.05),
    }
    figures = {
        "images": count, "layers": len(layers), "units": sum(x.units for x in layers), "local seconds": min(s[0] for s in seconds),
        "one worker seconds": min(s[1] for s in seconds), "two workers seconds": min(s[2] for s in seconds),
        "seconds to start Ray and its workers": start, "load of the machine": os.getloadavg()[1],
    }  # fmt: skip
    ray.shutdown()
    report(document("cluster", ratios, figures, ("torch", "numpy", "numba", "ray")), options.json)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="microtome-bench-cluster-") as folder:
        main(folder)
