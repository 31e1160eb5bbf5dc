"""Numbers named by references, in results as real methods make them."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from microtome.core.errors import InvalidInput
from microtome.results import Column, Curves, Matrix, Scorecard, UnitTable
from microtome.results.measured import Measured, Reference, measure, measure_in, references


def card() -> Scorecard:
    score = Scorecard.Score
    return Scorecard(
        title="Change of accuracy",
        scores=[
            score(name="all classes", group="total", value=-4.5, unit="points", low=-6, high=-3, chance=-0.2, chance_low=-1, chance_high=1,
                  draws=200),
            score(name="deletion", group="Grad-CAM", value=0.3),
            score(name="deletion", group="RISE", value=0.2),
            score(name="pointing game", group="RISE", value=None),
        ],
    )  # fmt: skip


def table() -> UnitTable:
    columns = [
        Column("best_iou", "IoU", "number", [0.2, np.nan, 0.4]), Column("best_chance", "Chance level", "number", [0.01, 0.02, 0.03]),
        Column("detector", "Detector", "flag", [True, False, True]), Column("active", "Positions above", "integer", [7, 8, 9]),
        Column("best_concept", "Best concept", "text", ["a", None, "b"]),
    ]  # fmt: skip
    return UnitTable.of(title="Units of stage1", layer="stage1", columns=columns, units=[5, 3, 11])


def matrix(rows: list[str], columns: list[str], **more: object) -> Matrix:
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    return Matrix(
        title="IoU", rows=rows, columns=columns, row_axis="unit", column_axis="concept", quantity="IoU",
        arrays={"values": values, "chance": values / 10}, **more,
    )  # fmt: skip


def ref(**given: object) -> Reference:
    return Reference.model_validate({"item": "x", **given})


def test_a_score_comes_with_interval_chance_and_draws() -> None:
    assert measure(card(), ref(name="all classes")) == Measured(
        -4.5, "Change of accuracy: total, all classes", "points", -6, -3, -0.2, -1, 1, 200
    )
    assert measure(card(), ref(name="deletion", group="RISE")).value == 0.2


def test_a_cell_of_units_is_found_by_the_unit_and_has_its_chance_level() -> None:
    found = measure(table(), ref(row=11, column="best_iou"))
    assert (found.value, found.chance, found.title) == (0.4, 0.03, "Units of stage1, unit 11: IoU")
    assert measure(table(), ref(row="5", column="active")).value == 7
    assert measure(table(), ref(row=3, column="detector")).value == 0


def test_a_cell_of_a_matrix_by_names_or_numbers() -> None:
    found = measure(matrix([], ["sky", "sea", "1"]), ref(row=1, column="sea"))
    assert (found.value, found.unit, found.title) == (4, "IoU", "IoU: unit 1, concept sea")
    assert found.chance == pytest.approx(0.4)
    assert measure(matrix([], ["sky", "sea", "1"]), ref(row="1", column="1")).value == 5  # a name goes before a number


@pytest.mark.parametrize(
    ("result", "given", "field", "says"),
    [
        (card(), {"name": "nope"}, "name", "total / all classes, Grad-CAM / deletion"),
        (card(), {}, "name", "Say which score"),
        (card(), {"name": "deletion"}, "group", "several groups: Grad-CAM, RISE"),
        (card(), {"name": "deletion", "group": "LIME"}, "name", "in the group 'LIME'"),
        (card(), {"name": "pointing game"}, None, "could not be computed"),
        (card(), {"name": "all classes", "row": 1}, "row", "is a scorecard: leave out 'row'"),
        (table(), {"row": 4, "column": "best_iou"}, "row", "3 units from 3 to 11; there is no '4'"),
        (table(), {"column": "best_iou"}, "row", "there is no ''"),
        (table(), {"row": 3, "column": "best_iou"}, None, "could not be computed"),
        (table(), {"row": 5, "column": "best_concept"}, "column", "best_iou, best_chance, detector, active"),
        (table(), {"row": 5, "column": "active", "name": "a"}, "name", "leave out 'name'"),
        (matrix([], ["a", "b", "c"]), {"row": 2, "column": "a"}, "row", "numbers from 0 to 1"),
        (matrix([], ["a", "b", "c"]), {"row": 1, "column": "d"}, "column", "It has: a, b, c"),
        (matrix(["p", "q"], ["a", "b", "c"]), {"row": "1", "column": "a"}, "row", "It has: p, q"),
    ],
)
def test_what_does_not_fit_is_refused_and_what_there_is_is_named(result: object, given: dict, field: str | None, says: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        measure(result, ref(**given))  # type: ignore[arg-type]
    assert says in refused.value.detail
    assert refused.value.field == ("reference" if field is None else f"reference.{field}")


def test_kinds_without_single_numbers_and_items_that_are_not_there() -> None:
    x = np.zeros(2, np.float32)
    curves = Curves(title="c", series=["a"], x_axis="x", y_axis="y", arrays={"x": x, "y": x[None]})
    with pytest.raises(InvalidInput, match="kind curves"):
        measure(curves, ref())
    with pytest.raises(InvalidInput, match="It has: effect, other"):
        measure_in({"effect": card(), "other": card()}, ref(name="all classes"))
    assert measure_in({"x": card()}, ref(name="all classes")).value == -4.5
    assert references(curves) == []


def test_everything_offered_can_be_measured() -> None:
    for offer in references(card(), "p", "effect"):
        assert (offer.reference.part, offer.reference.item) == ("p", "effect")
        assert measure(card(), offer.reference).unit == offer.unit
    assert len(references(card())) == 3
    offers = references(table(), "", "units")
    assert [o.reference.column for o in offers] == ["best_iou", "best_chance", "detector", "active"]
    for offer in offers:
        measure(table(), offer.reference.model_copy(update={"row": 11}))
    (offer,) = references(matrix([], ["a", "b", "c"]))
    assert (offer.rows, offer.columns, offer.row_names, offer.column_names) == (2, 3, (), ("a", "b", "c"))


@pytest.mark.parametrize(
    "bad", [{"item": ""}, {"row": -1}, {"row": 1.5}, {"row": True}, {"name": "a\nb"}, {"name": "x" * 301}, {"more": 1}]
)
def test_references_are_bounded(bad: dict) -> None:
    with pytest.raises(ValidationError):
        ref(**bad)
