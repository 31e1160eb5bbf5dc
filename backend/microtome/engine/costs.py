"""What a run would cost, from the method's cost model and the speed measured when the model was added."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row

from microtome.engine.plan import Plan

_PER_UNIT = 24 * 1024  # bytes stored per unit beside its exemplar maps: statistics, histogram, counts of some concepts
_SLOTS = 40


def estimate(
    plan: Plan, stored: set[str], layers: Sequence[Row[Any]], missing: Sequence[Plan], queue: int, spool_limit: int
) -> dict[str, Any]:
    """The document of ``POST /runs/estimate``."""
    cached = set(plan.keys) <= stored
    open_parts = [part for part, key in plan.parts if key not in stored]
    names = set(open_parts) if plan.manifest["partition"] == "layers" else set(plan.subjects.layers)
    chosen = [row for row in layers if row.name in names]
    count = examples_of(plan)
    seconds = None if not cached and speed_of(plan) is None else 0.0
    note = "The answer is stored; nothing will be computed."
    if not cached:
        seconds = seconds_of(plan)
        seconds = seconds * _share_after(plan, layers) if seconds is not None else None
        rate = speed_of(plan)
        note = f"From {rate:.0f} images per second, measured when the model was added." if rate else "Speed not measured yet."
        for required in missing:
            extra = seconds_of(required)
            seconds = seconds + extra if seconds is not None and extra is not None else None
            note += f" {required.manifest['title']} is computed first."
        if plan.parts and len(open_parts) < len(plan.parts):
            note += f" {len(plan.parts) - len(open_parts)} of {len(plan.parts)} parts are stored already."
    by_layer = plan.manifest["partition"] == "layers" and not cached
    size = sum(row.units * (_PER_UNIT + _SLOTS * row.height * row.width * 4) for row in chosen) if by_layer else 0
    spool = sum(count * row.units * row.height * row.width * 4 for row in chosen) if plan.manifest["cost"]["spool"] else 0
    weights = plan.subjects.model.description["bytes"] * 2 if plan.subjects.model is not None else 0
    return {
        "cached": cached, "examples": 0 if cached else count, "layers": len(chosen), "seconds": seconds, "bytes": size,
        "memory_bytes": 0 if cached else weights + min(spool, spool_limit) + 512 * 2**20, "queue": queue, "note": note,
    }  # fmt: skip


def _share_after(plan: Plan, layers: Sequence[Row[Any]]) -> float:
    """Share of the network that runs behind the layer of ``units``, for methods that replay only that; at least a tenth."""
    units = plan.subjects.values.get("units")
    if not plan.manifest["cost"]["after_layer"] or units is None or not layers:
        return 1.0
    place = next((i for i, row in enumerate(layers) if row.name == units["layer"]), 0)
    return max(0.1, 1 - (place + 1) / len(layers))


def examples_of(plan: Plan) -> int:
    """Examples the run reads."""
    if plan.subjects.probe is not None and plan.manifest["cost"]["per_probe"]:
        total = int(plan.subjects.probe.description["examples"])
        limits = [n for name in ("max_examples", "examples") if isinstance(n := plan.params.get(name), int)]
        return min([total, *limits])
    return 1 if "example" in plan.subjects.values else 0


def speed_of(plan: Plan) -> float | None:
    rate = plan.subjects.model.description.get("images_per_second") if plan.subjects.model is not None else None
    return float(rate) if rate else None


def seconds_of(plan: Plan) -> float | None:
    """Seconds by the method's cost model, None without a measured speed."""
    rate, cost = speed_of(plan), plan.manifest["cost"]
    if rate is None:
        return None
    times = plan.params.get(cost["times"], 1) if cost["times"] else 1
    times = len(times) if isinstance(times, list) else times
    count = examples_of(plan) if cost["per_probe"] else 1
    return float(cost["passes"]) * float(times if isinstance(times, int | float) else 1) * count / rate
