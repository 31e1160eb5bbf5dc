"""Sparseness, localisation and similarity: against slow references, scipy, and maps whose worth is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from microtome.methods.faithfulness import localisation as loc
from microtome.methods.faithfulness import similarity, sparseness
from microtome.methods.faithfulness.order import ranks
from microtome.probes import open_probe
from tests.reference import faithfulness as reference

RNG = np.random.default_rng


def test_gini_equals_the_mean_difference_of_all_pairs() -> None:
    for seed in range(3):
        map = RNG(seed).standard_normal(60)
        assert float(sparseness.gini(map)) == pytest.approx(reference.gini(map), rel=1e-10)
    assert float(sparseness.gini(np.full(50, -2.0))) == pytest.approx(0, abs=1e-12)
    assert float(sparseness.gini(np.eye(50)[7])) == pytest.approx(1 - 1 / 50)
    assert np.isnan(sparseness.gini(np.zeros(9)))


def test_the_sparseness_of_random_uniform_maps_is_a_third() -> None:
    found = sparseness.gini(RNG(0).random((400, 4096)))
    assert abs(found.mean() - sparseness.UNIFORM) < 3 * found.std() / np.sqrt(400) + 1 / 4096
    low, high = sparseness.uniform_band(4096, 200)
    assert low < sparseness.UNIFORM < high
    assert 0.9 < ((found > low) & (found < high)).mean() < 0.99


@pytest.fixture(scope="module")
def regions() -> list[np.ndarray]:
    """What defines the class, in pictures of every class of tinyplaces."""
    probe = open_probe("builtin:tinyplaces#test:24")
    found = [probe.example(i).region(probe.classes[i % 12]) for i in range(24)]
    return [r for r in found if r is not None]


def test_widening_equals_the_distance_to_every_pixel() -> None:
    for seed, radius in ((0, 0), (1, 1), (2, 3), (3, 40)):
        region = RNG(seed).random((17, 23)) > 0.97
        np.testing.assert_array_equal(loc.widened(region, radius), reference.widened(region, radius))


def test_localisation_equals_the_definitions(regions: list[np.ndarray]) -> None:
    for seed, region in enumerate(regions[:4]):
        map = RNG(seed).standard_normal(region.shape).round(1)
        assert float(loc.inside_mass(map, region)) == pytest.approx(reference.inside_mass(map, region))
        rank = loc.inside_rank(ranks(map.reshape(1, -1))[0], region)
        assert float(rank) == pytest.approx(reference.inside_rank(map, region))


def rank_score(map: np.ndarray, region: np.ndarray) -> float:
    return float(loc.inside_rank(ranks(map.reshape(1, -1))[0], region))


def mass(map: np.ndarray, region: np.ndarray) -> float:
    return float(loc.inside_mass(map, region))


@pytest.mark.parametrize("measure", [loc.pointing, mass, rank_score])
def test_an_oracle_is_first_a_random_map_at_its_level_and_an_inverted_oracle_below(measure: Any, regions: list[np.ndarray]) -> None:
    assert len(regions) == 24
    for number, region in enumerate(regions[:12]):
        share = region.mean()
        random = np.array([measure(map, region) for map in RNG(number).random((200, *region.shape))])
        spread = np.sqrt(share * (1 - share)) if measure is loc.pointing else random.std()
        assert abs(random.mean() - share) <= 3 * spread / np.sqrt(200)
        oracle = region + 0.01 * RNG(number).random(region.shape)
        inverted = measure(-oracle + 1.01, region)
        assert measure(region.astype(float), region) == 1.0
        assert measure(oracle, region) >= np.quantile(random, 1.0) - 1e-12
        assert inverted < share
        assert inverted <= random.min()


def test_tolerance_widens_the_target_and_its_chance(regions: list[np.ndarray]) -> None:
    radius = loc.tolerance(96, 96)
    assert radius == 3
    region = np.zeros((96, 96), bool)
    region[40:50, 40:50] = True
    map = np.zeros((96, 96))
    map[40, 37] = 1.0
    assert loc.pointing(map, region) == 0.0
    assert loc.pointing(map, loc.widened(region, radius)) == 1.0
    map[40, 36] = 2.0
    assert loc.pointing(map, loc.widened(region, radius)) == 0.0


def test_of_several_maxima_the_share_that_hits_counts() -> None:
    region = np.array([[True, False], [False, False]])
    assert loc.pointing(np.array([[2.0, 2.0], [0.0, 2.0]]), region) == pytest.approx(1 / 3)
    assert loc.pointing(np.zeros((2, 2)), region) == pytest.approx(region.mean())


def test_nothing_positive_has_no_inside_mass() -> None:
    assert np.isnan(loc.inside_mass(-np.ones((2, 2)), np.eye(2, dtype=bool)))


def test_rank_correlation_equals_scipys_also_with_ties() -> None:
    for seed in range(4):
        one, other = RNG(seed).standard_normal((2, 9, 11)).round(seed % 2 + 1)
        assert similarity.spearman(one, other) == pytest.approx(spearmanr(np.abs(one).ravel(), np.abs(other).ravel()).statistic)
    assert similarity.spearman(one, -3 * one) == pytest.approx(1)
    assert np.isnan(similarity.spearman(one, np.ones_like(one)))


def test_independent_maps_stay_in_the_band_of_the_rank_correlation() -> None:
    band = similarity.spearman_band(400)
    found = np.array([similarity.spearman(*RNG(seed).random((2, 20, 20))) for seed in range(400)])
    assert 0.92 < (np.abs(found) < band).mean() < 0.98


def test_structural_similarity_equals_the_definition_window_by_window() -> None:
    for shape, side in (((20, 17), 11), ((12, 8), 7)):
        one, other = RNG(0).standard_normal((2, *shape))
        other = other + one
        assert similarity.ssim(one, other) == pytest.approx(reference.ssim(one, other, side), rel=1e-9)
        assert similarity.ssim(one, -2 * one) == pytest.approx(1)
    assert np.isnan(similarity.ssim(one, np.zeros_like(one)))
