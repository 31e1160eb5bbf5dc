"""The engine: plans, queues and executes runs. One facade, :class:`Engine`; importing it brings no torch."""

from microtome.engine.facade import Engine

__all__ = ["Engine"]
