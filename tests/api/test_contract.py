"""The contract: OpenAPI, docs/routes.md, the committed document and the running application say the same."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance

from microtome.api.app import create_app
from microtome.core.settings import Settings
from microtome.engine import Engine
from microtome.engine.manifest import ManifestReader
from tests.api.serve import serving
from tests.fakes import MANIFEST, FakeReader, FakeWorkshop

ROOT = Path(__file__).parents[2]
METHODS = ("GET", "POST", "PATCH", "DELETE", "PUT")


def documented() -> set[tuple[str, str]]:
    """Method and path of every route in the table of docs/routes.md."""
    found = set()
    for line in (ROOT / "docs" / "routes.md").read_text().splitlines():
        if not line.startswith("| GET") and not line.startswith("| P") and not line.startswith("| D"):
            continue
        cell = line.split("|")[1]
        for piece in cell.split(" · "):
            match = re.match(r"\s*(GET|POST|PATCH|DELETE|PUT)?\s*(/[^\s?`]*)", piece)
            if match:
                found.add((match[1] or "GET", plain(match[2])))
    return found


def plain(path: str) -> str:
    return re.sub(r"\{[^}]*\}", "{}", path)


def test_the_route_table_and_openapi_agree(settings: Settings, engine: Any) -> None:
    schema = create_app(settings, engine=engine).openapi()
    served = {
        (method.upper(), plain(path.removeprefix("/api/v1"))) for path, operations in schema["paths"].items() for method in operations
    }
    assert served == documented()


def test_the_committed_openapi_is_the_present_one() -> None:
    from microtome.api.openapi import document

    committed = ROOT / "frontend" / "openapi.json"
    assert committed.read_text() == document(), "run: python -m microtome.api.openapi > frontend/openapi.json"


def test_the_committed_manifest_is_the_present_one() -> None:
    from microtome.engine.manifest import PACKAGED, export, text

    assert PACKAGED.read_text() == text(export()), "run: python -m microtome.engine.manifest"


def test_every_operation_documents_problems(settings: Settings, engine: Any) -> None:
    schema = create_app(settings, engine=engine).openapi()
    for operations in schema["paths"].values():
        for operation in operations.values():
            assert "application/problem+json" in operation["responses"]["default"]["content"]
            assert operation["description"]


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """OpenAPI of an application whose executor runs nothing, over a store that holds a dissection, and its address."""
    folder = tmp_path_factory.mktemp("fuzzed")
    (folder / "manifest.json").write_text(json.dumps(MANIFEST))
    settings = Settings(data_dir=folder / "data", source_roots=[folder])
    manifests = ManifestReader(settings.data_dir, folder / "manifest.json")
    engine = Engine(settings, executor="inline", workshop=FakeWorkshop(), reader=FakeReader(), manifests=manifests)
    engine.add_source("add-model", "builtin:fake")
    engine.add_source("add-probe", "builtin:fake-probe")
    engine.submit("unit-map", {"model": "fake", "probe": "fake-probe"})
    engine.executor = "none"
    with serving(create_app(settings, engine=engine)) as url:
        yield schemathesis.openapi.from_url(f"{url}/api/v1/openapi.json"), url
    engine.store.close()


OPERATIONS = [
    (method.upper(), path)
    for path, operations in json.loads((ROOT / "frontend" / "openapi.json").read_text())["paths"].items()
    for method in operations
    if path != "/api/v1/events"  # streams are tested in test_events.py
]
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
#: What lets the fuzzer reach past "there is no such model": real names for some of its cases.
NAMES = {"model": "fake", "probe": "fake-probe", "layer": "stage1", "unit": 3, "index": 5, "id": "dissection"}


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_no_operation_breaks(fuzzed: Any, method: str, path: str) -> None:
    """Schemathesis with a fixed seed: no 5xx, and every answer is what OpenAPI says."""
    schema, url = fuzzed
    operation = schema[path][method]

    @hypothesis.settings(
        max_examples=40,
        derandomize=True,
        phases=[hypothesis.Phase.generate],
        deadline=None,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(case=operation.as_strategy(), real=hypothesis.strategies.booleans())
    def check(case: Any, real: bool) -> None:
        if real and method != "DELETE":
            for holder in (case.path_parameters, case.query, case.body):
                if isinstance(holder, dict):
                    holder.update({name: value for name, value in NAMES.items() if name in holder})
        case.call_and_validate(base_url=url, checks=CHECKS)

    check()


def test_example_bodies_are_accepted(shared_client: Any) -> None:
    document = shared_client.get("/api/v1/openapi.json").json()
    assert json.dumps(document).count("Problem") > 40
