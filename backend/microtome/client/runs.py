"""Methods, runs, results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from microtome.client.connection import ENDED, Connection, Document, RunFailed
from microtome.results import KINDS, Result


class Runs(Connection):
    """See the module's docstring."""

    def methods(self) -> list[Document]:
        """All methods with the JSON schema of their parameters."""
        return list(self._get("/methods")["items"])

    def submit(self, method: str, params: Mapping[str, Any] | None = None, **subjects: Any) -> Document:
        """Queue a run and return at once. Example: ``submit("grad-cam", model="net", example="tinyplaces:7", targets=[3])``.

        A target is a class, ``{"minus": [a, b]}`` (two classes), ``{"layer": l, "unit": u}``,
        ``{"layer": l, "weights": {"12": 0.5}}`` or ``{"like": "tinyplaces:7"}`` (another image).
        """
        body = {"method": method, "subjects": subjects, "params": dict(params or {})}
        return dict(self.request("POST", "/runs", json=body).json())

    def estimate(self, method: str, params: Mapping[str, Any] | None = None, **subjects: Any) -> Document:
        """What a run would cost."""
        body = {"method": method, "subjects": subjects, "params": dict(params or {})}
        return dict(self.request("POST", "/runs/estimate", json=body).json())

    def run(self, method: str, params: Mapping[str, Any] | None = None, *, timeout: float | None = None, **subjects: Any) -> Document:
        """Queue a run and wait for it.

        Raises:
            RunFailed: it failed or was cancelled.
        """
        run = self.submit(method, params, **subjects)
        if run["state"] not in ENDED:
            run = self.wait(run["id"], timeout)
        if run["state"] != "done":
            raise RunFailed(run)
        return run

    def cancel(self, id: str) -> Document:
        """Ask a run to stop."""
        return dict(self.request("POST", f"/runs/{id}/cancel").json())

    def result_set(self, key: str) -> Document:
        """The documents under a key, with provenance and references to arrays."""
        return dict(self._get(f"/results/{key}"))

    def results(self, key: str) -> dict[str, Result]:
        """All results under a key, whole, arrays included. Example: ``results(key)["iou"].arrays["values"]``."""
        found = {}
        for item in self.result_set(key)["results"]:
            arrays = {name: self.array(ref["sha256"]) for name, ref in item["arrays"].items()}
            found[item["name"]] = KINDS[item["kind"]](**item["document"], arrays=arrays)
        return found

    def array(self, sha256: str, row: int | None = None) -> npt.NDArray[Any]:
        """One array, or one slice of its first axis."""
        answer = self.request("GET", f"/blobs/{sha256}", params={} if row is None else {"row": row})
        shape = tuple(int(n) for n in answer.headers["X-Shape"].split(",") if n)
        return np.frombuffer(answer.content, dtype=answer.headers["X-Dtype"]).reshape(shape)
