"""Known vulnerabilities of what Microtome is built from: ``python tests/audit.py``, called by ``make lint`` and ``make audit``.

Asks pip-audit (Python packages) and npm audit (packages of the frontend). Where a database of vulnerabilities cannot be reached within
a minute, or pip-audit is not installed, it says so and passes: a network is no reason for a change not to land. It fails on what
is rated high or critical; everything else is printed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SECONDS = 60
BAD = ("HIGH", "CRITICAL")
Found = tuple[str, str, str]  # package and version, identifier, severity


class Skipped(Exception):
    """Nothing could be asked, and why."""


def called(command: list[str], folder: Path = ROOT) -> Any:
    """What a command prints as JSON."""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Skipped(str(error)[:200]) from None
    try:
        return json.loads(done.stdout)
    except ValueError:
        raise Skipped(((done.stderr or done.stdout).strip().splitlines() or ["no answer"])[-1][:200]) from None


def python_packages() -> Iterator[Found]:
    """Of the packages in constraints.txt, without resolving or installing anything."""
    try:
        import pip_audit  # noqa: F401
    except ImportError:
        raise Skipped("pip-audit is not installed; `make audit` installs it") from None
    told = called(
        [sys.executable, "-m", "pip_audit", "--requirement", "constraints.txt", "--disable-pip", "--no-deps", "--format", "json",
         "--vulnerability-service", "osv", "--progress-spinner", "off", "--timeout", "10"]
    )  # fmt: skip
    for package in told["dependencies"]:
        for vulnerability in package.get("vulns", []):
            yield f"{package['name']} {package['version']}", vulnerability["id"], severity(vulnerability)


def severity(vulnerability: dict[str, Any]) -> str:
    """pip-audit does not tell it, so the database is asked; UNRATED where it does not say."""
    import httpx

    for id in [vulnerability["id"], *vulnerability.get("aliases", [])]:
        try:
            told = httpx.get(f"https://api.osv.dev/v1/vulns/{id}", timeout=10).raise_for_status().json()
        except (httpx.HTTPError, ValueError):
            continue
        rated = str(told.get("database_specific", {}).get("severity", "")).upper()
        if rated:
            return rated
    return "UNRATED"


def node_packages() -> Iterator[Found]:
    told = called(["npm", "audit", "--json", "--fetch-timeout=10000", "--fetch-retries=0"], ROOT / "frontend")
    if "vulnerabilities" not in told:
        raise Skipped(str(told.get("message") or told.get("error") or "no answer")[:200])
    for name, about in told["vulnerabilities"].items():
        causes = [cause["url"] for cause in about["via"] if isinstance(cause, dict)]
        if causes:
            yield f"{name} {about['range']}", " ".join(causes), about["severity"].upper()


def main() -> int:
    """Exit status: 1 if something is rated high or critical."""
    bad = 0
    for title, ask in (("Python packages", python_packages), ("npm packages", node_packages)):
        if os.environ.get("MICROTOME_NO_AUDIT"):
            print(f"audit: {title} skipped: MICROTOME_NO_AUDIT is set")
            continue
        try:
            found = list(ask())
        except Skipped as why:
            print(f"audit: {title} skipped: {why}")
            continue
        for package, id, rated in found:
            print(f"audit: {package}: {id}, {rated.lower()}")
        bad += sum(rated in BAD for _, _, rated in found)
        print(f"audit: {title}: {len(found)} known vulnerabilities")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
