"""A finding about a real network holds on another machine: by its notebook, and by its crate and the command line, in empty folders."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from microtome.api.app import create_app
from microtome.core.settings import Settings
from microtome.engine import Engine

ROOT = Path(__file__).parents[1]
API = "/api/v1"
PROBE = "builtin:flowers#val:24"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A finding with the accuracy-like number of a real run, as a notebook and as a crate."""
    folder = tmp_path_factory.mktemp("first")
    engine = Engine(Settings(data_dir=folder / "data", inline=True), executor="inline")
    model, probe = engine.ensure_source("model", "builtin:flowers-cnn"), engine.ensure_source("probe", PROBE)
    layer = engine.sources.layers(engine.sources.get("model", model).id)[-1].name
    subjects = {"model": model, "probe": probe, "units": {"layer": layer, "indices": [0, 1, 2]}}
    run = engine.submit("ablate-units", subjects, {"draws": 200})
    assert run.state == "done", run.error
    [(_, key, _)] = engine.runs.parts([run.id])[run.id]
    scores = [s for s in engine.results.load(key)["effect"].scores if s.value]
    with TestClient(create_app(engine.settings, engine=engine), base_url="http://127.0.0.1:8000") as client:
        reference = {"item": "effect", "name": scores[0].name, "group": scores[0].group or None}
        evidence = [{"group": "causal", "test": "three units off", "key": key, "reference": reference}]
        figures = [{"caption": "effect", "panels": [{"kind": "result", "key": key, "item": "effect"}]}]
        body = {"title": "Three units", "evidence": evidence, "figures": figures}
        made = client.post(f"{API}/findings", json=body)
        assert made.status_code == 201, made.text
        id = made.json()["id"]
        files = {f: client.get(f"{API}/findings/{id}/export", params={"format": f}).content for f in ("ipynb", "crate")}
    engine.store.close()
    return made.json(), files


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT / "backend"), "MICROTOME_DATA_DIR": str(folder / "data"), "HF_HUB_OFFLINE": "1"}


def cells(notebook: bytes) -> str:
    document = json.loads(notebook)
    assert (document["nbformat"], document["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in document["cells"]}) == len(document["cells"])
    return "\n".join("".join(cell["source"]) for cell in document["cells"] if cell["cell_type"] == "code")


def execute(code: str, folder: Path) -> str:
    script = folder / "cells.py"
    script.write_text(
        f"def main():\n{''.join(f'    {line}' for line in code.splitlines(keepends=True))}\n\n\nif __name__ == '__main__':\n    main()\n"
    )
    done = subprocess.run([sys.executable, str(script)], env=environment(folder), cwd=folder, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_its_notebook_computes_the_same(exported: Any, tmp_path: Path) -> None:
    made, files = exported
    said = execute(cells(files["ipynb"]), tmp_path)
    assert "The finding holds." in said
    assert "same key" in said
    assert said.count("is what it was") == 2
    assert f"then {made['evidence'][0]['value']:.6g}" in said


@pytest.mark.slow
def test_its_notebook_says_when_it_does_not_hold(exported: Any, tmp_path: Path) -> None:
    made, files = exported
    value = made["evidence"][0]["value"]
    wrong = cells(files["ipynb"]).replace(f"'value': {value!r}", f"'value': {value * 2!r}")
    assert "The finding does not hold here." in execute(wrong, tmp_path)


@pytest.mark.slow
def test_its_crate_is_checked_on_the_command_line(exported: Any, tmp_path: Path) -> None:
    made, files = exported
    (tmp_path / "finding.zip").write_bytes(files["crate"])

    def microtome(*words: str, status: int = 0) -> str:
        command = [sys.executable, "-m", "microtome.cli", *words]
        done = subprocess.run(command, env=environment(tmp_path), cwd=tmp_path, capture_output=True, text=True, timeout=600)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    microtome("models", "add", "builtin:flowers-cnn")
    microtome("probes", "add", PROBE, "--name", "flowers-val-24")
    assert "not computed here yet" in microtome("findings", "import", "finding.zip")
    assert json.loads(microtome("findings", "list", "--json"))["items"][0]["state"] == "fresh"
    outcome = json.loads(microtome("findings", "check", "1", "--json"))
    assert outcome["state"] == "agrees"
    assert outcome["numbers"][0]["now"] == pytest.approx(made["evidence"][0]["value"])
    assert json.loads(microtome("findings", "list", "--json"))["items"][0]["state"] == "verified"
    again = json.loads(microtome("findings", "check", "1", "--json"))
    assert again["state"] in ("unchanged", "agrees")
    assert microtome("findings", "export", "1", "-f", "html").strip().endswith("finding-1.html")
    assert "no finding '9'" in microtome("findings", "check", "9", status=2)
    assert "no file" in microtome("findings", "import", "nothing.zip", status=2)
