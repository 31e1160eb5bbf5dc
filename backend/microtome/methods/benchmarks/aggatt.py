"""AggAtt: what maps look like where a method is best, usual and worst."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field, model_validator

from microtome.core.context import RunContext
from microtome.core.errors import InvalidInput
from microtome.methods.attribution.explain import Call, neighbours_of
from microtome.methods.attribution.target import Target
from microtome.methods.benchmarks.contest import Contestant, GridParams, Quiet, calls, smooth
from microtome.methods.benchmarks.grids import sure_images
from microtome.methods.benchmarks.on_grids import CITE, COST, prepared
from microtome.methods.benchmarks.tables import Facts, about, grid_results
from microtome.methods.contract import method
from microtome.methods.faithfulness.order import Floats
from microtome.models.image import ImageModel
from microtome.probes import Example, ImageSet
from microtome.results import Distribution, ImageMap, MapSet, Scorecard

#: Ends of the bins, in percent of the maps in order of their scores, best first: those of the paper.
BINS = (0, 2, 5, 50, 95, 98, 100)
NAMES = ("best 0-2 %", "2-5 %", "5-50 %", "50-95 %", "95-98 %", "worst 98-100 %")
_SIDE, _SHOWN = 64, 4


class Params(GridParams):
    setting: Literal["gridpg", "dipart", "difull", "regions"] = Field(
        "gridpg", description="What is explained: a cell of grids, or images of the set whose masks say what defines their class (regions)."
    )
    cell: int = Field(0, ge=0, le=8, description="Cell that is explained in every grid, counted row by row from 0.")
    explained: Literal[1] = Field(1, description="Always one: maps are averaged place by place, so the cell must be the same.")
    images: int = Field(50, ge=1, le=500, description="Grids that are made, or images that are taken; from 30 on every bin has some.")

    @model_validator(mode="after")
    def _cell_exists(self) -> Params:
        if self.cell >= self.cells**2:
            raise ValueError(f"cell {self.cell} does not exist: a grid of {self.cells} x {self.cells} has cells 0 to {self.cells**2 - 1}")
        return self


@dataclass(slots=True)
class Kept:
    """Maps of a method with a score: positive part, at most 64 on a side, adding up to 1.

    Attributes:
        examples: index in the probe set; -1 for a grid.
    """

    maps: list[Floats] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    examples: list[int] = field(default_factory=list)

    def add(self, map: Floats, score: float, example: int) -> None:
        if np.isfinite(score):
            self.maps.append(small(map))
            self.scores.append(score)
            self.examples.append(example)

    def bins(self) -> list[list[int]]:
        """Places of the maps of every bin, best first."""
        order = np.argsort(-np.array(self.scores), kind="stable")
        ends = [round(percent * len(order) / 100) for percent in BINS]
        return [order[start:end].tolist() for start, end in itertools.pairwise(ends)]


def small(map: Floats) -> Floats:
    """The positive part of a map, at most 64 on a side, adding up to 1: the share of every place."""
    size = tuple(min(_SIDE, s) for s in map.shape)
    pooled = torch.nn.functional.interpolate(torch.from_numpy(np.maximum(map, 0))[None, None], size, mode="area")[0, 0].numpy()
    return np.asarray(pooled / pooled.sum())


@method(
    "aggatt",
    title="AggAtt",
    question="What do the maps of a method look like where it is best, usual and worst?",
    subjects=("model", "probe"),
    returns=(Scorecard, Distribution, ImageMap, MapSet),
    params=Params,
    example_params=Params.model_construct(methods=["saliency", "grad-cam"], setting="difull", cells=2, images=4, confidence=0.0),
    cite=CITE,
    cost=COST,
)
def aggatt(*, model: ImageModel, probe: ImageSet, params: Params, run: RunContext):  # type: ignore[no-untyped-def]
    """Maps in order of their localisation, averaged in bins: best 2 %, to 5, 50, 95, 98 %, and worst 2 %; for every method.

    Single pictures can be picked to show anything. Here all maps of a method count: each as shares of its positive part, so that the mean
    of a bin adds up to 1 and what it has inside the region is the mean score of the bin. A few maps of each bin, from its middle, stand
    beside it. The same cell is explained in all grids, or, with `regions`, each image's class with the mask of what defines it.

    Formula:
        `mean over the maps of a bin of max(map, 0) / sum of max(map, 0)`; maps in order of `score = share of the positive part in the cell
        (or the region)`, after smoothing if that is asked for; of n maps the bin from p to q % has those from round(p n) to round(q n).

    Known failures:
        With fewer than 30 maps some outer bins are empty, and are left out. With `regions` the regions differ from image to image, so the
        mean map shows habits (the middle, the borders) rather than hits. Maps are reduced to 64 pixels on a side.
    """
    contestants = params.contestants()
    kept = {one.spec.id: Kept() for one in contestants}
    if params.setting == "regions":
        chance, facts = _on_regions(model, probe, params, run, contestants, kept)
    else:
        chance, facts = _on_grids(model, probe, params, run, contestants, kept)
    results: dict[str, Any] = dict(grid_results("AggAtt", contestants, chance, params, facts, 1))
    found = {one.spec.id: kept[one.spec.id].bins() for one in contestants if kept[one.spec.id].maps}
    for one in contestants:
        if one.spec.id in found:
            results[f"aggregate-{one.spec.id}"] = _aggregate(one, kept[one.spec.id], found[one.spec.id], params)
    results["examples"] = _examples([one for one in contestants if one.spec.id in found], kept, found)
    return results


def _note(one: Contestant, kept: Kept, maps: Floats | None, example: int, width: int) -> None:
    """Keep the newest map of a method, with the score that it just got."""
    if maps is not None:
        kept.add(smooth(maps[0], width) if width else maps[0], one.smoothed[-1] if width else one.scores[-1], example)


def _on_grids(
    model: ImageModel, probe: ImageSet, params: Params, run: RunContext, contestants: Sequence[Contestant], kept: Mapping[str, Kept]
) -> tuple[float, Facts]:
    """Explain the cell of every grid; the chance level and the facts."""
    assert params.setting != "regions"
    place, pools, grids = prepared(params.setting, model, probe, params, run, params.cell)
    try:
        for number, (grid, call) in enumerate(calls(place, probe, grids, run, params.seed)):
            run.progress(number, len(grids), "grids")
            for one in contestants:
                run.check()
                _note(one, kept[one.spec.id], one.answer(call, place, grid, params.smoothing), -1, params.smoothing)
    finally:
        place.count()
    facts = about(place, pools, grids, params, model) | {"cell": params.cell}
    return float(place.region(params.cell, place.model.preprocess.size).mean()), facts


def _on_regions(
    model: ImageModel, probe: ImageSet, params: Params, run: RunContext, contestants: Sequence[Contestant], kept: Mapping[str, Kept]
) -> tuple[float, Facts]:
    """Explain images that have a mask of what defines their class; the chance level and the facts."""
    pools = sure_images(model, probe, params.max_examples, params.confidence, run)
    pairs = [(index, label) for label, images in pools.images.items() for index in images]
    order = np.random.default_rng([params.seed, 0x4E61]).permutation(len(pairs))
    shares: list[float] = []
    for index, label, example, region in _with_region(model, probe, [pairs[i] for i in order], run):
        if len(shares) == params.images:
            break
        run.progress(len(shares), params.images, "images")
        target = Target(model.classes[label], None, ((label, 1.0),))
        call = Call(model, model.inputs([example.image]), [target], Quiet(run), params.seed, neighbours_of(model, example, params.seed))
        mask = model.preprocess.geometry.labels(region, model.preprocess.size)
        if not mask.any():
            continue  # what defines the class was cut off
        shares.append(float(mask.mean()))
        for one in contestants:
            run.check()
            maps = one.explain(call)
            one.take(maps, [mask], params.smoothing)
            _note(one, kept[one.spec.id], maps, index, params.smoothing)
    if not shares:
        raise InvalidInput(
            f"None of the images of {probe.source} that the model is sure about has a mask of what defines its class. Choose a grid.",
            field="params.setting",
        )
    return float(np.mean(shares)), {
        "setting": "regions", "images": len(shares), "images to choose from": len(pairs), "images looked at": pools.looked,
        "confidence": params.confidence, "classes by": pools.truth, "smoothing": params.smoothing, "seed": params.seed,
        "mean share of the regions": float(np.mean(shares)),
    }  # fmt: skip


def _with_region(
    model: ImageModel, probe: ImageSet, pairs: Sequence[tuple[int, int]], run: RunContext
) -> Iterator[tuple[int, int, Example, Any]]:
    for index, label in pairs:
        run.check()
        example = probe.example(index)
        region = example.region(model.classes[label])
        if region is not None:
            yield index, label, example, region


def _aggregate(one: Contestant, kept: Kept, bins: Sequence[Sequence[int]], params: Params) -> ImageMap:
    filled = [(name, places) for name, places in zip(NAMES, bins, strict=True) if places]
    scores = [[kept.scores[p] for p in places] for _, places in filled]
    after = f" After smoothing by {params.smoothing} pixels." if params.smoothing else ""
    empty = [name for name, places in zip(NAMES, bins, strict=True) if not places]
    return ImageMap(
        title=f"AggAtt: {one.spec.title}", targets=[name for name, _ in filled], target_indices=[-1] * len(filled),
        note="Mean of the positive parts of the maps of a bin, each adding up to 1." + after, quantity="share of the positive part",
        signed=False, score=[float(np.mean(s)) for s in scores],
        facts={
            "method": one.spec.id, "maps": len(kept.maps), "counts": [float(len(s)) for s in scores],
            "lowest scores": [min(s) for s in scores], "highest scores": [max(s) for s in scores], "empty bins": ", ".join(empty) or "none",
        },
        arrays={"maps": np.stack([np.mean([kept.maps[p] for p in places], 0) for _, places in filled]).astype(np.float32)},
    )  # fmt: skip


def _examples(contestants: Sequence[Contestant], kept: Mapping[str, Kept], found: Mapping[str, Sequence[Sequence[int]]]) -> MapSet:
    """Up to four maps of every bin, those nearest its middle."""
    groups: list[str] = []
    maps, examples, group, values = [], [], [], []
    for one in contestants:
        own = kept[one.spec.id]
        for name, places in zip(NAMES, found[one.spec.id], strict=True):
            middle = (len(places) - 1) / 2
            chosen = sorted(sorted(range(len(places)), key=lambda i: abs(i - middle))[:_SHOWN])
            if places:
                groups.append(f"{one.spec.title}, {name}")
            for place in (places[i] for i in chosen):
                maps.append(own.maps[place])
                examples.append(own.examples[place])
                group.append(len(groups) - 1)
                values.append(own.scores[place])
    arrays = {
        "maps": np.stack(maps).astype(np.float32), "example": np.array(examples, np.int32), "group": np.array(group, np.int32),
        "value": np.array(values, np.float32),
    }  # fmt: skip
    return MapSet(
        title="AggAtt: maps of every bin", groups=groups, quantity="share of the positive part", value_name="localisation", signed=False,
        arrays=arrays,
    )  # fmt: skip
