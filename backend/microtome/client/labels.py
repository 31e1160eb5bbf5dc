"""Labels as data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from microtome.client.connection import Connection, Document


class Labels(Connection):
    """See the module's docstring."""

    def label_sets(self, model: str | None = None) -> Iterator[Document]:
        """Label sets, newest first."""
        return self._pages("/label-sets", model=model)

    def make_label_set(self, name: str, model: str, schema: Mapping[str, Any], units: Sequence[tuple[str, int]], **more: Any) -> Document:
        """Ask a question. Example: ``make_label_set("what", "net", {"type": "text"}, [("layer3.1", 42)], raters=3, blind=True)``."""
        listed = [{"layer": layer, "unit": unit} for layer, unit in units]
        return dict(
            self.request("POST", "/label-sets", json={"name": name, "model": model, "schema": dict(schema), "units": listed, **more}).json()
        )

    def next_unit(self, label_set: str, order: str = "coverage") -> Document | None:
        """The next unit for me to label, lent for ten minutes; None when there is nothing left."""
        found = self.request("POST", f"/label-sets/{label_set}/next", json={"order": order}).json()["unit"]
        return None if found is None else dict(found)

    def rate(self, label_set: str, layer: str, unit: int, answer: Any, machine: Mapping[str, str] | None = None) -> Document:
        """Give an answer; a machine's with ``machine={"name": ..., "version": ...}``."""
        new = {"layer": layer, "unit": unit, "answer": answer, "machine": None if machine is None else dict(machine)}
        return dict(self.request("POST", f"/label-sets/{label_set}/ratings", json=new).json())

    def rate_many(self, label_set: str, items: Sequence[Mapping[str, Any]], machine: Mapping[str, str] | None = None) -> Document:
        """Up to 500 answers, all or none. Items are ``{"layer", "unit", "answer"}``, with ``"revision"`` where there is one already."""
        body = {"items": [dict(item) for item in items], "machine": None if machine is None else dict(machine)}
        return dict(self.request("POST", f"/label-sets/{label_set}/ratings/bulk", json=body).json())

    def undo_batch(self, batch: str) -> Document:
        """Take back what one :meth:`rate_many` wrote."""
        return dict(self.request("POST", f"/label-batches/{batch}/undo").json())

    def change_rating(self, rating: Mapping[str, Any], answer: Any) -> Document:
        """Change an answer that was read. Raises :class:`ClientError` with status 412 if it was changed meanwhile."""
        headers = {"If-Match": f'"{rating["revision"]}"'}
        return dict(self.request("PATCH", f"/ratings/{rating['id']}", json={"answer": answer}, headers=headers).json())

    def ratings(self, label_set: str, layer: str | None = None, unit: int | None = None, rater: str | None = None) -> Iterator[Document]:
        """Answers that I may see; ``rater``: a person's id, ``humans`` or ``machines``."""
        return self._pages(f"/label-sets/{label_set}/ratings", layer=layer, unit=unit, rater=rater)

    def agreement(self, label_set: str, answers: str | None = None) -> Document:
        """Percent agreement, kappas and alphas; a number that is not defined is None, with the reason in ``why``."""
        return dict(self._get(f"/label-sets/{label_set}/agreement", answers=answers))

    def export_labels(self, label_set: str, format: str = "csv", style: str = "microtome") -> bytes:
        """A label set with its history as ``csv``, ``json`` or ``parquet``."""
        return self.request("GET", f"/label-sets/{label_set}/export", params={"format": format, "style": style}).content

    def import_labels(self, file: Path | bytes, name: str | None = None, model: str | None = None) -> Document:
        """A label set from a file of :meth:`export_labels`, or from rows of Neuronpedia or MILANNOTATIONS."""
        data = file if isinstance(file, bytes) else file.read_bytes()
        form = {key: value for key, value in (("name", name), ("model", model)) if value is not None}
        return dict(self.request("POST", "/label-sets/import", files={"file": ("labels", data)}, data=form).json())
