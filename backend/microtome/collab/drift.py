"""What differs today from what something was made with: weights, images, methods."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from microtome.core.errors import NotFound
from microtome.engine import Engine
from microtome.store.sources import Type

What = Type | Literal["method"]


@dataclass(frozen=True, slots=True)
class Made:
    """One thing that something was made with: its hash, or a method's version."""

    what: What
    name: str
    then: str


def made_with(frozen: Mapping[str, Any], model: str | None, probe: str | None) -> Iterator[Made]:
    """What a share or a result was made with; ``frozen`` has ``model_hash``, ``probe_hash`` and ``methods``."""
    if model is not None and frozen["model_hash"] is not None:
        yield Made("model", model, frozen["model_hash"])
    if probe is not None and frozen["probe_hash"] is not None:
        yield Made("probe", probe, frozen["probe_hash"])
    for method, version in frozen["methods"].items():
        yield Made("method", method, version)


def drift(engine: Engine, made: Iterable[Made], *, look: bool = True) -> list[dict[str, str]]:
    """What is not what it was, as ``{what, name, then, now}``; ``now`` is a hash, a version, or why there is none.

    Args:
        look: read the files again; else what was known of them last is taken, which costs nothing.
    """
    out: list[dict[str, str]] = []
    for one in dict.fromkeys(made):
        now = _version(engine, one.name) if one.what == "method" else _hash(engine, one.what, one.name, look)
        if now != one.then:
            out.append({"what": one.what, "name": one.name, "then": one.then, "now": now})
    return out


def _version(engine: Engine, method: str) -> str:
    return str(engine.methods().get(method, {}).get("version", "removed"))


def _hash(engine: Engine, what: Type, name: str, look: bool) -> str:
    current = engine.sources.find(what, name)
    if current is None:
        return "removed"
    if not look:
        return str(current.hash)
    try:
        return engine.reader.hash_now(what, current.source, force=True) or str(current.hash)
    except NotFound:
        return "missing"
    except Exception:  # whatever keeps the source from being read, what was frozen is still good
        return "unreadable"
