"""What cannot be kept as JSON is refused where it comes in."""

from __future__ import annotations

from typing import Any

import pytest

from microtome.core.stored import MAX_DEPTH, storable


def _nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("value", [{}, {"a": [1, 2.5, None, True, "é😀"]}, 2**63 - 1, -(2**63), _nested(MAX_DEPTH)])
def test_what_json_holds_is_kept(value: Any) -> None:
    assert storable(value) is value


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ({"a": [2**63]}, "64 bits"), (-(2**63) - 1, "64 bits"), ({"\ud800": 1}, "surrogate"), (["\udc00"], "surrogate"),
        (_nested(MAX_DEPTH + 1), "levels"),
    ],
)  # fmt: skip
def test_what_it_does_not_hold_is_refused(value: Any, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        storable(value)
