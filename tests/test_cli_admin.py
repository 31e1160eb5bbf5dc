"""``microtome admin``, and the refusal to serve a team that nobody can let in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from microtome.cli.main import assembled
from microtome.core.errors import MicrotomeError
from microtome.core.settings import settings

PASSWORD = "four plain words here"


@pytest.fixture
def microtome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("DATA_DIR", "MODE", "PORT"):  # the command line writes these; they are put back afterwards
        monkeypatch.setenv(f"MICROTOME_{name}", "0")
        monkeypatch.delenv(f"MICROTOME_{name}")

    def run(*arguments: str, given: str = "", ok: bool = True) -> str:
        done = CliRunner().invoke(assembled(), [*arguments, "--data", str(tmp_path / "lab")], input=given)
        assert (done.exception is None) is ok, done.output
        if ok:
            return done.output
        assert isinstance(done.exception, MicrotomeError), done.exception
        return done.exception.detail

    yield run
    settings.cache_clear()


def test_an_admin_is_made_before_a_team_is_served(microtome: Any, tmp_path: Path) -> None:
    assert "microtome admin create-admin" in microtome("serve", "--mode", "team", "--port", "0", ok=False)
    who = ("admin", "create-admin", "--email", "ada@lab.example", "--name", "Ada", "--password-stdin")
    assert "is one of the first" in microtome(*who, given="passwordpassword\n", ok=False)
    assert "ada@lab.example is an admin" in microtome(*who, given=f"{PASSWORD}\n")
    assert "There is an account" in microtome(*who, given=f"{PASSWORD}\n", ok=False)
    assert "/join#" in microtome("admin", "invite", "annotator")
    assert "/join#" in microtome("admin", "reset-password", "ada@lab.example")
    assert "There is no account" in microtome("admin", "reset-password", "ben@lab.example", ok=False)
    assert "0 sessions ended" in microtome("admin", "sign-out-all")
    assert "rows" in microtome("admin", "backup", str(tmp_path / "copy.tar.gz"))
    assert "not empty" in microtome("admin", "restore", str(tmp_path / "copy.tar.gz"), ok=False)
