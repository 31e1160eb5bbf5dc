"""Server-sent events: one reader of the event table per process, many listeners.

A listener that comes with ``Last-Event-ID`` first gets what it missed, from the table, then joins the broadcast; ids are
compared, so nothing is sent twice or left out. When its id is older than the oldest kept event it gets ``resync``.

The reader wakes when somebody writes: in this process at once, on PostgreSQL in any process (``store.wake``); and it looks
anyway, often where worker processes write without a word (SQLite), rarely where they are heard.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio
import orjson
import structlog

from microtome.collab.people import MAIN, PersonRow
from microtome.core.errors import NotFound
from microtome.store.wake import PRESENCE, Ears

if TYPE_CHECKING:
    from microtome.api.desk import Desk

log = structlog.get_logger("microtome.events")
POLL = 0.15
POLL_HEARD = 2.0  # where every writer is heard, looking is for what was missed while the line was down
GATHER = 0.02  # what is written in a burst is read and sent together
PING = 15.0
QUEUE = 2000
CHECK = 15.0
BEAT = 8.0
PRESENCE_GAP = 0.3  # two looks at who is here are at least so far apart


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
    frames: deque[Frame] = field(default_factory=deque)
    ended: bool = False
    woken: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, frames: Sequence[Frame] | None) -> None:
        """Called in the loop's own thread; None ends it. A listener that does not keep up is cut off; it resumes by its id."""
        if frames is not None:
            self.frames.extend(frame for frame in frames if frame.is_for(self.person))
        if frames is None or len(self.frames) > QUEUE:
            self.frames.clear()
            self.ended = True
        if self.ended or self.frames:
            self.woken.set()

    def take(self) -> list[Frame]:
        """All that waits."""
        found = list(self.frames)
        self.frames.clear()
        self.woken.clear()
        return found


class Broadcast:
    """Reads the event table and hands each event to all listeners."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.listeners: set[Listener] = set()
        self.position = 0
        self._lock = threading.RLock()
        self._wake = threading.Event()
        self._end = False
        self._thread: threading.Thread | None = None
        self._ears = Ears(desk.store, self._hear)
        self._here: Counter[tuple[str, str]] = Counter()
        self._told: dict[str, dict[str, Any]] = {}  # who is in each workspace that has listeners here, by id
        self._look = False  # somebody came, went or moved

    def start(self) -> None:
        self.position = self.desk.engine.events.newest()
        self._end = False
        self._ears.start()
        self._thread = threading.Thread(target=self._loop, name="events", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._end = True
        self._wake.set()
        self._ears.stop()
        if self._thread is not None:
            self._thread.join(2)
        self._send(None)
        try:
            self.desk.presence.end()
        except Exception as error:  # then the rows expire
            log.warning("presence", error=str(error)[:200])

    def join(self, listener: Listener) -> int:
        """Add a listener; returns the id after which it gets everything."""
        with self._lock:
            self.listeners.add(listener)
            position = self.position
        if listener.person is not None:
            self._came(listener.person)
        self._tell_here(listener)
        return position

    def leave(self, listener: Listener) -> None:
        with self._lock:
            self.listeners.discard(listener)
        if listener.person is not None:
            self._went(listener.person)

    def moved(self) -> None:
        """Somebody said where they are: this process looks, and tells the others to."""
        self._ears.say(PRESENCE)

    def _came(self, person: PersonRow) -> None:
        key = (person.workspace, person.id)
        with self._lock:
            self._here[key] += 1
            first = self._here[key] == 1
        if first:
            self._noted(lambda: self.desk.presence.enter(person))

    def _went(self, person: PersonRow) -> None:
        key = (person.workspace, person.id)
        with self._lock:
            self._here[key] -= 1
            last = self._here[key] <= 0
            if last:
                del self._here[key]
        if last:
            self._noted(lambda: self.desk.presence.leave(person))

    def _noted(self, write: Callable[[], None]) -> None:
        """Being seen is never worth a stream: what cannot be written now is written with the next beat, or expires."""
        try:
            write()
            self.moved()
        except Exception as error:
            log.warning("presence", error=str(error)[:200])

    def _tell_here(self, listener: Listener) -> None:
        """Who comes hears who is here; the others hear of it when it differs from what they were told."""
        workspace = listener.person.workspace if listener.person is not None else MAIN
        with self._lock:  # so that no difference to this is on its way before it
            told = self._told.get(workspace)
            if told is not None:
                self._call(listener.loop, [listener], [_here(workspace, list(told.values()))])
                return
        self._hear(PRESENCE)

    def _hear(self, what: str) -> None:
        if what == PRESENCE:
            self._look = True
        self._wake.set()

    def _send(self, frames: Sequence[Frame] | None) -> None:
        """One call into each loop, however many listeners it has."""
        with self._lock:
            loops: dict[asyncio.AbstractEventLoop, list[Listener]] = {}
            for listener in self.listeners:
                loops.setdefault(listener.loop, []).append(listener)
        for loop, listeners in loops.items():
            self._call(loop, listeners, frames)

    def _call(self, loop: asyncio.AbstractEventLoop, listeners: list[Listener], frames: Sequence[Frame] | None) -> None:
        def put() -> None:
            for listener in listeners:
                listener.put(frames)

        try:
            loop.call_soon_threadsafe(put)
        except RuntimeError:  # it has ended
            with self._lock:
                self.listeners.difference_update(listeners)

    def _loop(self) -> None:
        beaten = looked = time.monotonic()
        while not self._end:
            late = self._look and PRESENCE_GAP
            self._wake.wait(late or (POLL_HEARD if self._ears.open else POLL))
            self._wake.clear()
            try:
                self._read()
                at = time.monotonic()
                if at - beaten > BEAT:
                    beaten, self._look = at, True
                    with self._lock:
                        people = set(self._here)
                    self.desk.presence.beat(people)
                if self._look and at - looked > PRESENCE_GAP:
                    looked, self._look = at, False
                    self._look_round()
                time.sleep(GATHER)
            except Exception as error:  # the database may be away for a moment; nothing is lost, ids wait
                log.warning("events", error=str(error)[:200])
                time.sleep(1)

    def _read(self) -> None:
        events = self.desk.engine.events
        with self._lock:  # nobody may join between the look and the jump, or they would miss what was jumped over
            if not self.listeners:
                self.position = events.newest()
                return
        while rows := events.after(self.position):
            frames = frames_of(self.desk, rows)
            with self._lock:
                self.position = rows[-1].id
            self._send(frames)

    def _look_round(self) -> None:
        """Tell each workspace that has listeners here who is there, if it is news."""
        with self._lock:
            workspaces = {x.person.workspace if x.person is not None else MAIN for x in self.listeners}
        found = self.desk.presence.here(workspaces)
        with self._lock:
            news, before = [], self._told
            self._told = {workspace: {person["id"]: person for person in people} for workspace, people in found.items()}
            for workspace, people in self._told.items():
                if workspace not in before:
                    news.append(_here(workspace, list(people.values())))
                    continue
                was = before[workspace]
                moved, gone = [x for id, x in people.items() if was.get(id) != x], sorted(set(was) - set(people))
                if moved or gone:
                    news.append(_here(workspace, moved, gone))
            if news:
                self._send(news)


def _here(workspace: str, people: list[Any], gone: list[str] | None = None) -> Frame:
    """Everybody, or the difference to what was told before: who came or moved, and ids of who went."""
    data = {"all": gone is None, "people": people, "gone": gone or []}
    return Frame(0, frame("presence", data), workspace)


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
                    await listener.woken.wait()
            except TimeoutError:
                yield b": still here\n\n"
                continue
            fresh = [item for item in listener.take() if item.id == 0 or item.id > sent]
            if listener.ended:
                return
            if fresh:
                sent = max(sent, *(item.id for item in fresh))
                yield b"".join(item.data for item in fresh)
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
