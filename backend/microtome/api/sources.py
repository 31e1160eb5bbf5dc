"""Stub until the real module lands a few commits on."""

from __future__ import annotations

from typing import Any

from microtome.core.errors import Unavailable


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)

    def later(*args: object, **kwargs: object) -> Any:
        raise Unavailable("This part of the server is being written. Try again later.")

    return later
