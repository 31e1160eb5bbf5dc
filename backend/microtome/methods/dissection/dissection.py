"""Network dissection: what does each unit detect, measured against exact concept masks, for all layers in one pass."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from microtome.capture.kernels import set_threads
from microtome.capture.recorders.exemplars import BANDS, choose_exemplars
from microtome.capture.recorders.histogram import Histogram
from microtome.capture.recorders.tally import ConceptAreas, Tally
from microtome.capture.recorders.thresholds import GRID, exact_thresholds
from microtome.capture.run import label_size, read_labels
from microtome.core.context import RunContext
from microtome.core.errors import InvalidInput
from microtome.core.settings import settings
from microtome.methods.contract import Cost, MethodParams, method
from microtome.methods.dissection.chance import permutation_chance
from microtome.methods.dissection.pass_ import Pass, run_pass
from microtome.methods.dissection.tables import LayerFacts, layer_results
from microtome.models.layers import Layer
from microtome.models.model import Model
from microtome.probes import ProbeSet
from microtome.results import Distribution, Gallery, Matrix, Scorecard, UnitTable
from microtome.results.iou import MIN_IOU

_CHUNK = 64


class Params(MethodParams):
    quantile: float = Field(
        0.995,
        description="A unit is on where its activation lies above this quantile.",
        json_schema_extra={"enum": list(GRID)},
    )
    min_iou: float = Field(MIN_IOU, ge=0.0, le=1.0, description="Least IoU with its best concept that makes a unit a detector.")
    exemplars: int = Field(9, ge=1, le=36, description="Exemplars per band (top, lower bands, random, lowest).")
    max_examples: int | None = Field(None, ge=2, le=10_000_000, description="Use only the first examples; all if empty.")
    permutations: int = Field(
        0, ge=0, le=5000,
        description="Draws for the chance level of the best concept (masks on other images' labels); 0 uses independence, "
        "200 or more gives the 95th percentile of the maximum over concepts. Costs about a second per draw and 500 units.",
    )  # fmt: skip
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Seed of the random band and of the permutations.")


@method(
    "dissection",
    title="Network dissection",
    question="What does each unit detect?",
    subjects=("model", "probe"),
    optional_subjects=("layers",),
    returns=(UnitTable, Matrix, Distribution, Gallery, Scorecard),
    partition="layers",
    params=Params,
    example_params=Params(max_examples=12, exemplars=2),
    cite="Bau, Zhou, Khosla, Oliva, Torralba 2017, arXiv:1704.05796",
    cost=Cost(passes=2.0, per_probe=True, spool=True),
)
def dissection(*, model: Model, probe: ProbeSet, layers: list[str] | None = None, params: Params, run: RunContext):  # type: ignore[no-untyped-def]
    """Activation statistics, exact exemplars, exact thresholds and the IoU of every unit with every concept.

    Follows Bau et al. 2017, section 3: a unit's threshold is a quantile of its activations over the whole probe set; its
    mask is the map, upsampled bilinearly, above the threshold; its score for a concept is the intersection over union
    summed over the probe set. One forward pass serves all layers; counts at every offered quantile are kept, so that the
    threshold can be moved afterwards without running the model.

    Raises:
        InvalidInput: permutations between 1 and 199, a quantile that is not offered, or fewer than two examples.
    """
    if params.quantile not in GRID:
        raise InvalidInput(f"The quantile {params.quantile} is not offered. Choose one of {list(GRID)}.", field="params.quantile")
    if 0 < params.permutations < 200:
        raise InvalidInput("A chance level needs at least 200 permutations, or 0 for none.", field="params.permutations")
    chosen = [model.layer(name) for name in layers] if layers else model.default_layers()
    indices = list(range(min(len(probe), params.max_examples or len(probe))))
    if len(indices) < 2:
        raise InvalidInput("A dissection needs at least two examples.", field="params.max_examples")
    set_threads(settings().threads)
    with run_pass(model, probe, chosen, indices, run) as done:
        size = label_size(model.preprocess.size)
        labels = read_labels(model, probe, indices, size, run) if probe.concepts else None
        concepts = len(probe.concepts)
        areas = (
            ConceptAreas.of(labels, concepts)
            if labels is not None
            else ConceptAreas(np.zeros(0, np.int64), len(indices) * size[0] * size[1])
        )
        for number, layer in enumerate(chosen):
            run.progress(number, len(chosen), "layers counted")
            results = _one_layer(model, probe, layer, done, labels, areas, size, params, run)
            run.publish(layer.name, results)
            done.spool.drop(layer.name)
            run.progress(number + 1, len(chosen), "layers counted")
    return {}


def _one_layer(model, probe, layer: Layer, done: Pass, labels, areas: ConceptAreas, size, params: Params, run: RunContext):  # type: ignore[no-untyped-def]
    """All results of one layer, from its spooled activations."""
    maps = done.spool[layer.name]
    thresholds = exact_thresholds(maps, GRID)
    moments, peaks, sites = done.summaries[layer.name].finish()
    if not np.isfinite(moments.minimum).all() or not np.isfinite(moments.maximum).all():
        broken = np.flatnonzero(~np.isfinite(moments.maximum) | ~np.isfinite(moments.minimum))
        raise InvalidInput(
            f"{layer.label} gives values that are not finite, in units {broken[:5].tolist()}. The weights or the "
            "preprocessing are wrong; nothing was stored for this layer.",
            field="model",
        )
    histogram = Histogram(moments.minimum, moments.maximum)
    # Without concept masks the tally still counts images and positions above every threshold.
    tally = Tally(thresholds.values, len(probe.concepts), size)
    blank = np.zeros((_CHUNK, 1, *size), np.uint16)
    for start, part in done.spool.chunks(layer.name, _CHUNK):
        run.check()
        histogram.update(part)
        tally.update(part, blank[: len(part)] if labels is None else labels[start : start + len(part)])
    counts = tally.finish()
    chance = None
    if params.permutations and labels is not None:
        point = thresholds.at(params.quantile)
        chance = permutation_chance(maps, thresholds.values[:, point], labels, areas, params.permutations, params.seed, run)
    bands = np.stack([thresholds.values[:, thresholds.at(q)] for q in BANDS], axis=1)
    slots, band_names = choose_exemplars(peaks, bands, params.exemplars, params.seed)
    units = np.arange(layer.units)[:, None]
    facts = LayerFacts(
        layer=layer, thresholds=thresholds, moments=moments, counts=counts, areas=areas, histogram=histogram.finish(), peaks=peaks,
        slots=slots, bands=band_names, sites=sites, slot_maps=maps[slots, units],
        input_size=model.preprocess.size, concepts=[c.key for c in probe.concepts], chance_best=chance,
    )  # fmt: skip
    return layer_results(facts, params.quantile, params.min_iou, params.permutations, spooled=done.spool.bytes)
