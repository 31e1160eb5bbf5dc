"""Documentation is part of the product: settings, methods, routes and schemas are checked against the code."""

from __future__ import annotations

import importlib.util
import json
import re
import tomllib
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from microtome.core.settings import Settings

ROOT = Path(__file__).parents[1]


def test_every_setting_is_documented_and_no_other() -> None:
    listed = set(re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/settings.md").read_text(), re.MULTILINE))
    assert listed == set(Settings.model_fields)


def test_method_pages_are_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("make_methods", ROOT / "docs/make_methods.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, text in module.pages().items():
        assert (ROOT / "docs/methods" / name).read_text() == text, f"{name} is out of date: run `make docs`"


def test_schemas_are_schemas() -> None:
    for path in (ROOT / "docs/schemas").glob("*.json"):
        Draft202012Validator.check_schema(json.loads(path.read_text()))


@pytest.mark.parametrize("name", [p.stem for p in sorted((ROOT / "bench/results").glob("*.json"))])
def test_kept_benchmarks_have_the_documented_shape(name: str) -> None:
    document = json.loads((ROOT / f"bench/results/{name}.json").read_text())
    Draft202012Validator(json.loads((ROOT / "docs/schemas/bench.json").read_text())).validate(document)
    assert document["name"] == name


def test_links_between_pages_lead_somewhere() -> None:
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_dependency_is_locked() -> None:
    locked = {line.split("==")[0].lower().replace("_", "-") for line in (ROOT / "constraints.txt").read_text().splitlines() if line}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for text in [*project["dependencies"], *project["optional-dependencies"]["dev"], *project["optional-dependencies"]["ray"]]:
        assert re.split(r"[\[>=<~!]", text)[0].lower().replace("_", "-") in locked, text


def test_container_files_name_files_that_exist() -> None:
    for source in re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE):
        for name in source.split():
            assert (ROOT / name).exists(), name
    compose = (ROOT / "docker-compose.yml").read_text()
    assert "127.0.0.1:8000" in compose


def test_lock_files_name_no_host_of_a_registry() -> None:
    assert "resolved" not in (ROOT / "frontend/package-lock.json").read_text()
    assert "://" not in (ROOT / "constraints.txt").read_text()
