"""Errors a person can act on.

Every error names what happened, which value, and what to do. The API turns them into RFC 9457 problem details,
the command line into one line on standard error; a traceback is never part of either.
"""

from __future__ import annotations

import math


class MicrotomeError(Exception):
    """Base of all errors that are meant for people.

    Args:
        detail: full sentences: what happened, which value, what to do.
        field: name of the offending input, dotted for nested ones (``params.quantile``).
    """

    status = 500
    code = "internal"
    title = "Something failed inside Microtome"

    def __init__(self, detail: str, *, field: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field

    @property
    def headers(self) -> dict[str, str]:
        """HTTP headers that belong to the answer."""
        return {}


class InvalidInput(MicrotomeError):
    status, code, title = 422, "invalid-input", "The input is not valid"


class NotFound(MicrotomeError):
    status, code, title = 404, "not-found", "There is no such thing"


class Conflict(MicrotomeError):
    status, code, title = 409, "conflict", "The state does not allow this"


class StaleVersion(MicrotomeError):
    """Somebody changed the thing meanwhile; ``current`` holds its present state."""

    status, code, title = 412, "stale-version", "Somebody changed this meanwhile"

    def __init__(self, detail: str, *, current: dict[str, object], field: str | None = None) -> None:
        super().__init__(detail, field=field)
        self.current = current


class PreconditionRequired(MicrotomeError):
    status, code, title = 428, "precondition-required", "A version is needed"


class TooLarge(MicrotomeError):
    status, code, title = 413, "too-large", "The input is too large"


class UnsupportedMedia(MicrotomeError):
    status, code, title = 415, "unsupported-media", "The file is not of a kind that can be read"


class SignInNeeded(MicrotomeError):
    status, code, title = 401, "unauthorized", "Sign in first"

    @property
    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": 'Bearer realm="microtome"'}


class TooManyRequests(MicrotomeError):
    """``after`` is in seconds, at least one."""

    status, code, title = 429, "too-many-requests", "Too many requests"

    def __init__(self, detail: str, *, after: float, field: str | None = None) -> None:
        super().__init__(detail, field=field)
        self.after = max(1, math.ceil(after))

    @property
    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(self.after)}


class Forbidden(MicrotomeError):
    status, code, title = 403, "forbidden", "This is not allowed here"


class Unavailable(MicrotomeError):
    status, code, title = 503, "unavailable", "This cannot be done at the moment"


class DiskFull(MicrotomeError):
    status, code, title = 507, "disk-full", "The disk is full"


class RunCancelled(MicrotomeError):
    status, code, title = 409, "cancelled", "The run was cancelled"
