"""How much of the machine one person may use, in team mode: runs in a day, bytes of uploads. What is used is in the database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import func, select

from microtome.core.errors import TooLarge, TooManyRequests
from microtome.core.settings import Settings
from microtome.store import Store
from microtome.store import tables as t
from microtome.store.times import now

DAY = timedelta(days=1)


class Quotas:
    """See the module's docstring. A limit of 0 is none."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self.store = store
        self.runs_per_day = settings.runs_per_day if settings.team else 0
        self.upload_bytes = settings.upload_bytes_per_person if settings.team else 0

    def usage(self, person: str) -> dict[str, Any]:
        """What is used, of how much (null: any), and when the next run frees."""
        used, frees = self._runs(person)
        return {
            "runs": {"used": used, "limit": self.runs_per_day or None, "frees": frees},
            "upload_bytes": {"used": self._uploaded(person), "limit": self.upload_bytes or None, "frees": None},
        }

    def take_run(self, person: str) -> None:
        """
        Raises:
            TooManyRequests: all runs of these 24 hours are used.
        """
        if not self.runs_per_day:
            return
        used, frees = self._runs(person)
        if used >= self.runs_per_day and frees is not None:
            after = (datetime.fromisoformat(frees) - datetime.now(UTC)).total_seconds()
            raise TooManyRequests(
                f"You started {used} runs in the last 24 hours; {self.runs_per_day} are allowed. The next one frees at {frees[:19]} UTC. "
                "What is computed already can be asked for at any time. Admins of the machine set MICROTOME_RUNS_PER_DAY.",
                after=after,
            )

    def take_upload(self, person: str, size: int) -> None:
        """
        Raises:
            TooLarge: with these bytes it would be more than one person may keep here.
        """
        if not self.upload_bytes:
            return
        used = self._uploaded(person)
        if used + size > self.upload_bytes:
            raise TooLarge(
                f"Your uploads hold {used:,} of {self.upload_bytes:,} bytes; this one has {size:,}. Uploads are kept for the explanations "
                "that were made of them, so nothing frees by itself: send a smaller image, or ask an admin of the machine to raise "
                "MICROTOME_UPLOAD_BYTES_PER_PERSON.",
                field="file",
            )

    def _runs(self, person: str) -> tuple[int, str | None]:
        r = t.run.c
        since = now(-DAY.total_seconds())
        query = select(func.count(), func.min(r.created)).where(r.person_id == person, r.created > since, r.cached.is_(False))
        with self.store.read() as connection:
            used, oldest = connection.execute(query).one()
        return int(used), None if oldest is None else (datetime.fromisoformat(oldest) + DAY).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def _uploaded(self, person: str) -> int:
        query = select(func.coalesce(func.sum(t.upload.c.bytes), 0)).where(t.upload.c.person_id == person)
        with self.store.read() as connection:
            return int(connection.execute(query).scalar_one())
