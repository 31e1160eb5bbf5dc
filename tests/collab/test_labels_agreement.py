"""Agreement: published examples, the formulas computed slowly, other people's implementations, and what is not defined."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microtome.collab.labels import agreement as agree
from microtome.collab.labels.agreement import Cells, Measure
from tests.reference import agreement as slow

#: Krippendorff 2011, section C: four observers, twelve units, missing answers ('.').
KRIPPENDORFF = ("1 2 3 3 2 1 4 1 2 . . .", "1 2 3 3 2 2 4 1 2 5 . 3", ". 3 3 3 2 3 4 2 2 5 1 .", "1 2 3 3 2 4 4 1 2 5 1 .")
#: Fleiss 1971, table 1: 30 patients, 6 psychiatrists, 5 diagnoses.
FLEISS = """
0 0 0 6 0  0 3 0 0 3  0 1 4 0 1  0 0 0 0 6  0 3 0 3 0  2 0 4 0 0  0 0 4 0 2  2 0 3 1 0  2 0 0 4 0  0 0 0 0 6
1 0 0 5 0  1 1 0 4 0  0 3 3 0 0  1 0 0 5 0  0 2 0 3 1  0 0 5 0 1  3 0 0 1 2  5 1 0 0 0  0 2 0 4 0  1 0 2 0 3
0 0 0 0 6  0 1 0 5 0  0 2 0 1 3  2 0 0 4 0  1 0 0 4 1  0 5 0 1 0  4 0 0 0 2  0 2 0 4 0  1 0 5 0 0  0 0 0 0 6
"""


def krippendorff() -> list[list[tuple[str, int]]]:
    rows = [row.split() for row in KRIPPENDORFF]
    return [[(str(r), int(row[u])) for r, row in enumerate(rows) if row[u] != "."] for u in range(12)]


def fleiss_units() -> list[list[tuple[str, int]]]:
    table = np.array(FLEISS.split(), int).reshape(30, 5)
    return [[(str(i), int(v)) for i, v in enumerate(np.repeat(np.arange(5), row))] for row in table]


def cells(units: Any, order: Any = None) -> Cells:
    return Cells.of([[value for _, value in answers] for answers in units], order)


def test_krippendorffs_own_example() -> None:
    units = krippendorff()
    told = {metric: agree.alpha(cells(units, range(1, 6)), metric) for metric in ("nominal", "ordinal", "interval")}  # type: ignore[arg-type]
    assert {m: round(x.value or 0, 3) for m, x in told.items()} == {"nominal": 0.743, "ordinal": 0.815, "interval": 0.849}
    nominal = told["nominal"]
    assert (nominal.units, nominal.answers) == (11, 40)
    assert nominal.low is not None
    assert nominal.high is not None
    assert nominal.low < 0.743 < nominal.high


def test_fleiss_own_example() -> None:
    found = agree.fleiss(cells(fleiss_units()))
    assert found.value == pytest.approx(0.430, abs=5e-4)
    assert (found.units, found.answers) == (30, 180)


def test_cohens_kappa_of_a_textbook() -> None:
    """Fifty grant proposals read by two: 20 both yes, 15 both no, 5 and 10 apart; kappa 0.4 (Wikipedia's worked example)."""
    first = [1] * 25 + [0] * 25
    second = [1] * 20 + [0] * 5 + [1] * 10 + [0] * 15
    assert agree.cohen(first, second).value == pytest.approx(0.4)


ANSWERS = st.lists(st.lists(st.integers(0, 4), max_size=5), min_size=1, max_size=12)


@settings(max_examples=50, deadline=None, derandomize=True, database=None)
@given(ANSWERS)
def test_the_fast_way_is_the_slow_way(answers: list[list[int]]) -> None:
    units = [[(str(i), value) for i, value in enumerate(given)] for given in answers]
    table = cells(units, range(5))
    compare(agree.percent(table), slow.percent(units))
    for metric in ("nominal", "ordinal", "interval"):
        compare(agree.alpha(table, metric), slow.alpha(units, metric))  # type: ignore[arg-type]
    found = agree.fleiss(table)
    if found.units:
        same = [u for u in units if len(u) == found.answers / found.units]
        assert len(same) == found.units
        compare(found, slow.fleiss(same))


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=20))
def test_two_raters_the_slow_way(pairs: list[tuple[int, int]]) -> None:
    first, second = ([p[i] for p in pairs] for i in (0, 1))
    compare(agree.cohen(first, second), slow.cohen(first, second))
    compare(agree.cohen(first, second, range(5)), slow.cohen(first, second, quadratic=True))


def compare(found: Measure, wanted: float | None) -> None:
    assert (found.value is None) == (wanted is None)
    if wanted is None:
        assert found.why
        assert found.low is None
    else:
        assert found.value == pytest.approx(wanted, abs=1e-9)
        if found.low is not None:
            assert found.low <= found.high  # type: ignore[operator]


def test_sklearn_agrees_on_cohens_kappa() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    generator = np.random.default_rng(3)
    first = generator.integers(0, 5, 200)
    second = np.where(generator.random(200) < 0.6, first, generator.integers(0, 5, 200))
    assert agree.cohen(first, second).value == pytest.approx(metrics.cohen_kappa_score(first, second))
    weighted = metrics.cohen_kappa_score(first, second, weights="quadratic")
    assert agree.cohen(first, second, range(5)).value == pytest.approx(weighted)


def test_statsmodels_agrees_on_fleiss_kappa() -> None:
    raters = pytest.importorskip("statsmodels.stats.inter_rater", reason="statsmodels is not installed")
    table = np.array(FLEISS.split(), int).reshape(30, 5)
    assert agree.fleiss(cells(fleiss_units())).value == pytest.approx(raters.fleiss_kappa(table))


@pytest.mark.parametrize("answers", [[], [[1]], [[1], [2], [3]]])
def test_nothing_to_compare_has_no_value(answers: Any) -> None:
    for found in (agree.percent(Cells.of(answers)), agree.fleiss(Cells.of(answers)), agree.alpha(Cells.of(answers), "nominal")):
        assert (found.value, found.low) == (None, None)
        assert "two raters" in (found.why or "")


def test_no_variation_is_not_perfect_agreement() -> None:
    same = Cells.of([[3, 3], [3, 3, 3]], range(5))
    assert agree.percent(same).value == 1.0
    for found in (agree.fleiss(same), *(agree.alpha(same, m) for m in ("nominal", "ordinal", "interval")), agree.cohen([1, 1], [1, 1])):  # type: ignore[arg-type]
        assert found.value is None
        assert "same" in (found.why or "")


def test_the_interval_covers_and_narrows() -> None:
    """Units whose raters agree with a known probability: the interval has the share of the whole population in it, and shrinks."""
    generator = np.random.default_rng(1)

    def draw(count: int) -> Measure:
        truth = generator.integers(0, 3, count)
        return agree.percent(Cells.of([[t, t if generator.random() < 0.7 else (t + 1) % 3] for t in truth.tolist()]))

    few = [draw(40) for _ in range(60)]
    assert sum(m.low <= 0.7 <= m.high for m in few) >= 51  # type: ignore[operator]
    many = draw(4000)
    assert many.high - many.low < 0.04 < few[0].high - few[0].low  # type: ignore[operator]


def test_agreement_on_one_answer() -> None:
    counts, shares = agree.specific(Cells.of([["a", "a", "b"], ["b", "b", "b"], ["c"]]))
    assert counts.tolist() == [2, 4]
    assert shares.tolist() == pytest.approx([2 / 4, 6 / 8])


def test_overlap_of_regions() -> None:
    square = np.array([[0, 0], [0.5, 0], [0.5, 0.5], [0, 0.5]])
    assert agree.overlap(square, square) == 1.0
    assert agree.overlap(square, square + 0.5) == 0.0
    assert agree.overlap(square, square * [2, 1]) == pytest.approx(0.5)
    triangle = np.array([[0, 0], [1, 0], [0, 1]])
    assert agree.overlap(triangle, np.array([[0, 0], [1, 0], [1, 1], [0, 1]])) == pytest.approx(0.5, abs=0.02)
    assert not math.isnan(agree.overlap(square * 0, square * 0))
