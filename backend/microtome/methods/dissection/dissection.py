"""Network dissection: what does each unit detect, measured against exact concept masks, for all layers in one pass."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from microtome.capture.recorders.exemplars import BANDS, NEGATIVE, band_names, choose_exemplars, nearest_examples
from microtome.capture.recorders.tally import ConceptAreas
from microtome.capture.recorders.thresholds import GRID
from microtome.capture.taken import Taken, View, captured
from microtome.core.context import RunContext
from microtome.core.errors import InvalidInput
from microtome.methods.contract import Cost, MethodParams, method
from microtome.methods.dissection.chance import permutation_chance
from microtome.methods.dissection.facts import LayerFacts, UnitFacts, by_layer
from microtome.methods.dissection.ranking import STEPS, rank
from microtome.methods.dissection.tables import layer_results
from microtome.methods.dissection.tokens import Vocabulary, top_tokens, vocabulary_of
from microtome.models.model import Model
from microtome.models.text import TextModel
from microtome.probes import ProbeSet, TextSet
from microtome.results import Distribution, Gallery, LensGrid, Matrix, Scorecard, UnitTable
from microtome.results.iou import MIN_IOU


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
    modalities=("image", "text"),
    returns=(UnitTable, Matrix, Distribution, Gallery, Scorecard, LensGrid),
    partition="layers",
    params=Params,
    example_params=Params(max_examples=12, exemplars=2),
    version="2",
    cite="Bau, Zhou, Khosla, Oliva, Torralba 2017, arXiv:1704.05796",
    cost=Cost(passes=1.2, per_probe=True, capture=("moments", "peaks", "thresholds", "histograms", "counts", "exemplars")),
)
def dissection(*, model: Model, probe: ProbeSet, layers: list[str] | None = None, params: Params, run: RunContext):  # type: ignore[no-untyped-def]
    """Activation statistics, exact exemplars, exact thresholds and the IoU of every unit with every concept.

    Follows Bau et al. 2017, section 3: a unit's threshold is a quantile of its activations over the whole probe set; its
    mask is the map, upsampled bilinearly, above the threshold; its score for a concept is the intersection over union
    summed over the probe set. One forward pass serves all layers; counts at every offered quantile are kept, so that the
    threshold can be moved afterwards without running the model.

    Units that read are dissected in the same way, a token in the place of a pixel: the activations of a token are compared with the
    token's concepts. Beside IoU they have average precision and F1 of their ranking of the tokens, tokens with the largest and
    smallest mean activation, and exemplars of their negative end.

    Raises:
        InvalidInput: permutations between 1 and 199, a quantile that is not offered, or fewer than two examples.
    """
    if params.quantile not in GRID:
        raise InvalidInput(f"The quantile {params.quantile} is not offered. Choose one of {list(GRID)}.", field="params.quantile")
    if 0 < params.permutations < 200:
        raise InvalidInput("A chance level needs at least 200 permutations, or 0 for none.", field="params.permutations")
    chosen = [model.layer(name) for name in layers] if layers else model.default_layers()
    examples = min(len(probe), params.max_examples or len(probe))
    if examples < 2:
        raise InvalidInput("A dissection needs at least two examples.", field="params.max_examples")
    with captured(model, probe, chosen, examples, run) as taken:
        vocabulary: Vocabulary | None = None
        if isinstance(model, TextModel) and isinstance(probe, TextSet):
            vocabulary = vocabulary_of(model, probe, examples, taken.input_size[1])
        bands = band_names(min(params.exemplars, examples)) + ([NEGATIVE] * min(params.exemplars, examples) if vocabulary else [])
        concepts = [c.key for c in probe.concepts]

        def measure(view: View) -> UnitFacts:
            return _measure(view, taken, taken.areas(len(concepts)), vocabulary, params, run)

        for layer, units in by_layer(taken, measure, UnitFacts.join, len(chosen), run):
            facts = LayerFacts(
                layer=layer, units=units, areas=taken.areas(len(concepts)), input_size=taken.input_size, concepts=concepts,
                examples=examples, bands=bands, vocabulary=vocabulary,
            )  # fmt: skip
            run.publish(layer.name, layer_results(facts, params.quantile, params.min_iou, params.permutations, kept=taken.bytes))
    return {}


def _measure(view: View, taken: Taken, areas: ConceptAreas, vocabulary: Vocabulary | None, params: Params, run: RunContext) -> UnitFacts:
    """Everything about the units of a view. Without concept masks the tally still counts positions above every threshold."""
    moments = view.moments()
    bad = np.flatnonzero(~np.isfinite(moments.maximum) | ~np.isfinite(moments.minimum))
    if len(bad):
        raise InvalidInput(
            f"{view.layer.label} gives values that are not finite, in units {(bad[:5] + view.piece.start).tolist()}. The weights or "
            "the preprocessing are wrong; nothing was stored for this layer.",
            field="model",
        )
    ranked = STEPS if vocabulary is not None and len(areas.areas) else ()
    every = view.thresholds(tuple(sorted({*GRID, *BANDS, *ranked})))  # found together, with the same readings
    thresholds = every.only(GRID)
    counts = view.tally(thresholds.values, len(areas.areas))
    chance = None
    if params.permutations and len(areas.areas):
        point = thresholds.at(params.quantile)
        chance = permutation_chance(
            view, thresholds.values[:, point], taken.labels(), areas, params.permutations, params.seed, run
        )  # fmt: skip
    peaks, sites = view.peaks()
    slots = choose_exemplars(peaks, every.only(BANDS).values, params.exemplars, params.seed)
    values, places = np.take_along_axis(peaks, slots, axis=1), np.take_along_axis(sites, slots, axis=1)
    if vocabulary is not None:  # units that read have two ends
        troughs, low_sites = view.troughs()
        low = nearest_examples(troughs, np.full(len(troughs), -np.inf, np.float32), params.exemplars)
        slots = np.concatenate([slots, low], axis=1)
        values = np.concatenate([values, np.take_along_axis(troughs, low, axis=1)], axis=1)
        places = np.concatenate([places, np.take_along_axis(low_sites, low, axis=1)], axis=1)
    return UnitFacts(
        thresholds=thresholds, moments=moments, counts=counts, histogram=view.histogram(), peaks=peaks, slots=slots,
        slot_values=values, slot_sites=places, slot_maps=view.maps(slots), chance_best=chance,
        ranking=rank(view.ranked(every.only(ranked).values, len(areas.areas)), areas) if ranked else None,
        tokens=top_tokens(view, vocabulary) if vocabulary is not None else None,
    )  # fmt: skip
