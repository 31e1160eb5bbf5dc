"""Probe sets a worker has open, and single examples."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from microtome.core.errors import Conflict, Unavailable


class OpenProbes:
    """Each source is opened once and kept until its hash changes."""

    def __init__(self, workshop: Any, data_dir: Path) -> None:
        self._workshop, self._uploads = workshop, data_dir / "uploads"
        self._open: dict[tuple[str, str], Any] = {}

    def open(self, plan: Mapping[str, Any]) -> Any:
        """The probe set of a plan: ``source`` and ``hash``.

        Raises:
            Conflict: its files changed since the plan was made.
        """
        at = (plan["source"], plan["hash"])
        if at not in self._open:
            probe = self._workshop.open_probe(plan["source"])
            if probe.hash != plan["hash"]:
                raise Conflict(f"{plan['source']} changed while this run was waiting. Put the run again.", field="probe")
            self._open = {k: v for k, v in self._open.items() if k[0] != plan["source"]} | {at: probe}
        return self._open[at]

    def example(self, plan: Mapping[str, Any]) -> Any:
        """One example: of a probe set by ``index``, or an ``upload``."""
        if "upload" in plan:
            sha256 = plan["upload"]
            path = self._uploads / sha256[:2] / sha256
            if not path.exists():
                raise Unavailable(f"The file of upload {sha256[:12]}… is gone. Upload the image again.", field="example")
            return self._workshop.example(path, f"upload {sha256[:8]}")
        return self.open(plan).example(plan["index"])
