"""Shared neurons by counting, from average precision token by token."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from microtome.core.context import SilentContext
from microtome.core.errors import InvalidInput
from microtome.methods.concepts.concept_overlap import Params, concept_overlap
from microtome.methods.concepts.labelled import tokens_with
from microtome.methods.concepts.measures import average_precisions
from tests import micro


def slow_precision(has: list[bool], values: list[float]) -> float:
    """Over the positives: of all that rank at least as high, the share that are positive."""
    found = []
    for own, value in zip(has, values, strict=True):
        if own:
            above = [h for h, v in zip(has, values, strict=True) if v >= value]
            found.append(sum(above) / len(above))
    return sum(found) / len(found)


def test_precisions_of_several_concepts_are_those_of_each_with_ties() -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 6, (60, 5)).astype(np.float32)
    has = rng.random((4, 60)) < np.array([0.05, 0.3, 0.9, 0.0])[:, None]
    found = average_precisions(has, values)
    for concept in range(3):
        for unit in range(5):
            assert found[concept, unit] == pytest.approx(slow_precision(has[concept].tolist(), values[:, unit].tolist()), abs=1e-12)
    assert np.isnan(found[3]).all()


def test_shared_neurons_are_counted_as_by_hand() -> None:
    model, probe = micro.load_text("gpt2"), micro.texts()
    concepts = [c.key for c in probe.concepts]
    params = Params(concepts=concepts[:2], top=5, fewest=2)
    found = concept_overlap.function(model=model, probe=probe, params=params, run=SilentContext())
    layers = [x for x in model.layers.values() if x.kind == "neurons"]
    has: list[list[bool]] = [[], []]
    values: list[list[float]] = [[] for _ in range(sum(x.units for x in layers))]
    for i in range(len(probe)):
        tokens = model.tokenizer.encode(probe.text(i))
        with torch.no_grad(), model.record(layers) as outputs:
            model.forward(model.inputs([probe.text(i)]))
        for c in range(2):
            has[c] += tokens_with(probe, i, tokens, c).tolist()
        side = torch.cat([layer.canonical(outputs[layer.name])[0, :, 0, : tokens.last - tokens.first] for layer in layers])
        for unit, row in enumerate(side.tolist()):
            values[unit] += row
    precision = np.array([[slow_precision(h, v) for v in values] for h in has])
    best = [set(np.argsort(-row, kind="stable")[:5].tolist()) for row in precision]
    assert found["overlap"].rows == concepts[:2]
    assert found["overlap"].arrays["values"][0, 1] == pytest.approx(len(best[0] & best[1]) / 5)
    assert found["overlap"].arrays["values"].diagonal() == pytest.approx(1)
    assert found["overlap"].arrays["chance"][0, 1] == pytest.approx(5 / len(values))
    both = sum(a and b for a, b in zip(*has, strict=True))
    assert found["tokens"].arrays["values"][0, 1] == pytest.approx(both / sum(has[0]))
    assert found["summary"].facts["neurons of several concepts"] == len(best[0] & best[1])
    listed = sum(len(t.units) for name, t in found.items() if name.startswith("units_"))
    assert listed == len(best[0] | best[1])


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"concepts": ["lexical:nothing"]}, "params.concepts"),
        ({"fewest": 10_000}, "params.concepts"),
        ({"top": 500, "fewest": 2}, "params.top"),
    ],
)
def test_what_cannot_be_asked_is_said(change: dict, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        concept_overlap.function(model=micro.load_text("gpt2"), probe=micro.texts(), params=Params(**change), run=SilentContext())
    assert caught.value.field == field
