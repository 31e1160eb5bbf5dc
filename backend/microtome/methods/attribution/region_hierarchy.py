"""A hierarchy of regions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from microtome.core.context import RunContext
from microtome.core.errors import InvalidInput
from microtome.methods.attribution.explain import Call
from microtome.methods.attribution.features import FeatureParams, Features, features_of
from microtome.methods.attribution.target import targets_of
from microtome.methods.contract import Cost, method
from microtome.models.image import ImageModel
from microtome.probes import Example
from microtome.results import Tree

#: Interactions that differ by less, in parts of the target's change from the image to the fill, are the same: float32 rounds there.
_SAME = 1e-5
Floats = npt.NDArray[np.float64]
Region = frozenset[int]


class Params(FeatureParams):
    features: Literal["squares", "superpixels"] = Field("superpixels", description="The smallest regions.")
    count: int = Field(32, ge=4, le=200, description="Smallest regions, about: at most so many superpixels, or the nearest square number.")


class Regions:
    """What regions of an image bring to one target; every region is asked about once.

    Attributes:
        whole: the target of the image; nothing: with everything filled.
    """

    def __init__(self, part: Features) -> None:
        """``part`` has one row.

        Raises:
            InvalidInput: a value is not finite.
        """
        self.part = part
        end, start = part.ends()
        self.whole, self.nothing = float(end[0]), float(start[0])
        self.known: dict[Region, Floats] = {}

    def ask(self, regions: list[Region]) -> None:
        """Looks at regions that are not known yet, all at once."""
        fresh = list(dict.fromkeys(r for r in regions if r not in self.known))
        inside = np.zeros((len(fresh), self.part.count), bool)
        for row, region in enumerate(fresh):
            inside[row, list(region)] = True
        found = self.part.answers(np.concatenate([inside, ~inside])).cpu().numpy()[:, 0]
        if not np.isfinite([*found, self.whole, self.nothing]).all():
            raise InvalidInput(
                "The model's output is not finite where parts of the image are filled, so regions have no value.", field="example"
            )
        for row, region in enumerate(fresh):
            self.known[region] = np.array([found[row] - self.nothing, self.whole - found[len(fresh) + row]])

    def value(self, region: Region) -> float:
        """Mean of what the region adds alone and of what is lost without it."""
        return float(self.known[region].mean())

    def strength(self, one: Region, other: Region) -> float:
        """How far two regions are from bringing the same together as apart: the mean size over both ways of asking."""
        apart = self.known[one] + self.known[other]
        scale = _SAME * max(abs(self.whole - self.nothing), float(np.finfo(np.float32).tiny))
        return float((np.abs(self.known[one | other] - apart) / scale).round().mean())


def touching(places: npt.NDArray[np.int64]) -> list[tuple[int, int]]:
    """Pairs of parts that share an edge, smaller number first, sorted."""
    one = np.concatenate([places[:, :-1].ravel(), places[:-1].ravel()])
    other = np.concatenate([places[:, 1:].ravel(), places[1:].ravel()])
    pairs = np.unique(np.sort(np.stack([one, other]), 0)[:, one != other], axis=1)
    return [(int(a), int(b)) for a, b in pairs.T]


def merged(regions: Regions, places: npt.NDArray[np.int64]) -> list[tuple[int, int]]:
    """Joins in order: two numbers of regions; the smallest are numbered as in ``places``, every join gets the next number.

    The strength counts by the pairs of pixels that it is between (average linkage), or whatever is large would swallow its neighbours
    one by one. Where it is equal the smaller union goes first, then the lower numbers.
    """
    call, count = regions.part.call, regions.part.count
    nodes: list[Region] = [frozenset([i]) for i in range(count)]
    areas = np.bincount(places.reshape(-1))
    beside = set(touching(places))
    regions.ask([*nodes, *(nodes[a] | nodes[b] for a, b in beside)])
    joins: list[tuple[int, int]] = []

    def size(node: int) -> int:
        return int(areas[list(nodes[node])].sum())

    def linkage(one: int, other: int) -> float:
        return regions.strength(nodes[one], nodes[other]) / (size(one) * size(other))

    while beside:
        call.run.check()
        call.run.progress(len(joins), count - 1, "regions")
        one, other = min(beside, key=lambda pair: (-linkage(*pair), size(pair[0]) + size(pair[1]), pair))
        joins.append((one, other))
        new = len(nodes)
        nodes.append(nodes[one] | nodes[other])
        beside = {tuple(sorted({new if x in (one, other) else x for x in pair})) for pair in beside - {(one, other)}}  # type: ignore[misc]
        regions.ask([nodes[a] | nodes[b] for a, b in beside])
    return joins


def tree_of(part: Features, title: str, params: Params) -> Tree:
    """The hierarchy of an image of one row."""
    places = part.places.cpu().numpy().astype(np.int64)
    regions = Regions(part)
    joins = merged(regions, places)
    count = part.count
    # The last join is the root; what was joined before comes after it, the smallest regions last.
    place = [2 * count - 2 - n if n >= count else count - 1 + n for n in range(2 * count - 1)]
    members: list[Region] = [frozenset([i]) for i in range(count)]
    parent = np.full(2 * count - 1, -1, np.int32)
    for number, (one, other) in enumerate(joins):
        members.append(members[one] | members[other])
        parent[[place[one], place[other]]] = place[count + number]
    value = np.zeros(2 * count - 1, np.float32)
    both = np.zeros((2 * count - 1, 2))
    for node, region in enumerate(members):
        value[place[node]], both[place[node]] = regions.value(region), regions.known[region]
    best = int(value.argmax())
    areas = np.bincount(places.reshape(-1)) / places.size
    target = part.call.targets[part.rows[0]]
    covered = next(region for node, region in enumerate(members) if place[node] == best)
    return Tree(
        title=title,
        note=f"A region's value: mean of what it adds alone on the fill ({params.baseline}) and of what is lost where it alone is filled.",
        quantity=target.unit,
        facts={
            "target": target.name, "number": regions.whole, "number of the fill": regions.nothing, "fill": params.baseline,
            "regions": count, "features": params.features, "images looked at": 2 * len(regions.known) + 2,
            "largest value": float(value[best]), "node of the largest value": best,
            "its share of the image": float(areas[list(covered)].sum()),
            "it adds alone": float(both[best, 0]), "is lost without it": float(both[best, 1]),
        },
        arrays={"parent": parent, "value": value, "leaves": (places + count - 1).astype(np.int32)},
    )  # fmt: skip


@method(
    "region-hierarchy",
    title="Hierarchy of regions",
    question="Which regions act together?",
    subjects=("model", "example"),
    optional_subjects=("targets",),
    returns=(Tree,),
    params=Params,
    example_params=Params(features="squares", count=9),
    interactive=True,
    cite="after Singh, Murdoch, Yu 2019, arXiv:1806.05337, with filled images in place of contextual decomposition",
    cost=Cost(passes=20.0, times="count"),
    version="2",
)
def region_hierarchy(  # type: ignore[no-untyped-def]
    *, model: ImageModel, example: Example, targets: list[Any] | None = None, params: Params, run: RunContext
):
    """Small regions joined two by two, those first that bring something else together than apart, up to the whole image.

    Agglomerative as in the paper, but scored by filling regions, so that it works for any network: what a region adds alone on the
    filled image, and what is lost when it alone is filled. The root is the target's difference between the image and its fill. One
    tree for each target, with joins of its own.

    Formula:
        `s(S) = ((f(S on the fill) - f(fill)) + (f(x) - f(x with S filled))) / 2`; joined are the touching A and B with the
        largest mean over both ways of `|value of A and B - value of A - value of B| / (pixels of A x pixels of B)`.

    Known failures:
        Greedy: a join is never undone, so parts that act together across a third may meet late. Interactions
        count by area, as if all pixels of two regions interacted alike. Only what touches is joined: what acts together
        from afar meets at the root. Filled images are images the model never saw.

    Raises:
        InvalidInput: more regions than pixels; an output that is not finite.
    """
    inputs = model.inputs([example.image])
    chosen = targets_of(model, inputs, targets)
    run.check()
    call = Call(model, inputs.expand(len(chosen), -1, -1, -1), chosen, run, params.seed)
    trees: dict[str, Tree] = {}
    for images in features_of(call, params):
        for row in images.rows:
            title = f"Regions that act together: {chosen[row].name}"
            trees["regions" if row == 0 else f"regions {row + 1}"] = tree_of(replace(images, rows=[row]), title, params)
    return trees
