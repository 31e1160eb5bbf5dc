"""Kinds refuse documents and arrays that a view could not draw."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from microtome.results import MapSet, Tree

INT = np.int32


def _maps(**changed: Any) -> MapSet:
    arrays = {
        "maps": np.zeros((3, 4, 4), np.float32), "example": np.array([5, 6, -1], INT), "group": np.array([0, 1, -1], INT),
        "value": np.zeros(3, np.float32),
    } | changed  # fmt: skip
    return MapSet(title="t", groups=["best", "worst"], quantity="logits", value_name="share", arrays=arrays)


def test_a_set_of_maps_may_leave_some_ungrouped_and_may_be_empty() -> None:
    assert _maps().groups == ["best", "worst"]
    nothing = {"maps": np.zeros((0, 4, 4), np.float32), **{k: np.zeros(0, INT) for k in ("example", "group")}}
    assert len(_maps(**nothing, value=np.zeros(0, np.float32)).arrays["maps"]) == 0


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"value": np.zeros(2, np.float32)}, "value must have 3"),
        ({"points": np.zeros((2, 2), np.float32)}, "points must have 3"),
        ({"group": np.array([0, 2, 0], INT)}, "-1 to 1"),
        ({"group": np.array([0, -2, 0], INT)}, "-1 to 1"),
        ({"maps": np.zeros((3, 4), np.float32)}, "3 axes"),
    ],
)
def test_a_set_of_maps_with_arrays_that_do_not_fit_is_refused(changed: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        _maps(**changed)


def _tree(parent: list[int], leaves: list[list[int]] | None = None, names: list[str] | None = None, values: int | None = None) -> Tree:
    arrays: dict[str, Any] = {"parent": np.array(parent, INT), "value": np.zeros(len(parent) if values is None else values, np.float32)}
    if leaves is not None:
        arrays["leaves"] = np.array(leaves, INT)
    return Tree(title="t", quantity="logits", names=names or [], arrays=arrays)


def test_a_tree_holds_its_regions_in_its_leaves() -> None:
    tree = _tree([-1, 0, 0, 1, 1], [[2, 3], [4, 4]], ["all", "left", "right", "a", "b"])
    assert tree.arrays["leaves"].shape == (2, 2)
    assert _tree([-1]).names == []


@pytest.mark.parametrize(
    ("parent", "leaves", "names", "values", "word"),
    [
        ([], None, None, None, "root"),
        ([0, 0], None, None, None, "root"),
        ([-1, -1], None, None, None, "after its parent"),
        ([-1, 2, 0], None, None, None, "after its parent"),
        ([-1, 0], None, ["all"], None, "2 entries"),
        ([-1, 0], None, None, 3, "2 entries"),
        ([-1, 0], [[0]], None, None, "no children"),
        ([-1, 0], [[2]], None, None, "no children"),
    ],
)
def test_a_tree_that_is_none_is_refused(parent: list[int], leaves: Any, names: Any, values: int | None, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        _tree(parent, leaves, names, values)
