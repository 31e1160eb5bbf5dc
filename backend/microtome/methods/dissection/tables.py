"""From counts and statistics of one layer to its results."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from microtome.capture.recorders.moments import MomentStats
from microtome.capture.recorders.thresholds import GRID, Thresholds
from microtome.methods.dissection.facts import LayerFacts
from microtome.methods.dissection.ranking import ranking_result
from microtome.methods.dissection.tokens import tokens_result
from microtome.models.layers import Layer
from microtome.results import Column, ColumnType, Distribution, Gallery, Matrix, Result, Scorecard, UnitTable
from microtome.results.iou import scores


def _column(name: str, title: str, values: Any, type_: ColumnType = "number") -> Column:
    return Column(name, title, type_, values)


def statistics_columns(moments: MomentStats) -> list[Column]:
    """The columns that need no threshold."""
    return [
        _column("mean", "Mean activation", moments.mean),
        _column("std", "Standard deviation", moments.std),
        _column("min", "Minimum", moments.minimum),
        _column("max", "Maximum", moments.maximum),
    ]


def activation_result(
    layer: Layer, histogram: tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]], thresholds: Thresholds
) -> Distribution:
    """Histograms and thresholds of a layer."""
    return Distribution(
        title=f"Activations of {layer.label}", rows=[], quantity="activation",
        grid=list(thresholds.grid), layer=layer.name,
        arrays={
            "edges": histogram[0].astype(np.float32), "counts": histogram[1],
            "thresholds": thresholds.values, "attained": thresholds.attained.astype(np.float32),
        },
    )  # fmt: skip


def gallery_result(
    layer: Layer,
    slots: npt.NDArray[np.int32],
    bands: list[str],
    activation: npt.NDArray[np.float32],
    sites: npt.NDArray[np.int32],
    maps: npt.NDArray[np.float32],
    input_size: tuple[int, int],
) -> Gallery:
    """Exemplars of a layer; all arrays are [units, slots, ...]."""
    return Gallery(
        title=f"Exemplars of {layer.label}", layer=layer.name, bands=bands, input_size=input_size,
        arrays={
            "example": slots, "activation": activation,
            "site": np.stack([sites // layer.width, sites % layer.width], axis=-1).astype(np.int32),
            "maps": np.ascontiguousarray(maps, dtype=np.float32),
        },
    )  # fmt: skip


def layer_results(facts: LayerFacts, quantile: float, min_iou: float, permutations: int, *, kept: int) -> dict[str, Result]:
    """Named results of a layer: units, iou, activation, exemplars, peaks, summary."""
    layer, units = facts.layer, facts.units
    shown = "images" if facts.vocabulary is None else "texts"
    counts, moments, thresholds = units.counts, units.moments, units.thresholds
    point = thresholds.at(quantile)
    constant = moments.minimum == moments.maximum
    score = scores(counts.shared[:, :, point], counts.unit_areas[:, point], facts.areas.areas, facts.areas.positions)
    has_concepts = bool(facts.concepts)
    best = score.iou.argmax(axis=1) if has_concepts else np.zeros(layer.units, np.int64)
    row = np.arange(layer.units)

    def pick(values: npt.NDArray) -> npt.NDArray[np.float64]:
        return values[row, best] if has_concepts else np.zeros(layer.units)

    best_iou = pick(score.iou)
    chance = pick(score.chance) if units.chance_best is None else units.chance_best
    detector = has_concepts & (best_iou > min_iou) & (best_iou > chance) & ~constant
    named = [facts.concepts[b] if has_concepts and i > 0 else None for b, i in zip(best, best_iou, strict=True)]
    expected = 1 - quantile
    attained = thresholds.attained[:, point]
    table = UnitTable.of(
        title=f"Units of {layer.label}",
        note=_chance_note(permutations),
        layer=layer.name,
        columns=[
            *statistics_columns(moments),
            _column("threshold", f"Threshold at quantile {quantile}", thresholds.values[:, point].astype(float)),
            _column("attained", "Share of positions above", attained),
            _column("density", f"Share of {shown} above", (units.peaks > thresholds.values[:, point, None]).mean(axis=1)),
            _column("dead", "Never fires", constant, type_="flag"),
            _column("constant", "Never varies", constant, type_="flag"),
            # Fewer positions than asked for lie above: many share the threshold's very value.
            _column("ties", "Ties at the threshold", expected - attained > 1.5 / moments.count, type_="flag"),
            _column("best_concept", "Best concept", named, type_="text"),
            _column("best_category", "Category", [n.split(":")[0] if n else None for n in named], type_="text"),
            _column("best_iou", "IoU", best_iou),
            _column("best_ceiling", "Ceiling of the IoU", pick(score.ceiling)),
            _column("best_chance", "Chance level", chance),
            _column("detector", "Detector", detector, type_="flag"),
            _column("active_positions", "Positions above", counts.unit_areas[:, point], type_="integer"),
            *_ranking_columns(facts),
            *_token_columns(facts),
        ],
    )
    results: dict[str, Result] = {
        "units": table,
        "activation": activation_result(layer, units.histogram, thresholds),
        "exemplars": gallery_result(
            layer, units.slots, facts.bands, units.slot_values, units.slot_sites, units.slot_maps, facts.input_size,
        ),
        "peaks": Matrix(
            title=f"Largest activation of {layer.label} per image", rows=[], columns=[], row_axis="unit",
            column_axis="example", quantity="activation", layer=layer.name,
            arrays={"values": units.peaks},
        ),
    }  # fmt: skip
    results["iou"] = Matrix(
        title=f"IoU of {layer.label} with concepts", rows=[], columns=facts.concepts, row_axis="unit", column_axis="concept",
        quantity="IoU", grid=list(GRID), positions=facts.areas.positions, layer=layer.name,
        arrays={
            "values": score.iou.astype(np.float32), "chance": score.chance.astype(np.float32),
            "ceiling": score.ceiling.astype(np.float32), "counts": counts.shared,
            "row_areas": counts.unit_areas, "column_areas": facts.areas.areas,
        },
    )  # fmt: skip
    if units.ranking is not None and facts.concepts:
        results["ap"] = ranking_result(layer.name, layer.label, units.ranking, facts.concepts, facts.areas)
    if units.tokens is not None and facts.vocabulary is not None:
        results["tokens"] = tokens_result(layer.name, layer.label, units.tokens, facts.vocabulary)
    results["summary"] = _summary(facts, table, chance, quantile, min_iou, permutations, kept)
    return results


def _ranking_columns(facts: LayerFacts) -> list[Column]:
    """The concept whose tokens a unit ranks best above its prevalence, for units that read."""
    found = facts.units.ranking
    if found is None or not facts.concepts:
        return []
    # Of a frequent concept every ranking is good: what counts is how much of the way from chance to a perfect ranking is gone.
    gain = (found.precision - found.prevalence) / np.maximum(1 - found.prevalence, 1e-12)
    best = np.nan_to_num(gain, nan=-np.inf).argmax(axis=1)
    row = np.arange(len(best))
    return [
        _column("ap_concept", "Best ranked concept", [facts.concepts[b] for b in best], type_="text"),
        _column("ap", "Average precision", found.precision[row, best]),
        _column("ap_chance", "Prevalence", found.prevalence[best]),
        _column("f1", "Best F1", found.f1[row, best]),
    ]


def _token_columns(facts: LayerFacts) -> list[Column]:
    """The token that drives a unit most, on average."""
    found, vocabulary = facts.units.tokens, facts.vocabulary
    if found is None or vocabulary is None or not vocabulary.names:
        return []
    first = found.items[:, 0, 0]
    return [_column("top_token", "Strongest token", [vocabulary.names[i] if i >= 0 else None for i in first], type_="text")]


def _chance_note(permutations: int) -> str:
    if permutations:
        return f"Chance: 95th percentile of the best IoU over {permutations} permutations of the images."
    return "Chance: expected IoU of independent masks of the same areas, for the best concept."


def _summary(
    facts: LayerFacts,
    table: UnitTable,
    chance: npt.NDArray,
    quantile: float,
    min_iou: float,
    permutations: int,
    kept: int,
) -> Scorecard:
    """Detectors by category, and what the numbers rest on."""
    detectors = [c for c, d in zip(table.column("best_category"), table.column("detector"), strict=True) if d]
    categories = list(dict.fromkeys(c.split(":")[0] for c in facts.concepts))
    return Scorecard(
        title=f"Detectors in {facts.layer.label}",
        note=_chance_note(permutations),
        scores=[Scorecard.Score(name=c, value=float(detectors.count(c)), unit="units", group="detectors") for c in categories],
        facts={
            "quantile": quantile,
            "min_iou": min_iou,
            "images" if facts.vocabulary is None else "texts": facts.examples,
            "positions": facts.areas.positions,
            "units": facts.layer.units,
            "detectors": len(detectors),
            "dead_units": int(sum(table.column("dead"))),
            "tied_units": int(sum(table.column("ties"))),
            "chance": float(np.median(chance)) if len(chance) else 0.0,
            "permutations": permutations,
            "kept_bytes": kept,
        },
    )
