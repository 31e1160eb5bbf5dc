"""What the server sees to while nobody looks: one thing that is broken keeps no other from going on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

from microtome.collab.hypotheses.cards import Hypotheses
from microtome.collab.people import People
from microtome.collab.studies import prepare
from microtome.collab.studies.studies import Studies
from microtome.core.errors import NotFound
from microtome.store import tables as t
from tests.collab.test_hypotheses import card
from tests.collab.test_studies import GUESS


def test_a_study_whose_tasks_cannot_be_made_says_so(ready: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    eve, studies = replace(People(ready.store).create("Eve"), role="editor"), Studies(ready)
    ready.executor = "none"
    ids = [studies.create(eve, name, "", GUESS | {"seed": seed})["id"] for seed, name in enumerate(("broken", "whole"))]
    for id in ids:
        studies.prepare(eve, id, "1")
    with ready.store.read() as connection:
        runs = list(connection.execute(select(t.run.c.id).where(t.run.c.state == "queued")).scalars())
    ready.executor = "inline"
    for run in runs:
        ready.finish_inline(run)
    honest = prepare.make_tasks

    def sometimes(engine: Any, design: Any, runs: Any) -> Any:
        if design.seed == 0:
            raise KeyError("no such array")
        return honest(engine, design, runs)

    monkeypatch.setattr(prepare, "make_tasks", sometimes)
    studies.advance()
    broken, whole = (studies.get(eve, id)["preparation"] for id in ids)
    assert (broken["step"], whole["step"]) == ("failed", "ready")
    assert "no such array" in broken["problem"]


def test_a_card_whose_arrays_are_gone_says_so(ready: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ada, cards = People(ready.store).create("Ada"), Hypotheses(ready)
    made = cards.start(ada, cards.create(ada, card())["id"], "1")
    assert made["state"] == "supported"

    def gone(self: Any, row: Any) -> Any:
        raise NotFound("The file of an array is not there.", field="sha256")

    monkeypatch.setattr(type(ready.results), "result_of", gone)
    told = cards.get(ada, made["id"])
    assert told["state"] == "failed"
    assert "is not there" in told["why"]
    assert [item["id"] for item in cards.page(ada, None, None, None, 9)["items"]] == [made["id"]]
