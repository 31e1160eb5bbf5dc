"""A queue, and the worker that empties it step by step."""

from __future__ import annotations

from typing import Any

import pytest

from microtome.engine.execute import Worker


@pytest.fixture
def queue(ready: Any, settings: Any, make_engine: Any) -> Any:
    """An engine that only queues, on the store of ``ready``."""
    return make_engine(settings, "none", store=ready.store)


@pytest.fixture
def worker(ready: Any) -> Worker:
    return ready._worker().worker  # type: ignore[no-any-return]
