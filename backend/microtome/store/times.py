"""Times as text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def now(plus: float = 0.0) -> str:
    """UTC, ISO 8601, microseconds, always the same length; ``plus`` seconds later."""
    return (datetime.now(UTC) + timedelta(seconds=plus)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
