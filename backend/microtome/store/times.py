"""Times as text."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> str:
    """UTC, ISO 8601, microseconds, always the same length."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
