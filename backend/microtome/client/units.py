"""Units: what Browse lists and shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from microtome.client.connection import Connection, Document


class Units(Connection):
    """See the module's docstring."""

    def atlas(self, model: str, probe: str, share: str | None = None) -> Document:
        """Which results Browse draws from."""
        return dict(self._get("/atlas", model=model, probe=probe, share=share))

    def units(
        self, model: str, probe: str, selection: Mapping[str, Any] | None = None, sort: str = "iou", descending: bool = True
    ) -> Iterator[Document]:
        """Units in a selection. Example: ``units("net", "tinyplaces", {"concepts": ["object:sky"], "iou": {"min": 0.1}})``."""
        body: Document = {"model": model, "probe": probe, "selection": dict(selection or {}), "sort": sort}
        body |= {"descending": descending, "limit": 500, "cursor": None}
        while True:
            page = self.request("POST", "/units/query", json=body).json()
            yield from page["items"]
            if page["next"] is None:
                return
            body["cursor"] = page["next"]

    def unit(self, model: str, layer: str, unit: int, probe: str, quantile: float | None = None) -> Document:
        """Everything about one unit."""
        return dict(self._get(f"/units/{model}/{layer}/{unit}", probe=probe, quantile=quantile))
