"""Failed sign-ins: from the fifth of an account and the twentieth of an address on, each has to wait longer.

An attempt is counted before the password is looked at and forgiven when it was right, so that many at once are not let through
together. An account is counted whether it exists or not. What is kept is a hash of the address.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from sqlalchemy import delete, insert, select, update

from microtome.core.errors import TooManyRequests
from microtome.core.keys import sha256
from microtome.store import Store
from microtome.store import tables as t


@dataclass(frozen=True, slots=True)
class Limit:
    """``free`` attempts, then ``first`` seconds, doubled with each more, at most ``longest``; a quiet ``forget`` seconds start anew."""

    free: int
    first: float
    longest: float
    forget: float

    def wait(self, count: int) -> float:
        over = count - self.free
        return 0.0 if over < 0 else min(self.longest, self.first * 2.0 ** min(over, 30))


ACCOUNT = Limit(5, 5, 900, 86_400)
ADDRESS = Limit(20, 5, 900, 3_600)


class Lockout:
    """See the module's docstring."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def attempt(self, email: str, address: str) -> None:
        """
        Raises:
            TooManyRequests: this account or this address has to wait.
        """
        with self.store.write(lock="sign-in") as connection:
            at = time.time()  # now, since others may have been let through while this one waited for its turn
            connection.execute(delete(t.failure).where(t.failure.c.at < at - ACCOUNT.forget))
            counts = {}
            for key, limit in self._keys(email, address):
                row = connection.execute(select(t.failure).where(t.failure.c.key == key)).one_or_none()
                if row is not None and row.until > at:
                    raise TooManyRequests("Signing in failed too often. Wait a little, then try again.", after=row.until - at)
                before = 0 if row is None or row.at < at - limit.forget else row.failures
                counts[key] = (row is not None, before + 1, limit)
            for key, (there, count, limit) in counts.items():
                values = {"failures": count, "at": at, "until": at + limit.wait(count) if limit.wait(count) else 0.0}
                if there:
                    connection.execute(update(t.failure).where(t.failure.c.key == key).values(**values))
                else:
                    connection.execute(insert(t.failure).values(key=key, **values))

    def forgive(self, email: str, address: str) -> None:
        """It was right: the account starts anew, the address has one failure less."""
        account, place = (key for key, _ in self._keys(email, address))
        with self.store.write(lock="sign-in") as connection:
            connection.execute(delete(t.failure).where(t.failure.c.key == account))
            here = t.failure.c.key == place
            connection.execute(update(t.failure).where(here).values(failures=t.failure.c.failures - 1, until=0.0))

    def _keys(self, email: str, address: str) -> tuple[tuple[str, Limit], tuple[str, Limit]]:
        return (sha256(f"account\n{email}".encode()), ACCOUNT), (sha256(f"address\n{address}".encode()), ADDRESS)
