"""Activation statistics and thresholds of every unit, without concepts."""

from __future__ import annotations

import numpy.typing as npt
from pydantic import Field

from microtome.capture.recorders.moments import MomentStats
from microtome.capture.recorders.thresholds import GRID, Thresholds
from microtome.capture.taken import View, captured
from microtome.core.context import RunContext
from microtome.methods.contract import Cost, MethodParams, method
from microtome.methods.dissection.facts import by_layer, join_arrays
from microtome.methods.dissection.tables import activation_result, statistics_columns
from microtome.models.model import Model
from microtome.probes import ProbeSet
from microtome.results import Distribution, UnitTable


class Params(MethodParams):
    max_examples: int | None = Field(None, ge=1, le=10_000_000, description="Use only the first examples; all if empty.")


@method(
    "activation-statistics",
    title="Activation statistics",
    question="How active is each unit?",
    subjects=("model", "probe"),
    optional_subjects=("layers",),
    modalities=("image", "text"),
    returns=(UnitTable, Distribution),
    partition="layers",
    params=Params,
    example_params=Params(max_examples=8),
    version="2",
    cite="moments: Chan, Golub, LeVeque 1979; quantiles exact by selection",
    cost=Cost(passes=1.1, per_probe=True, capture=("moments", "thresholds", "histograms")),
)
def activation_statistics(  # type: ignore[no-untyped-def]
    *, model: Model, probe: ProbeSet, layers: list[str] | None = None, params: Params, run: RunContext
):
    """Mean, deviation, extremes, histogram and exact thresholds at every offered quantile, per unit.

    Over all examples and sites at the layer's own resolution, in the activation's own unit.
    """
    chosen = [model.layer(name) for name in layers] if layers else model.default_layers()
    examples = min(len(probe), params.max_examples or len(probe))

    def measure(view: View) -> dict[str, npt.NDArray]:
        moments, thresholds, (edges, counts) = view.moments(), view.thresholds(GRID), view.histogram()
        return {
            "mean": moments.mean, "std": moments.std, "minimum": moments.minimum, "maximum": moments.maximum,
            "values": thresholds.values, "attained": thresholds.attained, "edges": edges, "counts": counts,
        }  # fmt: skip

    with captured(model, probe, chosen, examples, run) as taken:
        for layer, a in by_layer(taken, measure, join_arrays, len(chosen), run):
            lengths = taken.lengths()
            sites = examples * layer.height * layer.width if lengths is None else int(lengths.sum())
            moments = MomentStats(a["mean"], a["std"], a["minimum"], a["maximum"], sites)
            units = UnitTable.of(title=f"Activations of {layer.label}", layer=layer.name, columns=statistics_columns(moments))
            thresholds = Thresholds(GRID, a["values"], a["attained"])
            activation = activation_result(layer, (a["edges"], a["counts"]), thresholds)
            run.publish(layer.name, {"units": units, "activation": activation})
    return {}
