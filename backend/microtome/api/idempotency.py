"""``Idempotency-Key``: the same write sent again gets the first answer, and is not done again.

The key belongs to the person. While the first one is under way the second waits; a different request under the same key is
refused. Answers are kept for a day; those of the server's own failures are not kept, so that a retry can succeed, and in team
mode nothing is kept for who is not signed in. Where a
write makes a thing its id is derived from the key too, and a change keeps a mark of it (``collab.revisions``), which closes
the gap between a write and its remembered answer if the server dies in between.
"""

from __future__ import annotations

import time
from typing import Any

import anyio
from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from microtome.api.desk import Desk
from microtome.api.problems import document, from_error, problem_response
from microtome.api.who import person_of, signed, wanted_workspace
from microtome.core.errors import TooLarge
from microtome.core.keys import sha256
from microtome.store import tables as t

WRITES = {"POST", "PATCH", "PUT", "DELETE"}
KEEP_SECONDS = 86_400
WAIT_SECONDS = 30.0
#: Answers that say nothing of the write itself: sign in, wait, or name what there is, and the same key works.
REFUSED = (401, 403, 404, 405, 429)
#: In team mode their answers hold secrets that are shown once, so they are not kept.
SECRET = ("/api/v1/session", "/api/v1/tokens", "/api/v1/invitations", "/api/v1/members")
KEPT_HEADERS = (b"content-type", b"etag", b"location")


class Idempotency:
    """ASGI middleware; see the module's docstring."""

    def __init__(self, app: ASGIApp, desk: Desk) -> None:
        self.app, self.desk, self.store = app, desk, desk.store

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in WRITES:
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        token = headers.get("idempotency-key")
        try:
            body = await _read(receive)
        except TooLarge as error:
            await problem_response(from_error(error))(scope, receive, send)
            return
        replay = _again(body, receive)
        if token is None:
            await self.app(scope, replay, send)
            return
        if not 1 <= len(token) <= 100:
            detail = f"The Idempotency-Key has {len(token)} characters; 1 to 100 are allowed."
            await problem_response(document(422, "invalid-input", "The input is not valid", detail, "Idempotency-Key"))(
                scope, receive, send
            )
            return
        if self.desk.settings.team and scope["path"].startswith(SECRET):
            await self.app(scope, replay, send)
            return
        owner = await anyio.to_thread.run_sync(self._owner, scope)
        if owner is None:
            await self.app(scope, replay, send)
            return
        key = sha256(f"{owner}\n{token}".encode())
        # a multipart boundary differs from one sending to the next, so its body cannot be compared
        comparable = b"" if headers.get("content-type", "").startswith("multipart/") else body
        request = sha256(f"{scope['method']} {scope['path']}\n".encode() + comparable)
        if await anyio.to_thread.run_sync(self._begin, key, request):
            await self._first(scope, replay, send, key)
            return
        answer = await self._remembered(key, request)
        await answer(scope, receive, send)

    async def _first(self, scope: Scope, receive: Receive, send: Send, key: str) -> None:
        start: Message = {}
        chunks: list[bytes] = []

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            elif message["type"] == "http.response.body":
                chunks.append(message.get("body", b""))
            await send(message)

        status = 500
        try:
            await self.app(scope, receive, noted)
            status = int(start.get("status", 500))
        finally:
            kept = [[k.decode("latin-1"), v.decode("latin-1")] for k, v in start.get("headers", []) if k.lower() in KEPT_HEADERS]
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self._end, key, status, kept, b"".join(chunks))

    def _owner(self, scope: Scope) -> str | None:
        """Whose key it is. In team mode workspaces are apart too, and a token's answers are not a session's; None for nobody."""
        if not self.desk.settings.team:
            person = person_of(self.desk, scope)
            return person.id if person else "anybody"
        who = signed(self.desk, scope)
        return f"{who.id} {who.scope} {wanted_workspace(scope)}" if who else None

    def _begin(self, key: str, request: str) -> bool:
        """True if this is the first one."""
        at = time.time()
        try:
            with self.store.write() as connection:
                stale = (t.idempotency.c.at < at - KEEP_SECONDS) | (
                    t.idempotency.c.status.is_(None) & (t.idempotency.c.at < at - WAIT_SECONDS)
                )
                connection.execute(delete(t.idempotency).where(stale))
                connection.execute(insert(t.idempotency).values(key=key, request=request, at=at))
        except IntegrityError:
            return False
        return True

    def _end(self, key: str, status: int, headers: Any, body: bytes) -> None:
        mine = t.idempotency.c.key == key
        with self.store.write() as connection:
            if status >= 500 or status in REFUSED:
                connection.execute(delete(t.idempotency).where(mine))
            else:
                connection.execute(update(t.idempotency).where(mine).values(status=status, headers=headers, body=body))

    def _row(self, key: str) -> Any:
        with self.store.read() as connection:
            return connection.execute(select(t.idempotency).where(t.idempotency.c.key == key)).one_or_none()

    async def _remembered(self, key: str, request: str) -> Any:
        end = time.monotonic() + WAIT_SECONDS
        while True:
            row = await anyio.to_thread.run_sync(self._row, key)
            if row is not None and row.request != request:
                detail = "This Idempotency-Key was used for another request. Make a new key for every new write."
                return problem_response(document(409, "conflict", "The state does not allow this", detail, "Idempotency-Key"))
            if row is not None and row.status is not None:
                return _Remembered(row)
            if row is None or time.monotonic() > end:
                detail = "The first request with this Idempotency-Key failed or is still under way. Try again in a moment."
                return problem_response(document(409, "conflict", "The state does not allow this", detail, "Idempotency-Key"))
            await anyio.sleep(0.05)


class _Remembered:
    def __init__(self, row: Any) -> None:
        self.row = row

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(k.encode("latin-1"), v.encode("latin-1")) for k, v in self.row.headers or []]
        headers.append((b"idempotent-replayed", b"true"))
        await send({"type": "http.response.start", "status": self.row.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.row.body or b""})


async def _read(receive: Receive) -> bytes:
    chunks = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            break
        chunks.append(message.get("body", b""))
        if not message.get("more_body", False):
            break
    return b"".join(chunks)


def _again(body: bytes, receive: Receive) -> Receive:
    given = False

    async def replay() -> Message:
        nonlocal given
        if not given:
            given = True
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return replay
