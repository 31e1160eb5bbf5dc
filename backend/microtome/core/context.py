"""What a method sees of the run it is part of. Methods never know where they run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class RunContext(Protocol):
    """Progress, cancel and early results of one run."""

    @property
    def cancelled(self) -> bool:
        """True once somebody asked to stop. Long methods check it at least once a second."""
        ...

    def check(self) -> None:
        """Raise :class:`microtome.core.errors.RunCancelled` if the run was cancelled."""
        ...

    def progress(self, done: int, total: int, what: str = "") -> None:
        """Report ``done`` of ``total`` steps; ``what`` names them (``images``)."""
        ...

    def emit(self, preview: Mapping[str, Any]) -> None:
        """Send a small JSON preview to whoever watches. It is drawn as partial and never stored."""
        ...

    def publish(self, part: str, results: Mapping[str, Any]) -> None:
        """Store the complete results of one part (a layer) now, before the run ends."""
        ...

    @property
    def captures(self) -> Any:
        """Activations kept from run to run (:class:`microtome.capture.taken.Captures`), or None."""
        ...


class SilentContext:
    """A context for calls from Python: never cancelled, keeps what was published."""

    cancelled = False
    captures = None

    def __init__(self) -> None:
        self.published: dict[str, Mapping[str, Any]] = {}

    def check(self) -> None:
        return

    def progress(self, done: int, total: int, what: str = "") -> None:
        return

    def emit(self, preview: Mapping[str, Any]) -> None:
        return

    def publish(self, part: str, results: Mapping[str, Any]) -> None:
        self.published[part] = results
