"""One connection: requests with their errors, pages of lists, waiting for runs."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Self

import httpx

from microtome.core.errors import MicrotomeError

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


class Connection:
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

    def __enter__(self) -> Self:
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
