"""Passwords: Argon2id with 64 MiB, 3 passes and 4 lanes (the second choice of RFC 9106)."""

from __future__ import annotations

import threading
from itertools import pairwise

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError
from zxcvbn import zxcvbn

from microtome.core.errors import InvalidInput

SHORTEST, LONGEST = 12, 200
GUESSES = 8.0  # powers of ten that a guesser with lists of leaked passwords, words and names needs at least
LOOKED_AT = 72  # characters that are guessed at, which bounds the time; the rest can only make it harder
#: Of these at a time in one process, so that guessers cannot fill the memory: 4 x 64 MiB.
AT_ONCE = threading.BoundedSemaphore(4)
_hasher = PasswordHasher(time_cost=3, memory_cost=64 * 1024, parallelism=4, hash_len=32, salt_len=16, type=Type.ID)
#: Of a password that nobody has, so that an unknown address costs the same work as a known one.
_NOBODY = "$argon2id$v=19$m=65536,t=3,p=4$X6x4hzsDPv7xqiuQ3sGn6A$7Q8n3cMTzE3mXvJ0dFLcA4nq1dCzJpAqz6sJgq2L8sQ"


def hashed(password: str) -> str:
    """The hash with its parameters."""
    with AT_ONCE:
        return _hasher.hash(password)


def verify(kept: str | None, password: str) -> bool:
    """True if it is this one. Takes as long when there is none to compare with."""
    with AT_ONCE:
        try:
            _hasher.verify(kept or _NOBODY, password[: LONGEST + 1])
        except (VerificationError, InvalidHashError):
            return False
    return kept is not None


def outdated(kept: str) -> bool:
    """True if it was hashed with other parameters than today's."""
    return _hasher.check_needs_rehash(kept)


def check_new(password: str, *about: str | None) -> str:
    """The password, if it may be chosen.

    Args:
        password: what somebody wants.
        about: their name and address, which it must not be made from.

    Raises:
        InvalidInput: too short, too long, leaked, made from leaked ones, or one of the first that a guesser tries.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise InvalidInput(
            f"The password has {len(password)} characters; {SHORTEST} to {LONGEST} are needed. Four or five words in a row are good.",
            field="password",
        )
    plain = password.lower()
    left = plain
    for text in (*about, "microtome", "password", "passwort", "qwertz", "qwerty", "letmein", "welcome", "123456789", "abcdefgh"):
        for word in (text or "").lower().replace("@", " ").replace(".", " ").split():
            if len(word) > 2:
                left = left.replace(word, "")
    steps = {ord(b) - ord(a) for a, b in pairwise(plain)}
    if len(set(plain)) < 5 or len(left.replace(" ", "")) < 6 or len(steps) == 1:
        raise InvalidInput(
            "This password is one of the first that somebody would guess. Choose one that is not made from your name, your address or "
            "a row of keys.",
            field="password",
        )
    if _guesses(password, about) < GUESSES:
        raise InvalidInput(
            "This password is, or is made from, one that leaked elsewhere and stands on the lists of guessers. Four or five words in a "
            "row are good.",
            field="password",
        )
    return password


def _guesses(password: str, about: tuple[str | None, ...]) -> float:
    """How many guesses it takes, as a power of ten."""
    known = [word for text in about for word in (text or "").replace("@", " ").replace(".", " ").split()]
    return float(zxcvbn(password[:LOOKED_AT], [*known, "microtome"], max_length=LOOKED_AT)["guesses_log10"])
