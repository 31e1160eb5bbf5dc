"""The audit of dependencies: it fails on what is rated high, and passes, saying so, where nothing can be asked."""

from __future__ import annotations

from typing import Any

import pytest

from tests import audit


def asked(monkeypatch: Any, python: Any, node: Any) -> int:
    monkeypatch.delenv("MICROTOME_NO_AUDIT", raising=False)
    monkeypatch.setattr(audit, "python_packages", python)
    monkeypatch.setattr(audit, "called", lambda command, folder=None: node)
    return audit.main()


def skipped() -> Any:
    raise audit.Skipped("no network")


@pytest.mark.parametrize(("rated", "status"), [("high", 1), ("critical", 1), ("moderate", 0)])
def test_only_what_is_rated_high_fails(rated: str, status: int, monkeypatch: Any, capsys: Any) -> None:
    about = {
        "x": {"via": [{"url": "https://example.org/1"}], "range": "<2", "severity": rated},
        "y": {"via": ["x"], "range": "*", "severity": rated},
    }
    assert asked(monkeypatch, lambda: [("z 1.0", "CVE-1", "UNRATED")], {"vulnerabilities": about}) == status
    said = capsys.readouterr().out
    assert f"x <2: https://example.org/1, {rated}" in said
    assert "z 1.0: CVE-1, unrated" in said
    assert "y *" not in said  # it is there because of x


def test_what_cannot_be_asked_is_said_and_passes(monkeypatch: Any, capsys: Any) -> None:
    assert asked(monkeypatch, skipped, {"message": "405 Method Not Allowed"}) == 0
    assert capsys.readouterr().out.splitlines() == [
        "audit: Python packages skipped: no network", "audit: npm packages skipped: 405 Method Not Allowed",
    ]  # fmt: skip
