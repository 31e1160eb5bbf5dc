"""What all benchmarks share: the machine, paired timing, the JSON document of DESIGN section 12."""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from microtome.core.machine import keep_freed_memory

keep_freed_memory()  # as a worker does, for both sides of every comparison


def arguments(description: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of a table")
    parser.add_argument("--quick", action="store_true", help="a smaller input, at most 45 seconds on two cores")
    return parser.parse_args()


def paired(first: Callable[[], Any], second: Callable[[], Any], pairs: int) -> dict[str, Any]:
    """Seconds of ``first`` and ``second``, interleaved A B A B, and the ratios first / second of each pair."""
    rows = []
    for _ in range(pairs):
        start = time.perf_counter()
        first()
        middle = time.perf_counter()
        second()
        rows.append((middle - start, time.perf_counter() - middle))
    return {"a": [r[0] for r in rows], "b": [r[1] for r in rows], "ratio": [r[0] / r[1] for r in rows]}


def finish(http: Any, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Put a run to a server with an ``httpx.Client`` and wait for its end; exits where it fails."""
    run = http.post(path, json=body).raise_for_status().json()
    while run["state"] in ("queued", "running"):
        time.sleep(0.02)
        run = http.get(f"/runs/{run['id']}").json()
    if run["state"] != "done":
        sys.exit(f"{run['method']} failed: {run['error']}")
    return dict(run)


def ratio(values: list[float], goal: float | None) -> dict[str, float | None]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "goal": goal}


def percentiles(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {"p50": ordered[len(ordered) // 2], "p95": ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]}


def peak_megabytes() -> float:
    """The most memory that this process has had. What the system's accounts say includes the process that started it."""
    try:
        with open("/proc/self/status") as handle:
            return int(next(line.split()[1] for line in handle if line.startswith("VmHWM"))) / 1024
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def document(name: str, ratios: dict[str, Any], figures: dict[str, Any], packages: tuple[str, ...]) -> dict[str, Any]:
    machine = {"cores": os.cpu_count(), "processor": _processor(), "system": platform.platform()}
    versions = {"python": platform.python_version(), **{p: version(p) for p in packages}}
    return {"name": name, "machine": machine, "versions": versions, "ratios": ratios, "figures": figures}


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as handle:
            return next((line.split(":")[1].strip() for line in handle if line.startswith("model name")), platform.processor())
    except OSError:
        return platform.processor()


def report(result: dict[str, Any], as_json: bool) -> None:
    """The document on standard output, or a table for people."""
    if as_json:
        json.dump(result, sys.stdout, indent=1)
        print()
        return
    print(f"{result['name']} on {result['machine']['cores']} cores, {result['machine']['processor']}")
    for name, r in result["ratios"].items():
        goal = "" if r["goal"] is None else f"   goal {r['goal']}"
        print(f"  {name:36s} {r['median']:8.3f} x   ({r['min']:.3f} to {r['max']:.3f}){goal}")
    for name, value in result["figures"].items():
        print(f"  {name:36s} {value}")
