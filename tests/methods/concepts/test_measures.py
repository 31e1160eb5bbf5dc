"""Measures against scikit-learn and against definitions written out; closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, f1_score, mutual_info_score

from microtome.methods.concepts.measures import (
    average_precision,
    best_threshold,
    f1,
    f1_interval,
    fit_probe,
    mutual_information,
)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), levels=st.integers(1, 40))
def test_average_precision_equals_scikit_learn_with_ties(seed: int, levels: int) -> None:
    generator = np.random.default_rng(seed)
    has = generator.random(37) < 0.3
    has[0] = True
    values = generator.integers(0, levels, (37, 4)).astype(np.float32)
    expected = [average_precision_score(has, v) for v in values.T]
    np.testing.assert_allclose(average_precision(has, values), expected, atol=1e-12)


def test_average_precision_of_a_constant_is_the_prevalence_and_of_the_label_one() -> None:
    has = np.arange(20) % 4 == 0
    found = average_precision(has, np.stack([np.zeros(20), has.astype(float)], 1))
    np.testing.assert_allclose(found, [0.25, 1.0])


@pytest.mark.parametrize(("n", "d", "penalty"), [(300, 3, 1.0), (80, 120, 1.0), (500, 40, 0.01)])
def test_a_probe_equals_scikit_learn(n: int, d: int, penalty: float) -> None:
    """Weights agree to 1e-3 of the largest, scores to 1e-2: scikit-learn's own stopping rule is coarser than ours."""
    generator = np.random.default_rng(n)
    values = (generator.normal(size=(n, d)) * generator.uniform(0.1, 5, d) + 3).astype(np.float32)
    drive = values @ generator.normal(size=d) + generator.normal(size=n) * 4
    has = drive > np.median(drive)
    probe = fit_probe(values, has, penalty)
    scaled = (values - values.mean(0, dtype=np.float64)) / values.std(0, dtype=np.float64)
    oracle = LogisticRegression(C=1 / penalty, tol=1e-10, max_iter=20_000).fit(scaled, has)
    np.testing.assert_allclose(probe.weights, oracle.coef_[0], atol=1e-3 * np.abs(oracle.coef_).max())
    np.testing.assert_allclose(probe.scores(values), oracle.decision_function(scaled), atol=1e-2)


def test_a_coordinate_that_never_varies_has_no_weight() -> None:
    values = np.stack([np.ones(40), np.arange(40) % 3], 1).astype(np.float32)
    assert fit_probe(values, np.arange(40) % 3 == 1).weights[0] == 0


def test_the_threshold_has_the_best_f1_of_all() -> None:
    generator = np.random.default_rng(1)
    for _ in range(30):
        scores = generator.integers(0, 12, 25).astype(float)
        has = generator.random(25) < 0.4
        has[0] = True
        found = f1(has, scores > best_threshold(has, scores))
        assert found == pytest.approx(max(f1_score(has, scores > t) for t in np.arange(-1, 13) - 0.5))


def test_mutual_information_equals_scikit_learn_at_the_same_cuts() -> None:
    generator = np.random.default_rng(2)
    values = generator.normal(size=(400, 3))
    has = values[:, 1] + generator.normal(size=400) > 0.5
    cuts = np.quantile(values, np.arange(1, 10) / 10, axis=0)
    expected = [mutual_info_score(has, np.searchsorted(cuts[:, u], values[:, u])) for u in range(3)]
    np.testing.assert_allclose(mutual_information(has, values), expected, atol=1e-12)


def test_an_interval_over_texts_is_wider_than_one_over_rows_that_agree_within_texts() -> None:
    generator = np.random.default_rng(3)
    text = np.repeat(np.arange(20), 10)
    has, right = np.repeat(generator.random(20) < 0.5, 10), np.repeat(generator.random(20) < 0.7, 10)
    said = has == right
    by_text, by_row = f1_interval(has, said, text, 0), f1_interval(has, said, np.arange(200), 0)
    assert by_text.high - by_text.low > 2 * (by_row.high - by_row.low)
    assert by_text.low <= f1(has, said) <= by_text.high
