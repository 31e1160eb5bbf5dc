"""Agreement from stored answers: the numbers of an offline computation, and only what may be seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from microtome.collab.labels.scores import Scores
from tests.collab.conftest import BOTH, CHOICE, Lab
from tests.reference import agreement as slow

MACHINE = {"name": "milan", "version": "1"}


def fill(lab: Lab, id: str, table: dict[str, list[Any]]) -> None:
    """Answers by person's name, one per unit in order; None for none."""
    units = lab.queue.units(lab.eve, id, "all", None, 10)["items"]
    for name, answers in table.items():
        for unit, answer in zip(units, answers, strict=False):
            if answer is not None:
                machine = MACHINE if name == "machine" else None
                who = lab.eve if machine else getattr(lab, name)
                lab.ratings.give(who, id, unit["layer"], unit["unit"], answer, machine)


def measures(told: Any) -> dict[str, Any]:
    return {m["id"]: m for m in told["measures"]}


def names(pair: Any) -> set[str]:
    return {rater["person"]["name"] for rater in (pair["a"], pair["b"]) if rater["person"]}


def scores(lab: Lab) -> Scores:
    return Scores(lab.store)


@BOTH
def test_numbers_equal_an_offline_computation(lab: Lab) -> None:
    id = lab.make(schema={"type": "scale", "min": 1, "max": 5}, raters=3)["id"]
    table = {"ada": [1, 2, 3, 3, None, 5], "ben": [1, 2, 3, 4, 2, 5], "cyd": [2, 2, None, 3, None, 4]}
    fill(lab, id, table | {"machine": [1, 2, 3, None, 4, 5]})
    lab.sets.change(lab.eve, id, '"1"', {"closed": True})
    told = scores(lab).agreement(lab.eve, id, None)
    units = [[(name, row[u]) for name, row in table.items() if row[u] is not None] for u in range(6)]
    found = measures(told)
    assert found["percent"]["value"] == pytest.approx(slow.percent(units))
    for metric in ("nominal", "ordinal", "interval"):
        assert found[f"alpha-{metric}"]["value"] == pytest.approx(slow.alpha(units, metric))
    assert found["fleiss"]["value"] == pytest.approx(slow.fleiss([u for u in units if len(u) == 3]))
    assert (told["people"], told["machines"], told["units_compared"], told["answers"]) == (3, 1, 5, "independent")
    ada_ben = next(p for p in told["pairs"] if names(p) == {"Ada", "Ben"})
    first, second = [1, 2, 3, 3, 5], [1, 2, 3, 4, 5]
    assert ada_ben["kappa"] == pytest.approx(slow.cohen(first, second))
    assert ada_ben["weighted_kappa"] == pytest.approx(slow.cohen(first, second, quadratic=True))
    machine = told["machine_scores"][0]
    assert (machine["machine"], machine["units"], machine["ties"], machine["percent"]) == (MACHINE, 5, 0, pytest.approx(4 / 5))
    assert [u["percent"] for u in told["by_unit"]][:3] == [pytest.approx(1 / 3), 1.0, 1.0]


def test_what_is_hidden_from_me_is_left_out_and_counted(lab: Lab) -> None:
    id = lab.make()["id"]
    fill(lab, id, {"ada": ["sky"] * 6, "ben": ["sky", "tree", "sky", "wall", "sky", "tree"], "cyd": ["sky", "sky"]})
    told = scores(lab).agreement(lab.cyd, id, None)
    assert (told["units"], told["hidden_units"], told["hidden_answers"]) == (2, 4, 8)
    assert {u["unit"] for u in told["by_unit"]} == {3, 0}
    assert scores(lab).agreement(lab.eve, id, None)["units_compared"] == 0
    lab.ratings.reveal(lab.eve, id, None)
    assert scores(lab).agreement(lab.eve, id, None)["units_compared"] == 6


@BOTH
def test_independent_answers_are_those_given_before_looking(lab: Lab) -> None:
    id = lab.make(units=[("stage1", 0), ("stage1", 1)])["id"]
    fill(lab, id, {"ada": ["sky", "tree"], "ben": ["tree", "tree"]})
    mine = lab.ratings.page(lab.ben, id, "stage1", 0, lab.ben.id, None, 1)["items"][0]
    lab.ratings.change(lab.ben, mine["id"], '"1"', answer="sky")  # having seen Ada's
    ask = scores(lab)
    assert measures(ask.agreement(lab.ada, id, "independent"))["percent"]["value"] == 0.5
    assert measures(ask.agreement(lab.ada, id, "present"))["percent"]["value"] == 1.0
    assert ask.agreement(lab.ada, id, "present") is ask.agreement(lab.ada, id, "present"), "remembered"
    lab.ratings.change(lab.ben, mine["id"], '"2"', answer="wall")
    assert measures(ask.agreement(lab.ada, id, "present"))["percent"]["value"] == 0.5


def test_undefined_is_said_so(lab: Lab) -> None:
    id = lab.make(blind=False)["id"]
    empty = scores(lab).agreement(lab.ada, id, None)
    assert all(m["value"] is None and m["why"] for m in empty["measures"])
    fill(lab, id, {"ada": ["sky"] * 6, "ben": ["sky"] * 6})
    found = measures(scores(lab).agreement(lab.ada, id, None))
    assert found["percent"]["value"] == 1.0
    assert found["fleiss"]["value"] is None
    assert "same" in found["alpha-nominal"]["why"]


def test_older_answers_count_as_far_as_the_present_schema_knows_them(lab: Lab) -> None:
    id = lab.make(blind=False, units=[("stage1", 0), ("stage1", 1)])["id"]
    fill(lab, id, {"ada": ["sky", "wall"]})
    lab.sets.change(lab.eve, id, '"1"', {"schema": CHOICE | {"options": ["sky", "sea"]}})
    fill(lab, id, {"ben": ["sky", "sea"]})
    told = scores(lab).agreement(lab.ada, id, None)
    assert (told["left_out"], told["units_compared"], measures(told)["percent"]["value"]) == (1, 1, 1.0)


def test_several_choices_texts_and_regions(lab: Lab) -> None:
    id = lab.make(blind=False, schema=CHOICE | {"several": True})["id"]
    fill(lab, id, {"ada": [["sky"], ["sky", "tree"], []], "ben": [["sky"], ["sky"], []]})
    told = scores(lab).agreement(lab.ada, id, None)
    assert measures(told)["percent"]["value"] == pytest.approx(2 / 3)
    assert [(a["answer"], a["count"], a["agreement"]) for a in told["by_answer"]] == [("sky", 4, 1.0), ("tree", 1, 0.0), ("wall", 0, None)]
    assert told["by_answer"][2]["why"]

    id = lab.make(blind=False, schema={"type": "text"})["id"]
    fill(lab, id, {"ada": ["Blue sky", "a tree"], "ben": ["blue  sky.", "trees"]})
    told = scores(lab).agreement(lab.ada, id, None)
    assert measures(told)["percent"]["value"] == 0.5
    assert "NFKC" in told["comparison"]

    id = lab.make(blind=False, schema={"type": "region"})["id"]
    whole, half = {"example": 1, "rectangle": [0, 0, 1, 1]}, {"example": 1, "polygon": [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]}
    fill(lab, id, {"ada": [whole, whole], "ben": [half, half | {"example": 2}], "machine": [whole]})
    told = scores(lab).agreement(lab.ada, id, None)
    assert [m["id"] for m in told["measures"]] == ["overlap"]
    assert told["measures"][0]["value"] == pytest.approx(np.mean([0.5, 0]))
    assert told["pairs"][0]["kappa"] is None
    assert "not defined" in told["pairs"][0]["why"]
