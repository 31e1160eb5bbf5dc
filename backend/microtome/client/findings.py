"""Findings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from microtome.client.connection import Connection, Document


class Findings(Connection):
    """See the module's docstring."""

    def findings(self, model: str | None = None) -> Iterator[Document]:
        """Findings that I may see, newest first, with whether they still hold."""
        return self._pages("/findings", model=model)

    def finding(self, id: str, revision: int | None = None) -> Document:
        """A finding; the files of its models and probe sets are looked at again."""
        return dict(self._get(f"/findings/{id}", revision=revision))

    def make_finding(self, title: str, claim: str = "", **more: Any) -> Document:
        """Write a finding. ``evidence`` names numbers of stored results, which the server reads; ``figures`` freeze views and results."""
        return dict(self.request("POST", "/findings", json={"title": title, "claim": claim, **more}).json())

    def change_finding(self, finding: Mapping[str, Any], **changes: Any) -> Document:
        """One more revision, made from the one that was read."""
        headers = {"If-Match": f'"{finding["revision"]}"'}
        return dict(self.request("PATCH", f"/findings/{finding['id']}", json=changes, headers=headers).json())

    def check_finding(self, id: str, *, wait: bool = True) -> Document:
        """Compute everything again that a finding rests on; with ``wait``, until it is compared."""
        check = self.request("POST", f"/findings/{id}/check").json()
        if wait:
            for run in check["runs"]:
                self.wait(run)
            check = next(c for c in self._get(f"/findings/{id}/checks")["items"] if c["id"] == check["id"])
        return dict(check)

    def export_finding(self, id: str, format: str = "crate") -> bytes:
        """``html``, ``ipynb``, ``crate`` (an RO-Crate), ``json``, ``bibtex`` or ``cff``."""
        return self.request("GET", f"/findings/{id}/export", params={"format": format}).content

    def import_finding(self, crate: bytes | Path) -> Document:
        """A finding that was exported elsewhere; its numbers are claims until they are computed again here."""
        data = crate if isinstance(crate, bytes) else crate.read_bytes()
        return dict(self.request("POST", "/findings/import", files={"file": ("finding.zip", data)}).json())
