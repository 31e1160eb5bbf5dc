"""The wheel holds the built frontend, so that nobody who installs it needs Node; and what it serves asks no other host."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
STATIC = ROOT / "backend" / "microtome" / "api" / "static"
# Names in XML namespaces and in error texts of Svelte and marked; nothing is asked of them, and the CSP would forbid it.
OTHER_HOST = re.compile(rb"https?://(?!127\.0\.0\.1|localhost|www\.w3\.org|svelte\.dev|github\.com/markedjs)[\w.-]+")

needs_build = pytest.mark.skipif(not (STATIC / "index.html").exists(), reason="the frontend is not built; run make build")


@needs_build
def test_index_has_no_inline_script_and_every_file_it_names() -> None:
    index = (STATIC / "index.html").read_text()
    assert not re.search(r"<script(?![^>]*\bsrc=)", index), "the CSP allows no inline script"
    assert not re.search(r"\son\w+=", index), "the CSP allows no inline handler"
    for name in re.findall(r'(?:src|href)="/([^"]+)"', index):
        assert (STATIC / name).is_file(), f"index.html names {name}, which is not built"


@needs_build
def test_built_files_name_no_other_host() -> None:
    for path in STATIC.rglob("*"):
        if path.suffix in {".js", ".css", ".html"}:
            found = OTHER_HOST.findall(path.read_bytes())
            assert not found, f"{path.name} names {found[:3]}"


def test_lock_file_names_no_registry() -> None:
    lock = json.loads((ROOT / "frontend" / "package-lock.json").read_text())
    assert not [name for name, package in lock["packages"].items() if "resolved" in package]


@needs_build
@pytest.mark.slow
def test_wheel_contains_the_frontend(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    (wheel,) = tmp_path.glob("microtome-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"microtome/api/static/index.html", "microtome/api/static/theme.js"} <= names
    assert any(re.fullmatch(r"microtome/api/static/assets/index-[\w-]+\.js", name) for name in names)
    assert any(name.endswith(".woff2") for name in names)
    assert not [name for name in names if "node_modules" in name or name.endswith(".map")]
