"""HEDGE against every cut of every phrase, one text after another.

Tolerance of interactions and scores: 1e-6, in probabilities; cuts must be the same where the least interaction is alone by more than that.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.methods.text_attribution.asked import SHORT, ask, call_of, default_fill, values
from tests.methods.text_attribution.test_gradients import own
from tests.reference import text_attribution as reference

FAMILIES = ("gpt2", "bert", "distilbert")


def probability(call: Any, lead: bool = False) -> reference.Value:
    """The target's probability with a set of tokens alone, or its lead over all others."""
    ids, places, index = call.ids.tolist(), call.places.tolist(), call.target.index

    def value(present: frozenset[int]) -> float:
        found = reference.logits(call.model, reference.with_off(ids, places, present, default_fill(call)), call.at).softmax(0)
        others = max(float(p) for i, p in enumerate(found) if i != index)
        return float(found[index]) - (others if lead else 0.0)

    return value


def spans(tree: Any) -> list[tuple[int, int]]:
    """First and last token of every node, from the leaves upwards; leaves stand for tokens in the order of their texts' places."""
    parent = tree.arrays["parent"].tolist()
    children: dict[int, list[int]] = {n: [] for n in range(len(parent))}
    for node, above in enumerate(parent[1:], 1):
        children[above].append(node)
    out: dict[int, tuple[int, int]] = {}
    seen = 0

    def walk(node: int) -> None:
        nonlocal seen
        first = seen
        if not children[node]:
            seen += 1
        for child in children[node]:
            walk(child)
        out[node] = (first, seen)

    walk(0)
    assert all(len(c) in (0, 2) for c in children.values())
    return [out[n] for n in range(len(parent))]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("neighbours", [0, 1, 2])
def test_every_cut_is_where_the_interaction_is_least(family: str, neighbours: int) -> None:
    call = call_of(family, SHORT)
    value = probability(call)
    found = ask("hedge", family, SHORT, neighbours=neighbours)
    nodes = spans(found["tree"])
    partition = [(0, call.count)]
    cuts = found["splits"].scores
    assert len(cuts) == call.count - 1
    for number, cut in enumerate(cuts):
        least, (start, middle, stop) = reference.weakest(partition, neighbours, value)
        assert cut.value == pytest.approx(least, abs=1e-6)
        left, right = nodes[1 + 2 * number], nodes[2 + 2 * number]
        assert (left[0], left[1], right[1]) == (start, middle, stop)
        place = partition.index((start, stop))
        partition[place : place + 1] = [left, right]
    assert partition == [(i, i + 1) for i in range(call.count)]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_tree_parts_the_text(family: str) -> None:
    call = call_of(family)
    found = ask("hedge", family)
    tree = found["tree"]
    nodes, parent = spans(tree), tree.arrays["parent"].tolist()
    assert sorted(n for n in nodes if n[1] - n[0] == 1) == [(i, i + 1) for i in range(call.count)]
    for node, span in enumerate(nodes):
        below = sorted(nodes[child] for child, above in enumerate(parent) if above == node)
        if below:
            assert (below[0][0], below[0][1], below[1][1]) == (span[0], below[1][0], span[1])
        assert tree.names[node] == call.phrase(*span)
    lead = probability(call, lead=True)
    expected = [lead(frozenset(range(*span))) for span in nodes]
    np.testing.assert_allclose(tree.arrays["value"], expected, atol=1e-6)
    leaves = dict(zip(nodes, expected, strict=True))
    np.testing.assert_allclose(own(call, values(found)), [leaves[i, i + 1] for i in range(call.count)], atol=1e-6)


def test_of_a_difference_all_is_the_difference_of_probabilities() -> None:
    call = call_of("distilbert", SHORT, target="prose", against="code")
    found = ask("hedge", "distilbert", SHORT, target="prose", against="code")
    everything = frozenset(range(call.count))
    ids = reference.with_off(call.ids.tolist(), call.places.tolist(), everything, 0)
    code, prose = reference.logits(call.model, ids, None).softmax(0).tolist()
    assert found["tree"].arrays["value"][0] == pytest.approx(prose - code, abs=1e-6)
    assert found["map"].rows == ["prose - code"]


def test_one_token_is_its_own_tree() -> None:
    tree = ask("hedge", "gpt2", "x")["tree"]
    assert tree.arrays["parent"].tolist() == [-1]
