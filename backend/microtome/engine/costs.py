"""What a run would cost, from the method's cost model and the speed measured when the model was added."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row

from microtome.capture.pieces import bytes_per_unit, split
from microtome.capture.scratch import scratch_budget
from microtome.engine.plan import Plan

_PER_UNIT = 24 * 1024  # bytes stored per unit beside its exemplar maps: statistics, histogram, counts of some concepts
_SLOTS = 40
_PROCESS = 512 * 2**20  # the worker itself
_DIGITS = 180 * 1024  # bytes of memory per unit while its thresholds are found


def estimate(
    plan: Plan, stored: set[str], layers: Sequence[Row[Any]], missing: Sequence[Plan], queue: int, company: Sequence[Row[Any]]
) -> dict[str, Any]:
    """The document of ``POST /runs/estimate``.

    Args:
        company: runs under way or waiting that can share the pass.

    Raises:
        TooLarge: the activations of not even one unit fit the bound of scratch files.
    """
    if set(plan.keys) <= stored:
        return {
            "cached": True, "examples": 0, "layers": 0, "recorders": [], "passes": 0, "seconds": 0.0, "bytes": 0, "scratch_bytes": 0,
            "memory_bytes": 0, "queue": queue, "note": "The answer is stored; nothing will be computed.",
        }  # fmt: skip
    open_parts = [part for part, key in plan.parts if key not in stored]
    by_layer = plan.manifest["partition"] == "layers"
    names = set(open_parts) if by_layer else set(plan.subjects.layers)
    chosen = [row for row in layers if row.name in names]
    recorders = plan.manifest["cost"]["capture"]
    groups = split(chosen, plan.examples, scratch_budget()) if recorders else []
    passes = max(1, len(groups)) if recorders else 0
    rate, seconds = speed_of(plan), seconds_of(plan, max(1, passes))
    seconds = seconds * _share_after(plan, layers) if seconds is not None else None
    notes = [f"From {rate:.0f} images per second, measured when the model was added." if rate else "Speed not measured yet."]
    if passes > 1:
        notes.append(
            f"{passes} passes over the images: exact thresholds need all activations of a unit at once, and those of all layers are more "
            "than MICROTOME_SCRATCH_BYTES allows."
        )
    for required in missing:
        extra = seconds_of(required, 1)
        seconds = seconds + extra if seconds is not None and extra is not None else None
        notes.append(f"{required.manifest['title']} is computed first.")
    if len(open_parts) < len(plan.parts):
        notes.append(f"{len(plan.parts) - len(open_parts)} of {len(plan.parts)} parts are stored already.")
    if company:
        notes.append(f"Shares its pass with {_list([row.title for row in company])}, if that has not begun.")
    rows = {row.name: row for row in chosen}
    scratch = max((sum(bytes_per_unit(rows[p.layer], plan.examples) * p.units for p in group) for group in groups), default=0)
    weights = plan.subjects.model.description["bytes"] * 2 if plan.subjects.model is not None else 0
    widest = max((row.units for row in chosen), default=0) if recorders else 0
    return {
        "cached": False, "examples": plan.examples, "layers": len(chosen), "recorders": list(recorders), "passes": passes,
        "seconds": seconds,
        "bytes": sum(row.units * (_PER_UNIT + _SLOTS * row.height * row.width * 4) for row in chosen) if by_layer else 0,
        "scratch_bytes": scratch, "memory_bytes": weights + _PROCESS + widest * _DIGITS, "queue": queue, "note": " ".join(notes),
    }  # fmt: skip


def _list(titles: Sequence[str]) -> str:
    some = list(dict.fromkeys(titles))
    return some[0] if len(some) == 1 else f"{', '.join(some[:-1])} and {some[-1]}"


def _share_after(plan: Plan, layers: Sequence[Row[Any]]) -> float:
    """Share of the network that runs behind the layer of ``units``, for methods that replay only that; at least a tenth."""
    units = plan.subjects.values.get("units")
    if not plan.manifest["cost"]["after_layer"] or units is None or not layers:
        return 1.0
    place = next((i for i, row in enumerate(layers) if row.name == units["layer"]), 0)
    return max(0.1, 1 - (place + 1) / len(layers))


def speed_of(plan: Plan) -> float | None:
    rate = plan.subjects.model.description.get("images_per_second") if plan.subjects.model is not None else None
    return float(rate) if rate else None


def seconds_of(plan: Plan, passes: int) -> float | None:
    """Seconds by the method's cost model, of which ``passes`` go over the examples; None without a measured speed."""
    rate, cost = speed_of(plan), plan.manifest["cost"]
    if rate is None:
        return None
    of_maps = float(cost["maps"]) * sum(_passes(named.manifest, named.params) for named in plan.named)
    count = plan.examples if cost["per_probe"] else 1
    return (_passes(plan.manifest, plan.params) + (passes - 1 + of_maps) * _times(plan.manifest, plan.params)) * count / rate


def _passes(manifest: Mapping[str, Any], params: Mapping[str, Any]) -> float:
    """Forward passes that a method costs by itself, with its defaults for what is left out."""
    return float(manifest["cost"]["passes"]) * _times(manifest, params)


def _times(manifest: Mapping[str, Any], params: Mapping[str, Any]) -> float:
    """Value of the parameter that multiplies a method's cost (the length of a list); 1 if there is none."""
    name = manifest["cost"]["times"]
    value = params.get(name, manifest["params"].get("properties", {}).get(name, {}).get("default", 1)) if name else 1
    value = len(value) if isinstance(value, list) else value
    return float(value) if isinstance(value, int | float) else 1.0
