"""Looking at sources from the web process: is it allowed, has it changed, give me a picture. Imports no torch."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from threading import Lock

from microtome.core.errors import MicrotomeError
from microtome.models import identity
from microtome.probes import ProbeSet, open_probe
from microtome.probes import check_source as check_probe_source

LOOK_AGAIN = 2.0  # seconds for which an answer is taken as still true


class SourceReader:
    """Reads what is at a source now. Answers are remembered for a moment, opened probe sets until their hash changes."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], tuple[float, str | None]] = {}
        self._probes: dict[str, ProbeSet] = {}
        self._lock = Lock()

    def check(self, type: str, source: str, roots: Sequence[Path]) -> None:
        """Raise unless ``source`` may be added through the web."""
        if type == "model":
            identity.check_source(source, roots)
        else:
            check_probe_source(source, roots)

    def hash_now(self, type: str, source: str, *, force: bool = False) -> str | None:
        """Hash of what is there now; None when it cannot be known without running code.

        Raises:
            MicrotomeError: it is not there, or cannot be read.
        """
        with self._lock:
            at, known = self._seen.get((type, source), (0.0, None))
        if not force and time.monotonic() - at < LOOK_AGAIN:
            return known
        found = self.model_hash(source) if type == "model" else self.probe(source, fresh=True).hash
        with self._lock:
            self._seen[(type, source)] = (time.monotonic(), found)
        return found

    def model_hash(self, source: str) -> str | None:
        return identity.source_hash(source)

    def open(self, source: str) -> ProbeSet:
        return open_probe(source)

    def probe(self, source: str, *, fresh: bool = False) -> ProbeSet:
        """The probe set, opened once."""
        with self._lock:
            held = self._probes.get(source)
        if held is not None and (not fresh or source.startswith("builtin:")):
            return held
        opened = self.open(source)
        if held is not None and held.hash == opened.hash:
            return held
        with self._lock:
            self._probes[source] = opened
            while len(self._probes) > 16:
                self._probes.pop(next(iter(self._probes)))
        return opened

    def state(self, type: str, source: str, hash: str) -> tuple[str, str | None]:
        """``ready``, ``changed`` or ``missing``, with the reason."""
        try:
            found = self.hash_now(type, source)
        except MicrotomeError as error:
            return "missing", error.detail
        except OSError as error:
            return "missing", f"{source} cannot be read: {error.strerror or error}."
        if found is not None and found != hash:
            return "changed", (
                f"The files of {source} have changed since they were read (hash {hash[:8]}, now {found[:8]}). What is shown was "
                "computed from the old ones; run the dissection again to see the new ones."
            )
        return "ready", None
