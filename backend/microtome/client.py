"""The Python client: everything the browser can ask, with arrays as numpy arrays.

Example::

    from microtome.client import Client

    with Client("http://127.0.0.1:8000") as lab:
        lab.add_model("path:/data/my-resnet")
        run = lab.run("dissection", model="my-resnet", probe="tinyplaces")
        for part in run["parts"]:
            table = lab.results(part["key"])["units"]
            print(part["part"], sum(table.column("detector")), "detectors")
        lab.annotate("label", "my-resnet", "layer3.1", 42, "curtains")
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt

from microtome.core.errors import MicrotomeError
from microtome.results import KINDS, Result

Document = dict[str, Any]
ENDED = ("done", "failed", "cancelled")


class ClientError(MicrotomeError):
    """The server answered with a problem document, which is in ``problem``."""

    def __init__(self, problem: Mapping[str, Any]) -> None:
        super().__init__(str(problem.get("detail", "The server gave no reason.")), field=problem.get("field"))
        self.status = int(problem.get("status", 500))
        self.title = str(problem.get("title", ""))
        self.problem = dict(problem)


class RunFailed(ClientError):
    """A run that was waited for failed or was cancelled; ``run`` is its document."""

    def __init__(self, run: Document) -> None:
        error = run.get("error") or {}
        super().__init__({"title": f"The run {run['state']}", "detail": error.get("detail", f"Run {run['id']}: {run['state']}.")})
        self.run = run


class Client:
    """A connection to one server, as one person.

    Args:
        url: address of the server.
        token: an API token of team mode (``mt_...``), or what a server of single-user mode printed that listens beyond its own machine.
        workspace: id of the workspace; one's first if left out.
        timeout: seconds for one request.
        transport: for tests.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        *,
        token: str | None = None,
        workspace: str | None = None,
        timeout: float = 60.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if workspace is not None:
            headers["X-Workspace"] = workspace
        self._http = httpx.Client(base_url=f"{url.rstrip('/')}/api/v1", headers=headers, timeout=timeout, transport=transport)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Any route, with a problem document raised as :class:`ClientError`."""
        if method != "GET":
            options["headers"] = {"Idempotency-Key": uuid.uuid4().hex, **options.get("headers", {})}
        answer = self._http.request(method, path, **options)
        if answer.is_error:
            try:
                problem = answer.json()
            except ValueError:
                problem = {"status": answer.status_code, "title": answer.reason_phrase, "detail": answer.text[:300]}
            raise ClientError(problem)
        return answer

    def _get(self, path: str, **query: Any) -> Any:
        return self.request("GET", path, params={k: v for k, v in query.items() if v is not None}).json()

    def _pages(self, path: str, **query: Any) -> Iterator[Document]:
        cursor = None
        while True:
            page = self._get(path, cursor=cursor, **query)
            yield from page["items"]
            cursor = page["next"]
            if cursor is None:
                return

    # --- models and probe sets --------------------------------------------------------------------------------------

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

    # --- methods, runs, results -------------------------------------------------------------------------------------

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

    def wait(self, id: str, timeout: float | None = None) -> Document:
        """Wait until a run has ended.

        Raises:
            TimeoutError: it has not; the run goes on.
        """
        end = time.monotonic() + (timeout if timeout is not None else float("inf"))
        pause = 0.05
        while (run := self._get(f"/runs/{id}"))["state"] not in ENDED:
            if time.monotonic() > end:
                raise TimeoutError(f"run {id} has not ended after {timeout} s; it goes on")
            time.sleep(pause)
            pause = min(1.0, pause * 1.3)
        return dict(run)

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

    # --- units ------------------------------------------------------------------------------------------------------

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

    # --- annotations and shares -------------------------------------------------------------------------------------

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

    # --- labels as data ---------------------------------------------------------------------------------------------

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

    # --- findings ---------------------------------------------------------------------------------------------------

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

    # --- hypotheses and studies -------------------------------------------------------------------------------------

    def hypotheses(self, model: str | None = None, state: str | None = None) -> Iterator[Document]:
        """Cards, newest first; ``state``: draft, waiting, supported, refuted, inconclusive or failed."""
        return self._pages("/hypotheses", model=model, state=state)

    def make_hypothesis(
        self, statement: str, prediction: str, test: Mapping[str, Any], control: Mapping[str, Any], reference: Mapping[str, Any],
        comparison: str, threshold: float, **more: Any,
    ) -> Document:  # fmt: skip
        """Write down a prediction. ``test`` is ``{"method", "subjects", "params"}``, ``control`` the same without the method."""
        card = {"statement": statement, "prediction": prediction, "test": dict(test), "control": dict(control)}
        judged = {"reference": dict(reference), "comparison": comparison, "threshold": threshold}
        return dict(self.request("POST", "/hypotheses", json=card | judged | more).json())

    def start_hypothesis(self, hypothesis: Mapping[str, Any], *, wait: bool = False) -> Document:
        """Run the test and its control; with ``wait``, until there is an outcome."""
        headers = {"If-Match": f'"{hypothesis["revision"]}"'}
        started = self.request("POST", f"/hypotheses/{hypothesis['id']}/start", headers=headers).json()
        if wait:
            for side in ("test_side", "control_side"):
                self.wait(started[side]["run"])
            started = self._get(f"/hypotheses/{hypothesis['id']}")
        return dict(started)

    def export_hypotheses(self, format: str = "csv") -> bytes:
        """All cards with what was measured, as ``csv`` or ``json``."""
        return self.request("GET", "/hypotheses/export", params={"format": format}).content

    def studies(self) -> Iterator[Document]:
        """Studies, newest first."""
        return self._pages("/studies")

    def study_results(self, study: str) -> Document:
        """Accuracy by condition and differences, with their intervals."""
        return dict(self._get(f"/studies/{study}/results"))

    def export_study(self, study: str, what: str = "answers", format: str = "csv") -> bytes:
        """``answers`` or ``summary`` of a study, as ``csv`` or ``json``."""
        return self.request("GET", f"/studies/{study}/export", params={"what": what, "format": format}).content
