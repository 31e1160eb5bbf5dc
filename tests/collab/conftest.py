"""People and label sets over a store with a fake model, on each database."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from microtome.collab.labels.decisions import Decisions
from microtome.collab.labels.queue import Queue
from microtome.collab.labels.ratings import Ratings
from microtome.collab.labels.sets import LabelSets
from microtome.collab.people import People, PersonRow

CHOICE = {"type": "choice", "options": ["sky", "tree", "wall"], "several": False}


@dataclass
class Lab:
    """Everything about labels, and three annotators and an editor."""

    store: Any
    events: Any
    sets: LabelSets
    ratings: Ratings
    queue: Queue
    decisions: Decisions
    ada: PersonRow
    ben: PersonRow
    cyd: PersonRow
    eve: PersonRow

    def make(self, **more: Any) -> Any:
        """A label set about four units of stage1 and two of stage2."""
        units = [("stage1", 3), ("stage1", 0), ("stage1", 1), ("stage1", 2), ("stage2", 0), ("stage2", 9)]
        values = {"name": "what", "model": "fake", "question": "What is it?", "schema": CHOICE, "units": units, "raters": 2, "blind": True}
        return self.sets.create(self.eve, **values | more)

    def told(self, kind: str) -> list[Any]:
        return [row.data for row in self.events.after(0, 1000) if row.type == kind]


@pytest.fixture
def lab(any_engine: Any) -> Lab:
    return lab_of(any_engine)


def lab_of(engine: Any) -> Lab:
    engine.add_source("add-model", "builtin:fake")
    people = People(engine.store)
    store, events = engine.store, engine.events
    annotators = [replace(people.create(name), role="annotator") for name in ("Ada", "Ben", "Cyd")]
    eve = replace(people.create("Eve"), role="editor")
    return Lab(
        store, events, LabelSets(store, events), Ratings(store, events), Queue(store, events), Decisions(store, events), *annotators, eve
    )  # fmt: skip
