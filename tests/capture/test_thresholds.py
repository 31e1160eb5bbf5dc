"""Thresholds and selection against the definitions, for every kind of values: dense, sparse, tied, constant."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microtome.capture.arithmetic import Arithmetic
from microtome.capture.arithmetic.compiled import Compiled
from microtome.capture.arithmetic.tensors import Tensors
from microtome.capture.recorders.exemplars import band_names, choose_exemplars, top_examples
from microtome.capture.recorders.thresholds import GRID, allowed_above, exact_thresholds
from tests.reference.dissection import fast_threshold, threshold_of

VALUES = st.one_of(st.floats(-3, 3, width=32), st.just(0.0), st.sampled_from([0.5, 1.0, 1.5]))


@settings(max_examples=60, deadline=None)
@given(st.lists(VALUES, min_size=4, max_size=120), st.sampled_from(GRID))
def test_is_the_smallest_attainable_value_with_at_most_the_share_above(values: list[float], quantile: float) -> None:
    array = np.array(values, np.float32)
    found = exact_thresholds(array.reshape(len(array), 1, 1, 1), (quantile,), Compiled())
    assert found.values[0, 0] == threshold_of(array, quantile) == fast_threshold(array, quantile)
    assert found.attained[0, 0] == (array > found.values[0, 0]).mean()


@pytest.mark.parametrize("kind", ["normal", "relu", "mostly zero", "constant", "two values", "negative"])
@pytest.mark.parametrize("do", [Compiled(), Tensors()], ids=["compiled", "tensors"])
def test_large_inputs_agree_with_sorting_everything(do: Arithmetic, kind: str) -> None:
    generator = np.random.default_rng(1)
    maps = generator.normal(size=(60, 3, 24, 24)).astype(np.float32)
    if kind == "relu":
        maps = maps.clip(0)
    elif kind == "mostly zero":
        maps = np.where(generator.random(maps.shape) < 0.003, maps, 0).astype(np.float32)
    elif kind == "constant":
        maps[:] = 2.5
    elif kind == "two values":
        maps = (maps > 1).astype(np.float32)
    elif kind == "negative":
        maps -= 10
    found = exact_thresholds(maps, GRID, do)
    for unit in range(3):
        expected = [fast_threshold(maps[:, unit].reshape(-1), q) for q in GRID]
        np.testing.assert_array_equal(found.values[unit], np.float32(expected))
    assert (np.diff(found.values, axis=1) >= 0).all()


def test_the_share_is_counted_in_decimal_not_in_binary() -> None:
    assert 1 - 0.9 != 0.1
    assert allowed_above(0.9, 10) == 1
    assert allowed_above(0.995, 1000) == 5


def test_top_examples_are_exact_and_ties_go_to_the_earlier_example() -> None:
    peaks = np.array([[1, 5], [3, 5], [3, 0], [2, 5]], np.float32).T
    np.testing.assert_array_equal(top_examples(peaks, 3), [[1, 2, 3], [0, 1, 3]])
    many = np.random.default_rng(0).integers(0, 9, (5, 400)).astype(np.float32)
    np.testing.assert_array_equal(top_examples(many, 30), np.argsort(-many, axis=1, kind="stable")[:, :30])


def test_bands_hold_the_nearest_peaks_and_random_is_the_same_for_all_units() -> None:
    peaks = np.random.default_rng(0).random((5, 200)).astype(np.float32)
    bands = np.tile(np.float32([0.9, 0.5, 0.2]), (5, 1))
    slots = choose_exemplars(peaks, bands, 4, seed=3)
    assert band_names(4) == ["top"] * 4 + ["q0.999"] * 4 + ["q0.99"] * 4 + ["q0.95"] * 4 + ["random"] * 4 + ["lowest"] * 4
    middle = slots[:, 8:12]
    for unit in range(5):
        distance = np.abs(peaks[unit] - 0.5)
        assert distance[middle[unit]].max() <= np.sort(distance)[3]
        assert (np.diff(peaks[unit][middle[unit]]) <= 0).all()
    assert (slots[:, 16:20] == slots[0, 16:20]).all()
    np.testing.assert_array_equal(peaks[np.arange(5), slots[:, -4]], peaks.min(1))
