"""What a study needs before it can be opened: first the results that tasks are made from, then the maps that tasks show.

What was asked for is kept in ``study.prepared``: ``{mark, step, runs, tasks, problem}``. It holds the right answers and goes into no
answer of the server; :func:`progress` says what may be said of it. Steps: measuring, explaining, ready, failed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sqlalchemy import Connection, Row, select

from microtome.collab.studies import tasks as made
from microtome.collab.studies.design import AnyDesign, BetterModel, ForwardSimulation, GuessLabel, MapCondition, maps_of
from microtome.core.classes import match_classes
from microtome.core.errors import InvalidInput, MicrotomeError
from microtome.engine import Engine
from microtome.results import Matrix
from microtome.store import tables as t
from microtome.store.runs import OPEN

Asked = tuple[str, dict[str, Any], dict[str, Any]]  # method, subjects, params


def first_runs(design: AnyDesign) -> list[Asked]:
    """The runs that tasks are made from."""
    if isinstance(design, GuessLabel):
        layers = {"layers": list(design.layers)} if design.layers else {}
        return [("dissection", {"model": design.model, "probe": design.probe} | layers, {})]
    models = [design.model] if isinstance(design, ForwardSimulation) else list(dict.fromkeys(m for pair in design.pairs for m in pair))
    return [("predictions", {"model": model, "probe": design.probe}, {}) for model in models]


def check(engine: Engine, design: AnyDesign) -> None:
    """
    Raises:
        InvalidInput, NotFound: a model, probe set or method does not fit; nothing is computed.
    """
    for asked in first_runs(design):
        engine.planner.plan(*asked)
    for number, condition in maps_of(design):
        manifest = engine.method(str(condition.method))
        if "example" not in manifest["subject"] or "image-map" not in manifest["returns"]:
            raise InvalidInput(
                f"{condition.method} makes no map of an image. Choose an attribution method.", field=f"design.conditions.{number}.method"
            )
        model = design.pairs[0][0] if isinstance(design, BetterModel) else design.model
        engine.planner.plan(*_map(condition, model, design.probe, 0, None))


def make_tasks(engine: Engine, design: AnyDesign, runs: Sequence[str]) -> list[made.Task]:
    """The tasks, from results of the first runs, which are done.

    Raises:
        InvalidInput: too few units or images fit.
    """
    parts = engine.runs.parts(runs)
    probe = engine.sources.get("probe", design.probe)
    if isinstance(design, GuessLabel):
        found = {part: (key, engine.results.load(key)) for part, key, _ in parts[runs[0]]}
        model = engine.sources.get("model", design.model)
        reader = str(model.hash) if model.description.get("modality") == "text" else None
        return made.guess_label(design, found, int(probe.description["examples"]), reader)
    models = [asked[1]["model"] for asked in first_runs(design)]
    values, labels = {}, {}
    opened = engine.reader.probe(probe.source)
    own = np.array([-1 if (y := opened.label(i)) is None else y for i in range(len(opened))], np.int64)
    for model, run in zip(models, runs, strict=True):
        matrix = engine.results.load(parts[run][0][1])["probabilities"]
        assert isinstance(matrix, Matrix)
        values[model] = matrix.arrays["values"]
        mapping = match_classes(opened.classes, engine.sources.get("model", model).description["class_names"])
        labels[model] = np.array([mapping.get(int(y), -1) for y in own[: len(values[model])]], np.int64)
    if isinstance(design, ForwardSimulation):
        classes = engine.sources.get("model", design.model).description["class_names"]
        return made.forward_simulation(design, values[design.model], labels[design.model], classes)
    return made.better_model(design, values, labels, own)


def map_runs(design: AnyDesign, tasks: Sequence[made.Task]) -> list[tuple[int, int, Asked]]:
    """The runs that make the maps: number of the task, of the condition, and what is asked."""
    out = []
    for number, task in enumerate(tasks):
        for condition, shown in maps_of(design):
            content = task.content
            target = content["label"] if shown.target == "true" else None
            for model in content.get("models") or [content["model"]]:
                out.append((number, condition, _map(shown, model, design.probe, content["example"], target)))
    return out


def _map(condition: MapCondition, model: str, probe: str, example: int, target: int | None) -> Asked:
    targets = {} if target is None else {"targets": [target]}
    return str(condition.method), {"model": model, "example": f"{probe}:{example}"} | targets, dict(condition.params)


def advance(engine: Engine, design: AnyDesign, prepared: Mapping[str, Any], person: str) -> dict[str, Any] | None:
    """The next state of a preparation whose runs have ended; None while they have not, or nothing is left to do."""
    if prepared["step"] not in ("measuring", "explaining"):
        return None
    with engine.store.read() as connection:
        runs = {run.id: run for run in connection.execute(select(t.run).where(t.run.c.id.in_(set(prepared["runs"]))))}
    if any(run.state in OPEN for run in runs.values()):
        return None
    broken = [run for id in prepared["runs"] if (run := runs.get(id)) is None or run.state != "done"]
    if broken:
        run = broken[0]
        why = "its run is gone" if run is None else (run.error or {}).get("detail") or f"it was {run.state}"
        what = "A run" if run is None else f"'{run.title}'"
        return {**prepared, "step": "failed", "problem": f"{what} gave no result: {why}"}
    try:
        if prepared["step"] == "measuring":
            tasks = make_tasks(engine, design, prepared["runs"])
            asked = map_runs(design, tasks)
            submitted = [engine.submit(*ask, priority="batch", person=person).id for _, _, ask in asked]
            mine = {"tasks": [task.document() for task in tasks], "first": list(prepared["runs"]), "runs": submitted}
            return {**prepared, **mine, "step": "explaining" if asked else "ready"}
        return {**prepared, "step": "ready", "tasks": _with_maps(engine, design, prepared)}
    except MicrotomeError as error:
        return {**prepared, "step": "failed", "problem": error.detail}


def _with_maps(engine: Engine, design: AnyDesign, prepared: Mapping[str, Any]) -> list[dict[str, Any]]:
    tasks = [made.Task(**task) for task in prepared["tasks"]]
    parts = engine.runs.parts(prepared["runs"])
    for task in tasks:
        task.maps = {}
    for (number, condition, _), run in zip(map_runs(design, tasks), prepared["runs"], strict=True):
        tasks[number].maps.setdefault(str(condition), []).append(parts[run][0][1])
    return [task.document() for task in tasks]


def keys_of(engine: Engine, prepared: Mapping[str, Any]) -> list[str]:
    """Keys of all results that the tasks were made from and show."""
    runs = [*prepared.get("first", []), *prepared["runs"]]
    return sorted({key for parts in engine.runs.parts(runs).values() for _, key, _ in parts})


def progress(connection: Connection, row: Row[Any]) -> dict[str, Any] | None:
    """What may be said of a preparation."""
    prepared = row.prepared
    if prepared is None:
        return None
    query = select(t.run.c.id, t.run.c.state).where(t.run.c.id.in_(set(prepared["runs"])))
    states = {row.id: row.state for row in connection.execute(query)}
    done = sum(states.get(id) not in OPEN for id in prepared["runs"])
    return {"step": prepared["step"], "done": done, "total": len(prepared["runs"]), "problem": prepared.get("problem")}


def attention(task: Mapping[str, Any], seed: int, number: int) -> dict[str, Any]:
    """A check made from a task: the same pictures, and a text that says what to choose; any choice, so that it tells nothing."""
    return {**task, "truth": int(np.random.default_rng([seed, 4, number]).integers(len(task["choices"])))}
