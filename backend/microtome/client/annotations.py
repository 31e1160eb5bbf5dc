"""Annotations and shares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from microtome.client.connection import Connection, Document


class Annotations(Connection):
    """See the module's docstring."""

    def annotations(self, model: str | None = None, layer: str | None = None, unit: int | None = None) -> Iterator[Document]:
        """Labels, notes and tags, newest first."""
        return self._pages("/annotations", model=model, layer=layer, unit=unit)

    def annotate(self, kind: str, model: str, layer: str, unit: int, body: str) -> Document:
        """Write a ``label``, ``note`` or ``tag``."""
        new = {"kind": kind, "model": model, "layer": layer, "unit": unit, "body": body}
        return dict(self.request("POST", "/annotations", json=new).json())

    def change(self, annotation: Mapping[str, Any], body: str) -> Document:
        """Change an annotation that was read. Raises :class:`ClientError` with status 412 if somebody was faster."""
        headers = {"If-Match": f'"{annotation["revision"]}"'}
        return dict(self.request("PATCH", f"/annotations/{annotation['id']}", json={"body": body}, headers=headers).json())

    def delete(self, annotation: Mapping[str, Any]) -> Document:
        """Delete an annotation that was read; it can be restored."""
        headers = {"If-Match": f'"{annotation["revision"]}"'}
        return dict(self.request("DELETE", f"/annotations/{annotation['id']}", headers=headers).json())

    def history(self, id: str) -> Sequence[Document]:
        """All revisions of an annotation."""
        return list(self._get(f"/annotations/{id}/history")["items"])

    def share(self, state: Mapping[str, Any]) -> Document:
        """Freeze a view; ``url`` in the answer is its link, relative to the server."""
        return dict(self.request("POST", "/shares", json={"state": dict(state)}).json())

    def shared(self, id: str) -> Document:
        """A frozen view and what differs today."""
        return dict(self._get(f"/shares/{id}"))
