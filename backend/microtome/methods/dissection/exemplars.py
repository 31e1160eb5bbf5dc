"""Exact exemplars of every unit, without concepts."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydantic import Field

from microtome.capture.recorders.exemplars import BANDS, band_names, choose_exemplars
from microtome.capture.taken import View, captured
from microtome.core.context import RunContext
from microtome.methods.contract import Cost, MethodParams, method
from microtome.methods.dissection.facts import by_layer, join_arrays
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
    modalities=("image", "text"),
    returns=(Gallery,),
    partition="layers",
    params=Params,
    example_params=Params(count=2, max_examples=8),
    version="2",
    cite="Zhou, Khosla, Lapedriza, Oliva, Torralba 2015, arXiv:1412.6856",
    cost=Cost(passes=1.1, per_probe=True, capture=("peaks", "thresholds", "exemplars")),
)
def exemplars(*, model: Model, probe: ProbeSet, layers: list[str] | None = None, params: Params, run: RunContext):  # type: ignore[no-untyped-def]
    """The examples with the largest activation of every unit, exactly, with the place of the maximum and lower bands.

    Equal maxima are ordered by example; a band holds the examples whose peak lies closest to the band's threshold.
    """
    chosen = [model.layer(name) for name in layers] if layers else model.default_layers()
    examples = min(len(probe), params.max_examples or len(probe))

    def measure(view: View) -> dict[str, npt.NDArray]:
        peaks, sites = view.peaks()
        slots = choose_exemplars(peaks, view.thresholds(tuple(sorted(BANDS))).only(BANDS).values, params.count, params.seed)
        return {
            "slots": slots, "activation": np.take_along_axis(peaks, slots, axis=1),
            "sites": np.take_along_axis(sites, slots, axis=1), "maps": view.maps(slots),
        }  # fmt: skip

    with captured(model, probe, chosen, examples, run) as taken:
        for layer, a in by_layer(taken, measure, join_arrays, len(chosen), run):
            names = band_names(min(params.count, examples))
            gallery = gallery_result(layer, a["slots"], names, a["activation"], a["sites"], a["maps"], taken.input_size)
            run.publish(layer.name, {"exemplars": gallery})
    return {}
