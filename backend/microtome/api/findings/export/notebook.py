"""A Jupyter notebook (nbformat 4.5) that computes a finding again, in one process, and says whether its numbers hold."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pprint import pformat
from typing import Any

from microtome import __version__
from microtome.api.desk import Desk
from microtome.store.sources import TYPES

SETUP = """\
# %pip install microtome=={version}
import os

from microtome.core.settings import Settings
from microtome.engine import Engine
from microtome.results.measured import Reference, measure_in

settings = Settings(data_dir=os.environ.get("MICROTOME_DATA_DIR", "microtome-data"))
engine = Engine(settings, executor="inline")
"""
SOURCES = """\
# Where the models and probe sets are found; change a path if yours lie elsewhere. Their hashes are compared below.
SOURCES = {sources}

for (kind, name), (source, wanted) in SOURCES.items():
    slug = engine.ensure_source(kind, source)
    found = engine.sources.get(kind, slug).hash
    print(kind, name, "is what it was" if found == wanted else f"has CHANGED: {{found[:12]}}, was {{wanted[:12]}}")
    SOURCES[kind, name] = (slug, wanted)
"""
RUNS = """\
RESULTS = {results}

results = {{}}
for key, made in RESULTS.items():
    subjects = dict(made["subjects"])
    for kind in ("model", "probe"):
        if kind in subjects:
            subjects[kind] = SOURCES[kind, subjects[kind]][0]
    example = subjects.get("example", "")
    if example and not example.startswith("upload:"):
        name, _, index = example.rpartition(":")
        subjects["example"] = f"{{SOURCES['probe', name][0]}}:{{index}}"
    if made["part"]:
        subjects["layers"] = [made["part"]]
    run = engine.submit(made["method"], subjects, made["params"])
    if run.state != "done":
        raise RuntimeError(f"{{made['method']}} did not end well: {{run.error}}")
    now = {{part: k for part, k, _ in engine.runs.parts([run.id])[run.id]}}[made["part"]]
    results[key] = engine.results.load(now)
    print(made["method"], made["part"], "same key" if now == key else "another key: something has changed")
"""
CHECK = """\
EVIDENCE = {evidence}
TOLERANCE = {tolerance!r}  # relative to the number, or to half of its interval where that is larger

holds = True
for row in EVIDENCE:
    now = measure_in(results[row["key"]], Reference(**row["reference"])).value
    half = (row["high"] - row["low"]) / 2 if row["high"] is not None and row["low"] is not None else 0.0
    agrees = abs(now - row["value"]) <= TOLERANCE * max(abs(row["value"]), half)
    holds &= agrees
    print(f"{{'agrees ' if agrees else 'DIFFERS'}}  then {{row['value']:.6g}}  now {{now:.6g}}  {{row['unit']}}  {{row['test']}}")
print("The finding holds." if holds else "The finding does not hold here.")
"""


def notebook(desk: Desk, finding: Mapping[str, Any]) -> str:
    """The notebook as JSON."""
    results = {
        made["key"]: {name: made[name] for name in ("method", "version", "subjects", "params", "part")} for made in finding["provenance"]
    }
    names = ("test", "key", "reference", "value", "low", "high", "unit")
    evidence = [{name: row[name] for name in names} for row in finding["evidence"]]
    said = f"# {finding['title']}\n\n{finding['claim']}\n\n*{finding['citation']['text']}*\n\nsha256 `{finding['content_hash']}`"
    cells = [
        _cell("markdown", said),
        _cell("code", SETUP.format(version=__version__)),
        _cell("code", SOURCES.format(sources=_python(_sources(desk, finding)))),
        _cell("code", RUNS.format(results=_python(results))),
        _cell("code", CHECK.format(evidence=_python(evidence), tolerance=finding["tolerance"])),
    ]
    if finding["body"]:
        cells.append(_cell("markdown", finding["body"]))
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    document = {
        "cells": [{**cell, "id": f"cell-{place}"} for place, cell in enumerate(cells)],
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}}, "nbformat": 4, "nbformat_minor": 5,
    }  # fmt: skip
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _sources(desk: Desk, finding: Mapping[str, Any]) -> dict[tuple[str, str], tuple[str, str]]:
    """By kind and name: where it is found, and its hash. Folders of the server are named by their last part only."""
    found: dict[tuple[str, str], tuple[str, str]] = {}
    for made in finding["provenance"]:
        for kind in TYPES:
            name, hash = made["subjects"].get(kind), made[f"{kind}_hash"]
            if name is None or hash is None:
                continue
            row = desk.engine.sources.by_hash(kind, hash)
            source = str(row.source) if row is not None else f"path:./{name}"
            if not source.startswith(("builtin:", "hf:")):
                source = "path:./" + source.partition(":")[2].rstrip("/").rsplit("/", 1)[-1]
            found[kind, name] = (source, hash)
        example = str(made["subjects"].get("example", ""))
        name = example.rpartition(":")[0]
        if name and name != "upload" and ("probe", name) not in found:
            row = desk.engine.sources.find("probe", name)
            if row is not None:
                source = str(row.source)
                found["probe", name] = (source if source.startswith("builtin:") else f"path:./{name}", str(row.hash))
    return found


def _python(value: Any) -> str:
    """As a literal of Python, which is what the cells are."""
    return pformat(value, width=120, sort_dicts=False)


def _cell(kind: str, text: str) -> dict[str, Any]:
    cell: dict[str, Any] = {"cell_type": kind, "metadata": {}, "source": text.splitlines(keepends=True)}
    return cell | ({"execution_count": None, "outputs": []} if kind == "code" else {})
