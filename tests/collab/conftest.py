"""People and label sets over a store with a fake model: on SQLite, and with ``BOTH`` on PostgreSQL too."""

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


#: For tests of what the two databases do differently: locks, NULLs, aggregates, upserts.
BOTH = pytest.mark.parametrize("lab", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True)


@pytest.fixture
def lab(request: pytest.FixtureRequest, settings: Any, make_engine: Any) -> Lab:
    if getattr(request, "param", "sqlite") == "postgresql":
        settings = settings.model_copy(update={"database_url": request.getfixturevalue("postgres_url")})
    return lab_of(make_engine(settings))


def lab_of(engine: Any) -> Lab:
    engine.add_source("add-model", "builtin:fake")
    people = People(engine.store)
    store, events = engine.store, engine.events
    annotators = [replace(people.create(name), role="annotator") for name in ("Ada", "Ben", "Cyd")]
    eve = replace(people.create("Eve"), role="editor")
    return Lab(
        store, events, LabelSets(store, events), Ratings(store, events), Queue(store, events), Decisions(store, events), *annotators, eve
    )  # fmt: skip
