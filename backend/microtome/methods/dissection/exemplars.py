"""Exact exemplars of every unit, without concepts."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from microtome.capture.recorders.exemplars import BANDS, choose_exemplars
from microtome.capture.recorders.thresholds import exact_thresholds
from microtome.core.context import RunContext
from microtome.methods.contract import Cost, MethodParams, method
from microtome.methods.dissection.pass_ import run_pass
from microtome.methods.dissection.tables import gallery_result
from microtome.models.model import Model
from microtome.probes import ProbeSet
from microtome.results import Gallery


class Params(MethodParams):
    count: int = Field(9, ge=1, le=36, description="Exemplars per band (top, lower bands, random, lowest).")
    max_examples: int | None = Field(None, ge=1, le=10_000_000, description="Use only the first examples; all if empty.")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Seed of the random band.")


@method(
    "exemplars",
    title="Exemplars",
    question="Which images drive each unit?",
    subjects=("model", "probe"),
    optional_subjects=("layers",),
    returns=(Gallery,),
    partition="layers",
    params=Params,
    example_params=Params(count=2, max_examples=8),
    cite="Zhou, Khosla, Lapedriza, Oliva, Torralba 2015, arXiv:1412.6856",
    cost=Cost(passes=1.2, per_probe=True, spool=True),
)
def exemplars(*, model: Model, probe: ProbeSet, layers: list[str] | None = None, params: Params, run: RunContext):  # type: ignore[no-untyped-def]
    """The examples with the largest activation of every unit, exactly, with the place of the maximum and lower bands.

    Equal maxima are ordered by example; a band holds the examples whose peak lies closest to the band's threshold.
    """
    chosen = [model.layer(name) for name in layers] if layers else model.default_layers()
    indices = list(range(min(len(probe), params.max_examples or len(probe))))
    with run_pass(model, probe, chosen, indices, run) as done:
        for number, layer in enumerate(chosen):
            run.check()
            maps = done.spool[layer.name]
            _, peaks, sites = done.summaries[layer.name].finish()
            slots, bands = choose_exemplars(peaks, exact_thresholds(maps, tuple(sorted(BANDS))).values[:, ::-1], params.count, params.seed)
            units = np.arange(layer.units)[:, None]
            gallery = gallery_result(layer, slots, bands, peaks, sites, maps[slots, units], model.preprocess.size)
            run.publish(layer.name, {"exemplars": gallery})
            done.spool.drop(layer.name)
            run.progress(number + 1, len(chosen), "layers")
    return {}
