"""The engine: plans, queues and executes runs. One facade, :class:`Engine`; importing it brings no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from microtome.engine.facade import Engine

__all__ = ["Engine"]


def __getattr__(name: str) -> Any:
    # on demand, so that `python -m microtome.engine.manifest` does not import itself twice
    if name == "Engine":
        from microtome.engine.facade import Engine

        return Engine
    raise AttributeError(name)
