"""All methods that are installed, found through the entry point group ``microtome.methods``."""

from __future__ import annotations

import importlib
import pkgutil
from functools import lru_cache
from importlib.metadata import entry_points
from types import ModuleType

from microtome.core.errors import NotFound
from microtome.methods.contract import MethodSpec

GROUP = "microtome.methods"


def _specs_in(package: ModuleType) -> list[MethodSpec]:
    """Every MethodSpec at the top of any module of ``package``, which may be a plain module."""
    modules = [package]
    for info in pkgutil.walk_packages(getattr(package, "__path__", []), package.__name__ + "."):
        modules.append(importlib.import_module(info.name))
    return [value for module in modules for value in vars(module).values() if isinstance(value, MethodSpec)]


@lru_cache
def methods() -> dict[str, MethodSpec]:
    """Installed methods by id, sorted.

    Raises:
        RuntimeError: if two packages register the same id.
    """
    found: dict[str, MethodSpec] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda p: (p.name != "core", p.name)):
        for spec in _specs_in(importlib.import_module(point.value)):
            if found.setdefault(spec.id, spec) is not spec:
                raise RuntimeError(f"method id '{spec.id}' is registered twice; the second is in {point.value}")
    return dict(sorted(found.items()))


def get_method(id: str) -> MethodSpec:
    """The method with this id.

    Raises:
        NotFound: with the ids that exist.
    """
    try:
        return methods()[id]
    except KeyError:
        raise NotFound(f"There is no method '{id[:60]}'. Methods: {', '.join(methods())}.", field="method") from None
