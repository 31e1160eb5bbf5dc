"""Hierarchies of regions: a planted rectangle, values by their definition, joins by exhaustive search."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from microtome.core.errors import InvalidInput
from microtome.methods.attribution.baseline import baseline_input
from microtome.methods.attribution.features import features_of
from microtome.methods.attribution.region_hierarchy import Params, region_hierarchy, touching
from microtome.methods.attribution.target import numbers
from microtome.probes import Example
from microtome.results import Tree
from tests import micro
from tests.methods.attribution.calls import RUN, call_of, example
from tests.methods.attribution.nets import as_model
from tests.reference import perturbation, regions


def trees(model: Any, image: Example, params: Params, targets: list[Any]) -> dict[str, Tree]:
    return region_hierarchy.function(model=model, example=image, targets=targets, params=params, run=RUN)  # type: ignore[return-value]


def members(tree: Tree, parts: int) -> list[frozenset[int]]:
    """Smallest regions below every node; they are the last nodes."""
    parent = tree.arrays["parent"]
    below: list[set[int]] = [set() for _ in parent]
    for node in reversed(range(len(parent))):
        if node >= parts - 1:
            below[node].add(node - (parts - 1))
        if node:
            below[parent[node]] |= below[node]
    return [frozenset(b) for b in below]


class Planted(nn.Module):
    """Sixteen cells, there if bright: the four in the middle count when several are there, all others speak against it a little."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.AvgPool2d(16)

    def forward(self, x: Tensor) -> Tensor:
        there = (self.cells(x).mean(1) > 0).float()
        middle = there[:, 1:3, 1:3].mean((1, 2))
        rest = there.sum((1, 2)) - 4 * middle
        return torch.stack([10 * middle**3 - 0.1 * rest, rest, there[:, 0].amax(1)], 1)


def test_a_planted_rectangle_is_one_subtree_and_the_largest_value() -> None:
    white = Example(np.full((64, 64, 3), 255, np.uint8), None, "white")
    params = Params(features="squares", count=16, baseline="black")
    tree = trees(as_model(Planted()), white, params, [0])["regions"]
    found = members(tree, 16)
    planted = found.index(frozenset([5, 6, 9, 10]))
    value = tree.arrays["value"]
    assert value.argmax() == planted == tree.facts["node of the largest value"]
    assert value[planted] == pytest.approx(10, abs=1e-4)
    assert value[0] == pytest.approx(10 - 1.2, abs=1e-4)
    assert tree.facts["its share of the image"] == 0.25


def test_what_stands_in_for_each_other_is_joined_too() -> None:
    """Any of the upper row suffices: alone nothing more comes of a second, and all of it is lost only with the last."""
    white = Example(np.full((64, 64, 3), 255, np.uint8), None, "white")
    tree = trees(as_model(Planted()), white, Params(features="squares", count=16, baseline="black"), [2])["regions"]
    assert frozenset([0, 1, 2, 3]) in members(tree, 16)
    assert tree.arrays["value"][members(tree, 16).index(frozenset([0, 1, 2, 3]))] == pytest.approx(1)


@pytest.mark.parametrize(("family", "features", "count"), [("resnet", "squares", 9), ("vit", "superpixels", 7)])
def test_equals_exhaustive_search_with_every_value_by_its_definition(family: str, features: Any, count: int) -> None:
    image = micro.probe().example(2)
    call = call_of(family, [1], image=image)
    params = Params(features=features, count=count)
    (part,) = features_of(call, params)
    places = part.places.numpy()
    off = baseline_input(call.model, call.inputs[:1], "mean")

    @lru_cache
    def number(there: frozenset[int]) -> float:
        with torch.inference_mode():
            seen = perturbation.switched(call.inputs[:1], off, places, tuple(i in there for i in range(part.count)))
            return float(numbers(call.model, seen, call.targets))

    tree = trees(call.model, image, params, [1])["regions"]
    found = members(tree, part.count)
    made = regions.joined(number, places)
    assert found[: part.count - 1] == made[::-1]
    everything = frozenset(range(part.count))
    for node, region in enumerate(found):
        assert tree.arrays["value"][node] == pytest.approx(np.mean(regions.pair_of_values(number, everything, region)), abs=1e-5)
    assert tree.arrays["value"][0] == pytest.approx(number(everything) - number(frozenset()), abs=1e-5)
    np.testing.assert_array_equal(tree.arrays["leaves"], places + part.count - 1)


def test_one_tree_per_target_and_none_depends_on_the_others() -> None:
    model, params = micro.load("resnet"), Params(features="squares", count=9)
    found = trees(model, example(), params, [0, {"minus": [1, 2]}])
    assert list(found) == ["regions", "regions 2"]
    for name, target in (("regions", 0), ("regions 2", {"minus": [1, 2]})):
        alone = trees(model, example(), params, [target])["regions"]
        np.testing.assert_array_equal(alone.arrays["parent"], found[name].arrays["parent"])
        np.testing.assert_allclose(alone.arrays["value"], found[name].arrays["value"], atol=1e-6)
        assert alone.facts["target"] == found[name].facts["target"]


def test_parts_touch_along_edges_only() -> None:
    assert touching(np.array([[0, 0, 1], [2, 3, 1], [2, 2, 4]])) == [(0, 1), (0, 2), (0, 3), (1, 3), (1, 4), (2, 3), (2, 4)]
    assert touching(np.zeros((3, 3), np.int64)) == []


class Inverse(nn.Module):
    """One over the bright cells: nothing bright has no answer."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.AvgPool2d(16)

    def forward(self, x: Tensor) -> Tensor:
        bright = (self.cells(x).mean(1) > 0).float().sum((1, 2))
        return torch.stack([bright, 1 / bright, bright], 1)


def test_an_output_that_is_not_finite_is_refused() -> None:
    white = Example(np.full((64, 64, 3), 255, np.uint8), None, "white")
    with pytest.raises(InvalidInput, match="not finite") as caught:
        trees(as_model(Inverse()), white, Params(features="squares", count=9, baseline="black"), [1])
    assert caught.value.field == "example"
