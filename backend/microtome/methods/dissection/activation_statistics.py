"""Activation statistics and thresholds of every unit, without concepts."""

from __future__ import annotations

from pydantic import Field

from microtome.capture.kernels import set_threads
from microtome.capture.recorders.histogram import Histogram
from microtome.capture.recorders.thresholds import GRID, exact_thresholds
from microtome.core.context import RunContext
from microtome.core.settings import settings
from microtome.methods.contract import Cost, MethodParams, method
from microtome.methods.dissection.pass_ import run_pass
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
    returns=(UnitTable, Distribution),
    partition="layers",
    params=Params,
    example_params=Params(max_examples=8),
    cite="moments: Chan, Golub, LeVeque 1979; quantiles exact by selection",
    cost=Cost(passes=1.3, per_probe=True, spool=True),
)
def activation_statistics(  # type: ignore[no-untyped-def]
    *, model: Model, probe: ProbeSet, layers: list[str] | None = None, params: Params, run: RunContext
):
    """Mean, deviation, extremes, histogram and exact thresholds at every offered quantile, per unit.

    Over all examples and sites at the layer's own resolution, in the activation's own unit.
    """
    chosen = [model.layer(name) for name in layers] if layers else model.default_layers()
    indices = list(range(min(len(probe), params.max_examples or len(probe))))
    set_threads(settings().threads)
    with run_pass(model, probe, chosen, indices, run) as done:
        for number, layer in enumerate(chosen):
            run.check()
            maps, (moments, _, _) = done.spool[layer.name], done.summaries[layer.name].finish()
            thresholds = exact_thresholds(maps, GRID)
            histogram = Histogram(moments.minimum, moments.maximum)
            histogram.update(maps)
            units = UnitTable.of(title=f"Activations of {layer.label}", layer=layer.name, columns=statistics_columns(moments))
            run.publish(layer.name, {"units": units, "activation": activation_result(layer, histogram.finish(), thresholds)})
            done.spool.drop(layer.name)
            run.progress(number + 1, len(chosen), "layers")
    return {}
