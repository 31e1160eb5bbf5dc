"""The command line as a user runs it, in processes of its own, against its documented JSON schemas."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from microtome.cli.run import parse_target
from microtome.core.errors import InvalidInput
from tests import micro

SCHEMAS = Path(__file__).parents[1] / "docs" / "schemas"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cli")


def settings_of(data: Path) -> dict[str, str]:
    return {**os.environ, "MICROTOME_DATA_DIR": str(data), "HF_HUB_OFFLINE": "1"}


def microtome(data: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "microtome.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=settings_of(data), timeout=300)


def runs(data: Path) -> list[dict[str, Any]]:
    """Method and state of every run, read beside whatever writes them; none while there is no database yet."""
    try:
        with closing(sqlite3.connect(f"file:{data / 'microtome.db'}?mode=ro", uri=True)) as connection:
            return [{"method": m, "state": s} for m, s in connection.execute("select method, state from run")]
    except sqlite3.OperationalError:
        return []


def checked(data: Path, schema: str, *arguments: str) -> Any:
    done = microtome(data, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    Draft202012Validator(json.loads((SCHEMAS / f"{schema}.json").read_text())).validate(document)
    return document


def test_methods_list_and_one(data: Path) -> None:
    listed = checked(data, "methods", "methods")
    assert {"dissection", "grad-cam", "integrated-gradients", "occlusion", "ablate-units", "unit-map"} <= {m["id"] for m in listed}
    done = microtome(data, "methods", "occlusion")
    assert "window" in done.stdout
    assert microtome(data, "methods", "nope").returncode == 2


@pytest.mark.parametrize("family", ["resnet", "vit"])
def test_dissection_of_a_saved_model_then_the_same_from_the_cache(data: Path, family: str) -> None:
    arguments = (
        "run", "dissection", "--model", f"path:{micro.model_folder(family)}", "--probe", f"path:{micro.write_probe(micro.ROOT / 'cli')}",
    )  # fmt: skip
    first = checked(data, "dissection", *arguments)
    assert first["forward_passes"] == 12
    assert not first["cached"]
    assert sum(x["units"] for x in first["layers"].values()) == {"resnet": 8 + 8 + 12 + 16 + 24 + 24, "vit": 72}[family]
    for layer in first["layers"].values():
        assert layer["detectors"] == sum(layer["detectors_by_category"].values())
    again = checked(data, "dissection", *arguments)
    assert again["cached"]
    assert again["forward_passes"] == 0
    assert {k: {**v} for k, v in again["layers"].items()} == first["layers"]


def test_one_example_with_parameters_and_export(data: Path, tmp_path: Path) -> None:
    document = checked(
        data, "run", "run", "integrated-gradients", "--model", f"path:{micro.model_folder('resnet')}", "--probe",
        f"path:{micro.write_probe(micro.ROOT / 'cli')}", "--example", "3", "--target", "1", "--target", "0-2",
        "--target", "stage4.1/3", "--param", "steps=4", "--param", "baseline=blur", "--param", 'more_baselines=["white"]',
    )  # fmt: skip
    results = {r["name"]: r["document"] for r in document["results"]}
    assert set(results) == {"map", "curves", "evidence"}
    assert results["map"]["target_indices"] == [1, -1, -1]
    assert results["map"]["targets"] == ["square", "disc - stripe", "stage4.1 / 3"]
    assert {s["group"] for s in results["evidence"]["scores"]} == set(results["map"]["targets"])
    key = document["results"][0]["key"]
    done = microtome(data, "export", key[:10], "--format", "npz", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert [p.suffix for p in tmp_path.iterdir()] == [".npz"] * 3


def test_lists_and_removal(data: Path) -> None:
    models = checked(data, "list", "models", "list")
    assert models["items"]
    checked(data, "list", "probes", "list")
    assert microtome(data, "models", "remove", models["items"][0]["slug"]).returncode == 0
    assert len(checked(data, "list", "models", "list")["items"]) == len(models["items"]) - 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "nope", "--model", "builtin:tinyplaces-resnet"), "Methods:"),
        (("run", "predict", "--model", "path:/nowhere"), "no folder"),
        (("run", "predict", "--model", "hf:some/model"), "cannot be loaded"),
        (("run", "predict"), "--help"),
        (("run", "predict", "--model", "{model}", "--example", "3"), "needs --probe"),
        (("run", "predict", "--model", "{model}", "--probe", "{probe}", "--example", "99"), "numbered from 0"),
        (("run", "occlusion", "--model", "{model}", "--probe", "{probe}", "--example", "1", "--param", "window=0"), "window"),
        (("run", "occlusion", "--model", "{model}", "--probe", "{probe}", "--example", "1", "--param", "windows=3"), "windows"),
        (("run", "dissection", "--model", "{model}", "--probe", "{probe}", "--layer", "nope"), "nope"),
        (("run", "ablate-units", "--model", "{model}", "--probe", "{probe}", "--layer", "stem", "--unit", "999"), "999"),
        (("export", "zz"), "not a key"),
    ],
)
def test_wrong_usage_is_one_line_that_says_what_to_do(
    data: Path, arguments: tuple[str, ...], words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In this process, which saves importing torch eleven times; the exit status and both streams are the real ones."""
    from microtome.cli import main
    from microtome.core.settings import settings

    places = {"model": f"path:{micro.model_folder('resnet')}", "probe": f"path:{micro.write_probe(micro.ROOT / 'cli')}"}
    monkeypatch.setenv("MICROTOME_DATA_DIR", str(data))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(sys, "argv", ["microtome", *(a.format(**places) for a in arguments)])
    settings.cache_clear()
    try:
        with pytest.raises(SystemExit) as stopped:
            main()
    finally:
        settings.cache_clear()
    shown = capsys.readouterr()
    assert stopped.value.code in (1, 2)
    assert words in shown.err
    assert "Traceback" not in shown.err
    assert len(shown.err.strip().split("\n")) == 1
    assert shown.out == ""


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("3", 3),
        ("3-5", {"minus": [3, 5]}),
        ("stage4.1/42", {"layer": "stage4.1", "unit": 42}),
        ("stage4.1/42@3,5", {"layer": "stage4.1", "unit": 42, "site": [3, 5]}),
        ('{"layer": "stage4.1", "weights": {"1": 0.5}}', {"layer": "stage4.1", "weights": {"1": 0.5}}),
        ("like:tinyplaces:7", {"like": "tinyplaces:7"}),
        ("like:tinyplaces:7@stage4.1", {"like": "tinyplaces:7", "layer": "stage4.1"}),
        ("like:upload:" + "0a" * 32, {"like": "upload:" + "0a" * 32}),
    ],
)
def test_targets_on_the_command_line(text: str, target: object) -> None:
    assert json.loads(json.dumps(parse_target(text))) == target


@pytest.mark.parametrize("text", ["village", "-1", "3-", '{"minus": [1]}', '{"layer": "a", "unit": 1, "more": 2}', "/3"])
def test_what_is_no_target_is_refused_with_what_is(text: str) -> None:
    with pytest.raises(InvalidInput, match="A target is a class index"):
        parse_target(text)


def test_ctrl_c_cancels_the_run_and_leaves_nothing_that_a_server_would_take_up(data: Path, tmp_path: Path) -> None:
    source, images = f"path:{micro.model_folder('resnet')}", f"path:{micro.write_probe(tmp_path / 'many', 40)}"
    # Ablations by the thousand, which would take minutes.
    command = (
        sys.executable, "-m", "microtome.cli", "run", "ablate-units", "-m", source, "-p", images, "-l", "stage1.0", "-u", "1",
        "--param", "draws=2000",
    )  # fmt: skip
    # A shell would not pass the signal on to what it runs in the background; a group of its own is as a terminal's.
    run = subprocess.Popen(command, env=settings_of(data), stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        end = time.monotonic() + 120
        while not any(r["method"] == "ablate-units" and r["state"] == "running" for r in runs(data)):
            assert run.poll() is None, run.communicate()[1]
            assert time.monotonic() < end
            time.sleep(0.1)
        os.killpg(run.pid, signal.SIGINT)
        _, said = run.communicate(timeout=60)
    finally:
        run.kill()
    assert (run.returncode, said) == (130, "microtome: The run was cancelled.\n")
    assert not {r["state"] for r in runs(data)} & {"queued", "running"}
    assert next(r["state"] for r in runs(data) if r["method"] == "ablate-units") == "cancelled"
