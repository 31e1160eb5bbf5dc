"""Hypotheses and studies from programs: the Python client, the command line, and a backup that brings everything back."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from microtome.api.app import create_app
from microtome.client import Client
from microtome.collab.hypotheses.cards import Hypotheses
from microtome.collab.people import People
from microtome.collab.studies.studies import Studies
from microtome.collab.studies.taking import Taking
from microtome.store import open_store
from microtome.store import tables as t
from microtome.store.backup import back_up, restore
from tests.api.serve import serving
from tests.collab.test_hypotheses import card, units
from tests.collab.test_studies import GUESS

MINE = [table for table in t.metadata.sorted_tables if table.name.startswith(("hypothesis", "study"))]


def test_the_client(settings: Any, ready: Any) -> None:
    with serving(create_app(settings, engine=ready)) as url, Client(url) as lab:
        made = lab.make_hypothesis(
            "Unit 5 carries the sea.", "It falls.", {"method": "ablate-units", "subjects": units(5)}, {"subjects": units(1)},
            {"item": "effect", "name": "all"}, "below", -3, interval=True,
        )  # fmt: skip
        assert made["state"] == "draft"
        assert lab.start_hypothesis(made, wait=True)["state"] == "supported"
        assert [h["id"] for h in lab.hypotheses(state="supported")] == [made["id"]]
        assert list(lab.hypotheses(state="refuted")) == []
        assert len(lab.export_hypotheses().decode().splitlines()) == 2
        study = lab.request("POST", "/studies", json={"name": "x", "design": GUESS}).json()
        assert [s["id"] for s in lab.studies()] == [study["id"]]
        assert lab.study_results(study["id"])["participants"]["counted"] == 0
        assert len(lab.export_study(study["id"]).decode().splitlines()) == 1


@pytest.fixture
def shown(ready: Any) -> tuple[Any, str]:
    """An installation with one card and one study that somebody takes, which the command line finds."""
    ada = replace(People(ready.store).create("Ada"), role="editor")
    made = Hypotheses(ready).create(ada, card())
    studies, taking = Studies(ready), Taking(ready.store, ready.events)
    study = studies.create(ada, "Study", "", GUESS)["id"]
    studies.prepare(ada, study, "1")
    studies.open(ada, study, "1")
    for place in range(2):
        taking.next(ada, study)
        taking.answer(ada, study, place, 0, 3, 5)
    return made, study


def test_the_command_line(shown: Any, ready: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from microtome.cli import office
    from microtome.cli.main import assembled

    made, study = shown
    monkeypatch.setattr(office, "Engine", lambda *_, **__: ready)  # the one with fakes

    def run(*words: str) -> str:
        result = CliRunner().invoke(assembled(), words)
        assert result.exit_code == 0, (words, result.output, result.exception)
        return result.output

    assert "draft" in run("hypotheses", "list")
    assert f"{made['id'][:8]}: supported. The test passes" in run("hypotheses", "start", made["id"][:8])
    again = CliRunner().invoke(assembled(), ("hypotheses", "start", made["id"][:8]))
    assert "tested once" in str(again.exception)
    assert json.loads(run("hypotheses", "list", "--json"))["items"][0]["state"] == "supported"
    run("hypotheses", "export", "--out", str(tmp_path / "cards.csv"))
    assert [r["state"] for r in csv.DictReader((tmp_path / "cards.csv").open())] == ["supported"]
    assert "guess-label" in run("studies", "list")
    run("studies", "export", study[:8], "--out", str(tmp_path / "answers.csv"))
    assert len(list(csv.DictReader((tmp_path / "answers.csv").open()))) == 2
    run("studies", "export", study[:8], "--what", "summary", "--format", "json", "--out", str(tmp_path / "s.json"))
    assert json.loads((tmp_path / "s.json").read_text())["participants"]["answered"] == 1
    assert CliRunner().invoke(assembled(), ("studies", "export", "nothing")).exit_code != 0


def test_a_backup_brings_back_hypotheses_studies_and_answers(any_settings: Any, any_engine: Any, tmp_path: Path) -> None:
    any_engine.add_source("add-model", "builtin:fake")
    any_engine.add_source("add-probe", "builtin:fake-probe")
    ada = replace(People(any_engine.store).create("Ada"), role="editor")
    cards, studies, taking = Hypotheses(any_engine), Studies(any_engine), Taking(any_engine.store, any_engine.events)
    made = cards.create(ada, card())
    outcome = cards.start(ada, made["id"], "1")
    study = studies.create(ada, "Study", "", GUESS)["id"]
    studies.prepare(ada, study, "1")
    studies.open(ada, study, "1")
    taking.next(ada, study)
    taking.answer(ada, study, 0, 0, 3, 5)

    def rows(store: Any) -> dict[str, list[str]]:
        with store.read() as connection:
            return {table.name: sorted(map(str, connection.execute(select(table)))) for table in MINE}

    before = rows(any_engine.store)
    assert all(before.values()), "every table has rows"
    back_up(any_settings, tmp_path / "lab.tar.gz")
    empty = any_settings.model_copy(update={"data_dir": tmp_path / "restored", "database_url": None})
    restore(empty, tmp_path / "lab.tar.gz")
    store = open_store(empty)
    assert rows(store) == before
    store.close()
    from microtome.engine import Engine

    engine = Engine(empty, executor="none")
    assert Hypotheses(engine).get(ada, made["id"]) == outcome
    assert Taking(engine.store, engine.events).next(ada, study)["answered"] == 1
    engine.store.close()
