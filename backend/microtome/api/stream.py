"""Server-sent events: one reader of the event table per process, many listeners.

A listener that comes with ``Last-Event-ID`` first gets what it missed, from the table, then joins the broadcast; ids are
compared, so nothing is sent twice or left out. When its id is older than the oldest kept event it gets ``resync``.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio
import orjson
import structlog

from microtome.collab.people import MAIN, PersonRow
from microtome.core.errors import NotFound

if TYPE_CHECKING:
    from microtome.api.desk import Desk

log = structlog.get_logger("microtome.events")
POLL = 0.15
PING = 15.0
QUEUE = 2000
CHECK = 15.0


@dataclass(frozen=True, slots=True)
class Frame:
    """One event on its way: its id (0: it is only true now), its bytes, and for whom it is."""

    id: int
    data: bytes
    workspace: str | None = None
    person: str | None = None

    def is_for(self, listener: PersonRow | None) -> bool:
        if self.person is not None and (listener is None or listener.id != self.person):
            return False
        return self.workspace is None or self.workspace == (listener.workspace if listener is not None else MAIN)


@dataclass(eq=False)
class Listener:
    """One open stream."""

    loop: asyncio.AbstractEventLoop
    person: PersonRow | None
    frames: asyncio.Queue[Frame | None] = field(default_factory=lambda: asyncio.Queue(QUEUE))

    def put(self, frame: Frame | None) -> None:
        """Called in the loop's own thread. A listener that does not keep up is cut off; it resumes by its id."""
        if frame is not None and not frame.is_for(self.person):
            return
        if self.frames.full():
            while not self.frames.empty():
                self.frames.get_nowait()
            frame = None
        self.frames.put_nowait(frame)


class Broadcast:
    """Reads the event table and hands each event to all listeners."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.listeners: set[Listener] = set()
        self.position = 0
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self.position = self.desk.engine.events.newest()
        self._end.clear()
        self._thread = threading.Thread(target=self._loop, name="events", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._end.set()
        if self._thread is not None:
            self._thread.join(2)
        self._send(None)

    def join(self, listener: Listener) -> int:
        """Add a listener; returns the id after which it gets everything."""
        with self._lock:
            self.listeners.add(listener)
            position = self.position
        self.presence()
        return position

    def leave(self, listener: Listener) -> None:
        with self._lock:
            self.listeners.discard(listener)
        self.presence()

    def presence(self) -> None:
        """Who is here, in this process; has no id, since it is only true now."""
        with self._lock:
            here = {(x.person.workspace, x.person.id): x.person for x in self.listeners if x.person is not None}
        for workspace in {workspace for workspace, _ in here} | {MAIN}:
            people = [person.shape() for person in here.values() if person.workspace == workspace]
            self._send(Frame(0, frame("presence", {"people": people}), workspace))

    def _send(self, item: Frame | None) -> None:
        with self._lock:
            listeners = list(self.listeners)
        for listener in listeners:
            try:
                listener.loop.call_soon_threadsafe(listener.put, item)
            except RuntimeError:  # its loop has ended
                with self._lock:
                    self.listeners.discard(listener)

    def _loop(self) -> None:
        while not self._end.wait(POLL):
            try:
                with self._lock:  # nobody may join between the look and the jump, or they would miss what was jumped over
                    if not self.listeners:
                        self.position = self.desk.engine.events.newest()
                        continue
                rows = self.desk.engine.events.after(self.position)
                if rows:
                    frames = frames_of(self.desk, rows)
                    with self._lock:
                        self.position = rows[-1].id
                    for item in frames:
                        self._send(item)
            except Exception as error:  # the database may be away for a moment; nothing is lost, ids wait
                log.warning("events", error=str(error)[:200])
                time.sleep(1)


def frame(event: str, data: Any, id: int | None = None) -> bytes:
    """One event on the wire."""
    head = f"id: {id}\n" if id is not None else ""
    return f"{head}event: {event}\ndata: ".encode() + orjson.dumps(data) + b"\n\n"


def frames_of(desk: Desk, rows: list[Any]) -> list[Frame]:
    """Events in order. Several about one run in a row tell the same, its present state, so only the last is sent."""
    from microtome.api.shapes import run_shape

    last = {row.data["id"]: row.id for row in rows if row.type == "run"}
    out = []
    for row in rows:
        data = row.data
        if row.type == "run":
            if last[data["id"]] != row.id:
                continue
            try:
                data = run_shape(desk, desk.engine.get(data["id"]))
            except NotFound:
                continue
        out.append(Frame(row.id, frame(row.type, data, row.id), row.workspace_id, row.person_id))
    return out


async def event_stream(desk: Desk, since: str | int | None, person: PersonRow | None, still: Callable[[], bool]) -> AsyncIterator[bytes]:
    """The bytes of one stream. It ends when ``still`` says that whoever listens may not any more, asked every quarter minute."""
    checked = time.monotonic()
    listener = Listener(asyncio.get_running_loop(), person)
    joined = await anyio.to_thread.run_sync(desk.broadcast.join, listener)
    try:
        yield b"retry: 1000\n\n"
        sent = joined
        if since is not None:
            text = str(since)
            sent = int(text) if text.isascii() and text.isdigit() and len(text) < 19 else -1
            async for item in _missed(desk, sent):
                sent = max(sent, item.id)
                if item.is_for(person):
                    yield item.data
        else:
            # an id at once, so that a client that is cut off before the first event can resume
            yield frame("hello", {}, joined)
        while True:
            if time.monotonic() - checked > CHECK:
                checked = time.monotonic()
                if not await anyio.to_thread.run_sync(still):
                    return
            try:
                async with asyncio.timeout(PING):
                    next_item = await listener.frames.get()
            except TimeoutError:
                yield b": still here\n\n"
                continue
            if next_item is None:
                return
            if next_item.id == 0 or next_item.id > sent:
                sent = max(sent, next_item.id)
                yield next_item.data
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(desk.broadcast.leave, listener)


async def _missed(desk: Desk, since: int) -> AsyncIterator[Frame]:
    events = desk.engine.events
    oldest, newest = await anyio.to_thread.run_sync(lambda: (events.oldest(), events.newest()))
    if since < 0 or since > newest or (oldest and since < oldest - 1):
        yield Frame(newest, frame("resync", {}, newest))
        return
    while rows := await anyio.to_thread.run_sync(events.after, since):
        since = rows[-1].id
        for item in await anyio.to_thread.run_sync(frames_of, desk, rows):
            yield item
