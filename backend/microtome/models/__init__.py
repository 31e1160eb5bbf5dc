"""Models: sources, one adapter for all families, the layer tree, hooks.

``microtome.models.identity`` is free of torch; the rest is imported on first use, so that the web process stays light.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from microtome.models.loading import load_model
    from microtome.models.model import Model

__all__ = ["Model", "load_model"]


def __getattr__(name: str) -> Any:
    if name == "load_model":
        from microtome.models.loading import load_model

        return load_model
    if name == "Model":
        from microtome.models.model import Model

        return Model
    raise AttributeError(name)
