"""Bins of maps: which map belongs where, and what their mean must be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from microtome.core.context import SilentContext
from microtome.core.errors import InvalidInput
from microtome.methods.attribution.explain import Call
from microtome.methods.attribution.saliency import saliency
from microtome.methods.attribution.target import resolve
from microtome.methods.benchmarks.aggatt import BINS, NAMES, Kept, small
from microtome.methods.faithfulness.localisation import inside_mass
from microtome.methods.registry import methods
from tests import micro

RNG = np.random.default_rng


def run_of(family: str = "resnet", probe: Any = None, **params: Any) -> dict[str, Any]:
    spec = methods()["aggatt"]
    given = {"cells": 2, "confidence": 0.0, **params}
    return dict(spec.function(model=micro.load(family), probe=probe or micro.probe(), params=spec.parse(given), run=SilentContext()))


@pytest.mark.parametrize(
    ("count", "sizes"), [(100, [2, 3, 45, 45, 3, 2]), (50, [1, 1, 23, 23, 1, 1]), (30, [1, 1, 13, 13, 1, 1]), (3, [0, 0, 2, 1, 0, 0])]
)
def test_maps_belong_to_the_bin_of_their_place(count: int, sizes: list[int]) -> None:
    kept = Kept()
    scores = RNG(0).permutation(count) / count
    for score in scores:
        kept.add(np.ones((2, 2)), float(score), -1)
    bins = kept.bins()
    assert [len(b) for b in bins] == sizes
    assert len(BINS) == len(NAMES) + 1
    in_order = [scores[p] for places in bins for p in places]
    assert in_order == sorted(scores, reverse=True)


def test_a_map_without_score_is_not_kept() -> None:
    kept = Kept()
    kept.add(-np.ones((2, 2)), float("nan"), -1)
    assert kept.maps == []


def test_small_maps_are_shares_of_the_positive_part() -> None:
    map = RNG(0).normal(size=(128, 96))
    reduced = small(map)
    assert reduced.shape == (64, 64)
    assert reduced.sum() == pytest.approx(1)
    assert small(map[:8, :8]) == pytest.approx(np.maximum(map[:8, :8], 0) / np.maximum(map[:8, :8], 0).sum())


def test_the_mean_of_a_bin_has_its_mean_score_inside_the_cell() -> None:
    results = run_of(methods=["saliency", "grad-cam", "fullgrad"], setting="dipart", images=30, cell=2)
    for id in ("saliency", "grad-cam"):
        aggregate = results[f"aggregate-{id}"]
        counts = aggregate.facts["counts"]
        assert sum(counts) == aggregate.facts["maps"] == 30
        assert aggregate.targets == list(NAMES)
        maps = aggregate.arrays["maps"]
        assert maps.shape == (6, 64, 64)
        # 128 pixels in 64: a cell of 64 pixels is exactly 32 of the reduced ones.
        assert maps[:, 32:, :32].sum((1, 2)) == pytest.approx(aggregate.score, abs=1e-5)
        assert aggregate.score == sorted(aggregate.score, reverse=True)
        title = methods()[id].title
        mean = next(s.value for s in results["scores"].scores if s.group == title)
        assert mean == pytest.approx(np.average(aggregate.score, weights=counts))
    assert "aggregate-fullgrad" not in results
    assert "refused: FullGrad" in results["scores"].facts


def test_examples_come_from_the_middle_of_their_bins() -> None:
    results = run_of(methods=["saliency"], setting="difull", images=30)
    shown, aggregate = results["examples"], results["aggregate-saliency"]
    assert shown.groups == [f"Saliency, {name}" for name in NAMES]
    for place, low, high, count in zip(
        range(6), aggregate.facts["lowest scores"], aggregate.facts["highest scores"], aggregate.facts["counts"], strict=True
    ):
        own = shown.arrays["value"][shown.arrays["group"] == place]
        assert len(own) == min(4, count)
        assert (own >= np.float32(low) - 1e-6).all()
        assert (own <= np.float32(high) + 1e-6).all()
    assert (shown.arrays["example"] == -1).all()
    np.testing.assert_allclose(shown.arrays["maps"].sum((1, 2)), 1, rtol=1e-5)


def test_regions_score_images_by_what_defines_their_class() -> None:
    """All images of the micro set are said to be squares, and a concept of that name has a mask in each."""
    model, probe = micro.load("resnet"), micro.probe()
    results = run_of(methods=["saliency"], setting="regions", images=5, smoothing=5)
    shown = results["examples"]
    assert results["scores"].facts["images"] == 5
    assert sorted(shown.arrays["example"].tolist()) == sorted(set(shown.arrays["example"].tolist()))
    from microtome.methods.benchmarks.contest import smooth

    for index, value, map in zip(shown.arrays["example"], shown.arrays["value"], shown.arrays["maps"], strict=True):
        inputs = model.inputs([probe.image(int(index))])
        target = resolve(model, model.forward(inputs)[0], None)
        found = saliency.explain(Call(model, inputs, [target], SilentContext(), 0), saliency.params()).maps[0].double().numpy()
        region = model.preprocess.geometry.labels(probe.class_region(int(index), target.name), found.shape)
        assert value == pytest.approx(float(inside_mass(smooth(found, 5), region)), rel=1e-4)
        assert float(map[region].sum()) == pytest.approx(value, rel=1e-3)


def test_a_cell_that_does_not_exist_and_a_set_without_masks() -> None:
    with pytest.raises(InvalidInput, match="cell 4 does not exist"):
        methods()["aggatt"].parse({"cells": 2, "cell": 4})

    class Bare:
        def __init__(self, probe: Any) -> None:
            self._probe = probe

        def __len__(self) -> int:
            return len(self._probe)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._probe, name)

        def example(self, index: int) -> Any:
            from dataclasses import replace

            return replace(self._probe.example(index), probe=None)

    with pytest.raises(InvalidInput, match="mask") as caught:
        run_of(probe=Bare(micro.probe()), methods=["saliency"], setting="regions", images=2)
    assert caught.value.field == "params.setting"
