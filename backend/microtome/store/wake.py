"""Waking whoever waits for news: in this process by a call after the commit, on PostgreSQL in every process by LISTEN and NOTIFY.

A wake says only that there is something to read; what there is stands in the tables. So a lost one costs time, never news: its
reader looks anyway, from time to time, and once whenever the line is up again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import psycopg
import structlog
from psycopg import sql
from sqlalchemy import Connection, text

from microtome.store.database import Store

log = structlog.get_logger("microtome.events")
EVENTS, PRESENCE = "microtome_events", "microtome_presence"
CHANNELS = (EVENTS, PRESENCE)
FIRST, LONGEST = 0.1, 10.0  # seconds between two tries to reach the database
TICK = 1.0


def wake(store: Store, connection: Connection, channel: str) -> None:
    """Wake all readers when this transaction commits, and never if it does not."""
    if not store.sqlite:
        connection.execute(text("SELECT pg_notify(:channel, '')"), {"channel": channel})
    store.after_commit(connection, channel)


class Ears:
    """Hears wakes, and calls ``heard`` with the channel.

    Args:
        store: its PostgreSQL is listened to on a connection of its own.
        heard: called in a thread of this class, or of whoever wrote.
    """

    def __init__(self, store: Store, heard: Callable[[str], None]) -> None:
        self.store, self.heard = store, heard
        self.open = False  # every writer is heard now
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._end.clear()
        self.store.committed.add(self.heard)
        if not self.store.sqlite:
            self._thread = threading.Thread(target=self._listen, name="listen", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        self._end.set()
        self.store.committed.discard(self.heard)
        if self._thread is not None:
            self._thread.join(TICK + 1)

    def say(self, channel: str) -> None:
        """Wake all readers, of what was committed already."""
        if self.store.sqlite:
            self.heard(channel)
            return
        with self.store.write() as connection:
            wake(self.store, connection, channel)

    def _listen(self) -> None:
        wait = FIRST
        while not self._end.is_set():
            try:
                with psycopg.connect(_plain(self.store), autocommit=True, connect_timeout=5) as line:
                    for channel in CHANNELS:
                        line.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
                    self.open, wait = True, FIRST
                    for channel in CHANNELS:  # what was said while nobody listened
                        self.heard(channel)
                    while not self._end.is_set():
                        for told in line.notifies(timeout=TICK):
                            self.heard(told.channel)
                            if self._end.is_set():
                                return
            except (psycopg.Error, OSError) as error:
                log.warning("listen", error=str(error)[:200], again_in=wait)
            finally:
                self.open = False
            self._end.wait(wait)
            wait = min(wait * 2, LONGEST)


def _plain(store: Store) -> str:
    """The address as psycopg reads it."""
    return store.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
