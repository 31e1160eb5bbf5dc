"""ML-Att: all methods at the same layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from pydantic import Field

from microtome.core.context import RunContext
from microtome.methods.attribution.explain import Call
from microtome.methods.benchmarks.behind import Behind, chosen_layers, same_share
from microtome.methods.benchmarks.contest import Contestant, GridParams, calls
from microtome.methods.benchmarks.on_grids import CITE, prepared
from microtome.methods.benchmarks.scenes import Setting
from microtome.methods.benchmarks.tables import about, left_out, score, scored, spread
from microtome.methods.contract import Cost, method
from microtome.methods.faithfulness.order import Floats
from microtome.models.image import ImageModel
from microtome.probes import ImageSet
from microtome.results import Distribution, Scorecard

#: Parameters that are lengths in pixels of the input, and shrink with the layer.
_LENGTHS = ("window", "stride")
_NOWHERE = {"fullgrad": "its map is of all layers at once, so it is of no single one"}


class Params(GridParams):
    setting: Setting = Field("difull", description="What looks at the grids: gridpg, dipart or difull.")


def at_size(one: Contestant, image: tuple[int, int], maps: tuple[int, int]) -> Contestant:
    """A contestant whose lengths in pixels are brought to the sites of a layer; its notes are shared."""
    own = {n: same_share(v, min(image), min(maps)) for n in _LENGTHS if isinstance(v := getattr(one.params, n, None), int)}
    return replace(one, params=one.params.model_copy(update=own)) if own else one


@method(
    "ml-att",
    title="ML-Att",
    question="How do attribution methods compare at the same layers?",
    subjects=("model", "probe"),
    returns=(Scorecard, Distribution),
    params=Params,
    example_params=Params.model_construct(methods=["saliency", "grad-cam"], cells=2, images=2, confidence=0.0),
    cite=CITE,
    cost=Cost(passes=60.0, times="images", maps=18.0),
)
def ml_att(*, model: ImageModel, probe: ImageSet, params: Params, run: RunContext):  # type: ignore[no-untyped-def]
    """Every method at the input, at the main layer half way and at the last one with sites, on grids of images.

    A method is usually shown where its authors put it: gradients at the input, class activation maps at the last layer. Here each explains
    the output of the same layer, as if that were the image: the network behind the layer is a network of its own. Backpropagation methods
    take the gradient there, occlusion covers sites (windows shrink with the layer), baselines are maps of zeros, class activation maps
    weigh that layer, also at the input. Maps are scored on the sites of the layer, not enlarged.

    Formula:
        `score = sum over the sites of the cell of max(map, 0) / sum over all sites of max(map, 0)`, the map being that of the method for
        `g(A)`, `A` the layer's output and `g` the rest of the network; channels are added as the method adds colours.

    Known failures:
        A layer's site has seen more of the image than lies below it (except in `difull`), so a good score deep down is not a good score
        at the input. Methods with random masks keep their number of cells, which at a coarse layer may be more than there are sites.
        What bypasses a layer, as a class token does, stays as it is and gets no share.
    """
    place, pools, grids = prepared(params.setting, model, probe, params, run)
    layers = chosen_layers(place.model)
    contestants = {name: params.contestants() for name, _ in layers}
    total, done = len(grids) * len(layers), 0
    try:
        for grid, call in calls(place, probe, grids, run, params.seed):
            for name, layer in layers:
                run.check()
                run.progress(done, total, "layers of grids")
                done += 1
                at_layer = _call(call, Behind(place.model, layer, call.inputs[:1]))
                image, maps = place.model.preprocess.size, at_layer.model.preprocess.size
                width = params.smoothing and same_share(params.smoothing, min(image), min(maps))
                for one in contestants[name]:
                    if one.spec.id in _NOWHERE:
                        one.refuse(_NOWHERE[one.spec.id], len(grid.explained))
                    else:
                        at_size(one, image, maps).answer(at_layer, place, grid, width)
    finally:
        place.count()
    cells = [cell for grid in grids for cell in grid.explained]
    scored([one for some in contestants.values() for one in some])
    facts = about(place, pools, grids, params, model)
    scores: list[Scorecard.Score] = []
    names: list[str] = []
    values: list[Floats] = []
    for name, layer in layers:
        sites = (layer.height, layer.width) if layer else place.model.preprocess.size
        chance = float(np.mean([place.region(cell, sites).mean() for cell in cells]))
        facts[f"sites of {name}"] = f"{sites[0]} x {sites[1]}"
        facts |= left_out(contestants[name], f" at {name}")
        versions = [(name, False), *([(f"{name}, smoothed", True)] if params.smoothing else [])]
        for one in contestants[name]:
            for label, after in versions:
                found = np.array(one.smoothed if after else one.scores)
                if np.isfinite(found).any():
                    scores.append(score(label, one.spec.title, found.reshape(len(grids), -1), chance, params.seed))
                    names.append(f"{one.spec.title}, {label}")
                    values.append(found[np.isfinite(found)])
    facts |= {f"version: {one.spec.title}": one.spec.version for one in contestants[layers[0][0]]}
    note = "Share of the positive part of the map of a layer that lies in the explained cell. Chance: a map that is the same everywhere."
    order = _by_method(scores)
    return {
        "scores": Scorecard(title="ML-Att", note=note, scores=[scores[i] for i in order], facts=facts),
        "distribution": spread("ML-Att: spread of the scores", [names[i] for i in order], [values[i] for i in order], note),
    }


def _call(call: Call, behind: Behind) -> Call:
    """The same question about a layer's maps; other images are of no use there, since each has a rest of the network of its own."""
    rows = behind.maps.expand(len(call.targets), -1, -1, -1)
    return replace(call, model=behind, inputs=rows, neighbours=None)


def _by_method(scores: Sequence[Scorecard.Score]) -> list[int]:
    groups = list(dict.fromkeys(s.group for s in scores))
    return sorted(range(len(scores)), key=lambda i: groups.index(scores[i].group))
