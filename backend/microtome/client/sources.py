"""Models, probe sets, uploads, imports."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from microtome.client.connection import Connection, Document, RunFailed


class Sources(Connection):
    """See the module's docstring."""

    def models(self) -> list[Document]:
        """All models."""
        return list(self._get("/models")["items"])

    def model(self, slug: str) -> Document:
        """One model with its layers."""
        return dict(self._get(f"/models/{slug}"))

    def probes(self) -> list[Document]:
        """All probe sets."""
        return list(self._get("/probes")["items"])

    def add_model(self, source: str, name: str | None = None) -> Document:
        """Add a model and wait until it is read. Example: ``add_model("path:/data/my-resnet")``."""
        return self._added("/models", source, name)

    def add_probe(self, source: str, name: str | None = None) -> Document:
        """Add a probe set and wait until it is read. Example: ``add_probe("path:/data/camvid#val")``."""
        return self._added("/probes", source, name)

    def _added(self, path: str, source: str, name: str | None) -> Document:
        run = self.wait(self.request("POST", path, json={"source": source, "name": name}).json()["id"])
        if run["state"] != "done":
            raise RunFailed(run)
        return next(item for item in self._get(path)["items"] if item["source"] == source)

    def import_folder(self, folder: str) -> Document:
        """Import results computed elsewhere from a folder on the server, and wait; the run's ``keys`` are its layers.

        Raises:
            RunFailed: the folder is not valid; nothing of it was stored, or only whole layers if the disk was full.
        """
        run = self.wait(self.request("POST", "/imports", json={"folder": folder}).json()["id"])
        if run["state"] != "done":
            raise RunFailed(run)
        return run

    def examples(self, probe: str, **query: Any) -> Iterator[Document]:
        """Examples of a probe set; ``model=``, ``subset="wrong"``, ``label=`` as in the HTTP interface."""
        return self._pages(f"/probes/{probe}/examples", **query)

    def upload(self, image: Path | bytes) -> str:
        """Upload an image; returns what ``example=`` takes."""
        data = image if isinstance(image, bytes) else image.read_bytes()
        return str(self.request("POST", "/uploads", files={"file": ("image", data)}).json()["example"])
