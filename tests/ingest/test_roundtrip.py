"""A real dissection, written as a folder and imported into an empty installation: Browse answers the same, to the last bit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from jsonschema import Draft202012Validator

from microtome.api.app import create_app
from microtome.api.browse import atlas as atlases
from microtome.ingest.writer import export_folder
from tests import micro
from tests.ingest.conftest import imported
from tests.ingest.tables import write_folder

SCHEMA = Path(__file__).parents[2] / "docs" / "schemas" / "import.json"
ELSEWHERE = ("kept_bytes", "imported")  # facts that say how it was computed, not what was found


def dissected(desk: Any, params: dict[str, Any]) -> tuple[str, str]:
    model = desk.engine.ensure_source("model", f"path:{micro.model_folder('resnet')}")
    probe = desk.engine.ensure_source("probe", f"path:{micro.write_probe(micro.ROOT / 'ingest')}")
    for method, given in (("dissection", params), ("unit-map", {"projection": "pca"})):
        run = desk.engine.submit(method, {"model": model, "probe": probe}, given)
        assert run.state == "done", run.error
    return model, probe


def answers(desk: Any, model: str, probe: str) -> dict[str, Any]:
    """What Browse says, without the keys, which differ."""
    at = {"model": model, "probe": probe}
    with TestClient(create_app(desk.settings, engine=desk.engine), base_url="http://127.0.0.1:8000") as client:

        def ask(path: str, **body: Any) -> Any:
            answer = client.post(f"/api/v1{path}", json=at | body)
            assert answer.status_code == 200, answer.text
            return answer.json()

        def get(path: str, **query: Any) -> Any:
            answer = client.get(f"/api/v1{path}", params={"probe": probe, **query})
            assert answer.status_code == 200, answer.text
            return answer.json()

        found = {
            "rows": ask("/units/query", limit=500)["items"], "aggregate": ask("/units/aggregate"),
            "brushed": ask("/units/aggregate", selection={"detector": True}), "atlas": get("/atlas", model=model),
            "map": get("/units/map", model=model),
        }  # fmt: skip
        for row in found["rows"][::7]:
            address = f"/units/{model}/{row['layer']}/{row['unit']}"
            found[address] = get(address)
            found[f"{address} moved"] = get(f"{address}/concepts", quantile=0.98)
            found[f"{address} similar"] = get(f"{address}/similar")
            found[f"{address} maps"] = client.get(found[address]["exemplars"]["maps"]["url"]).content
            found[f"{address} strip"] = client.get(f"/api/v1{address}/strip", params={"probe": probe, "count": 3}).content
        # layers that were never dissected are known of the real model only
        found["atlas"]["layers"] = [{**layer, "order": None} for layer in found["atlas"]["layers"] if layer["computed"]]
        return _without(found, {"key", "url", "version", "newest", "imported", "method_version"})


def _without(value: Any, names: set[str]) -> Any:
    if isinstance(value, dict):
        return {k: _without(v, names) for k, v in value.items() if k not in names}
    return [_without(v, names) for v in value] if isinstance(value, list) else value


@pytest.mark.parametrize("params", [{"exemplars": 2}, {"exemplars": 2, "max_examples": 9, "quantile": 0.99, "permutations": 200}])
def test_a_dissection_survives_export_and_import(lab: Any, tmp_path: Path, params: dict[str, Any]) -> None:
    here = lab("here")
    model, probe = dissected(here, params)
    state = atlases.find(here, model, probe)
    folder = export_folder(here.engine.results, state.keys[0], tmp_path / "out")
    given = answers(here, model, probe)
    there = lab("there")
    imported(there, folder)
    assert answers(there, model, probe) == given
    other = atlases.find(there, model, probe)
    assert other.imported is not None
    for old, new in zip([*state.keys, state.map_key], [*other.keys, other.map_key], strict=True):
        before, after = here.engine.results.load(old), there.engine.results.load(new)
        assert before.keys() == after.keys()
        for name, result in before.items():
            documents = [r.model_dump(mode="json") for r in (result, after[name])]
            for document in documents:
                document["facts"] = {k: v for k, v in document.get("facts", {}).items() if k not in ELSEWHERE}
            assert documents[0] == documents[1]
            assert result.arrays.keys() == after[name].arrays.keys()
            for array, values in result.arrays.items():
                assert values.dtype == after[name].arrays[array].dtype
                assert np.array_equal(values, after[name].arrays[array], equal_nan=values.dtype.kind == "f"), (name, array)


def test_results_imported_before_the_real_model_stay_with_it(lab: Any, tmp_path: Path) -> None:
    here = lab("here")
    model, probe = dissected(here, {"exemplars": 2})
    folder = export_folder(here.engine.results, atlases.find(here, model, probe).keys[0], tmp_path / "out")
    there = lab("there")
    imported(there, folder)
    assert there.engine.sources.get("model", model).source == f"import:{model}"
    slug = there.engine.ensure_source("model", f"path:{micro.model_folder('resnet')}")
    assert slug == model
    assert [row.slug for row in there.engine.sources.all("model")] == [model]
    state = atlases.find(there, model, probe)
    assert (state.state, state.imported is not None) == ("current", True)
    run = there.engine.submit("predict", {"model": model, "example": f"{probe}:3"})
    assert run.state == "done", run.error
    again = imported(there, folder)  # now the real one is here: its row is used, nothing is written anew
    assert [row.source for row in there.engine.sources.all("model")] == [f"path:{micro.model_folder('resnet')}"]
    assert all(done for _, _, done in there.engine.runs.parts([again.id])[again.id])


def microtome(data: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "MICROTOME_DATA_DIR": str(data), "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run([sys.executable, "-m", "microtome.cli", *arguments], capture_output=True, text=True, env=environment, timeout=120)


def test_the_command_line_checks_imports_and_exports(tmp_path: Path) -> None:
    data, folder = tmp_path / "data", write_folder(tmp_path / "in")
    schema = Draft202012Validator(json.loads(SCHEMA.read_text()))
    documents = []
    for options in (["--dry-run", "--json"], ["--json"], ["--json"]):
        done = microtome(data, "import", str(folder), *options)
        assert done.returncode == 0, done.stderr
        documents.append(json.loads(done.stdout))
        schema.validate(documents[-1])
    checked, first, again = documents
    assert [p["stored"] for p in checked["layers"].values()] == [False, False]
    assert {n: p["key"] for n, p in checked["layers"].items()} == {n: p["key"] for n, p in first["layers"].items()}
    assert first["layers"] == again["layers"]
    assert first["map"]["stored"]
    out = microtome(data, "export", first["layers"]["stage1"]["key"][:10], "--format", "parquet", "--out", str(tmp_path / "out"))
    assert out.returncode == 0, out.stderr
    assert (Path(out.stdout.strip()) / "manifest.json").exists()
    shown = microtome(tmp_path / "other", "import", out.stdout.strip())
    assert shown.returncode == 0, shown.stderr
    assert "far-net on far-images" in shown.stdout
    (folder / "stage1" / "units.parquet").unlink()
    wrong = microtome(tmp_path / "third", "import", str(folder), "--dry-run")
    assert wrong.returncode == 2
    assert len(wrong.stderr.strip().splitlines()) == 1
    assert "has no file stage1/units.parquet" in wrong.stderr
    assert not (tmp_path / "third" / "blobs").exists()
