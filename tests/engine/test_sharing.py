"""Runs about the same images share passes of the model, and the plan says so beforehand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from microtome.core.settings import Settings
from microtome.core.settings import settings as read_settings
from microtome.engine import Engine
from tests import micro


@pytest.fixture
def engine(settings: Settings, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A real engine with a micro model and twelve images."""
    monkeypatch.setenv("MICROTOME_DATA_DIR", str(settings.data_dir))
    read_settings.cache_clear()
    made = Engine(settings, executor="inline")
    made.start()
    made.add_source("add-model", f"path:{micro.model_folder('resnet')}", "net", trusted=True)
    made.add_source("add-probe", f"path:{micro.write_probe(tmp_path / 'photos')}#val", "photos", trusted=True)
    yield made
    made.stop()
    read_settings.cache_clear()


SUBJECTS = {"model": "net", "probe": "photos"}


def queued(engine: Any, *asks: tuple[str, dict[str, Any], dict[str, Any]]) -> list[Any]:
    """Put runs while no worker is free, then let one work; returns the ended runs."""
    idle = Engine(engine.settings, store=engine.store, executor="none")
    runs = [idle.submit(method, SUBJECTS | subjects, params) for method, subjects, params in asks]
    worker = engine._worker().worker
    while worker.step():
        pass
    return [engine.get(run.id) for run in runs]


def test_waiting_runs_ride_along(engine: Any) -> None:
    names = [layer.name for layer in engine.sources.layers(engine.sources.get("model", "net").id)]
    first, second, third, other = queued(
        engine,
        ("dissection", {"layers": names[:1]}, {}),
        ("activation-statistics", {"layers": names[1:3]}, {}),
        ("predictions", {}, {}),
        ("dissection", {"layers": names[:1]}, {"max_examples": 8}),
    )
    assert [r.state for r in (first, second, third, other)] == ["done"] * 4
    assert first.forward_passes == 12
    assert second.forward_passes == 0, "its layers were recorded in the pass of the first"
    assert third.forward_passes == 0
    assert other.forward_passes == 8, "other images are another pass"
    # one more recorder over layers that were recorded before costs no pass either
    [more] = queued(engine, ("exemplars", {"layers": names[1:3]}, {"count": 3}))
    assert (more.state, more.forward_passes) == ("done", 0)


def test_sharing_changes_no_number(engine: Any, settings: Settings) -> None:
    names = [layer.name for layer in engine.sources.layers(engine.sources.get("model", "net").id)]
    _, shared = queued(engine, ("dissection", {"layers": names[:1]}, {}), ("activation-statistics", {"layers": names[2:3]}, {}))
    [(_, key, _)] = engine.runs.parts([shared.id])[shared.id]
    together = engine.results.load(key)["activation"].arrays
    kept = {name: np.array(values) for name, values in together.items()}
    engine.results.drop([key])
    engine._worker().worker.captures.close()
    alone = engine.submit("activation-statistics", SUBJECTS | {"layers": names[2:3]})
    assert alone.forward_passes == 12
    for name, values in engine.results.load(key)["activation"].arrays.items():
        np.testing.assert_array_equal(values, kept[name])


def test_the_plan_says_what_is_read_recorded_and_shared(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = engine.estimate("dissection", SUBJECTS)
    assert plan["examples"] == 12
    assert plan["recorders"] == ["moments", "peaks", "thresholds", "histograms", "counts", "exemplars"]
    assert plan["passes"] == 1
    assert plan["scratch_bytes"] > 0
    idle = Engine(engine.settings, store=engine.store, executor="none")
    idle.submit("activation-statistics", SUBJECTS)
    assert "Shares its pass with Activation statistics" in engine.estimate("dissection", SUBJECTS)["note"]
    assert "Shares its pass" not in engine.estimate("dissection", SUBJECTS, {"max_examples": 8})["note"]
    monkeypatch.setenv("MICROTOME_SCRATCH_BYTES", str(plan["scratch_bytes"] // 2))
    read_settings.cache_clear()
    tight = engine.estimate("dissection", SUBJECTS)
    assert tight["passes"] > 1
    assert f"{tight['passes']} passes over the images: exact thresholds need all activations of a unit at once" in tight["note"]
    assert tight["scratch_bytes"] <= plan["scratch_bytes"] // 2
