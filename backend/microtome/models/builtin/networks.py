"""Builders for the networks that ship with Microtome."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from torch import nn

from microtome.models.builtin.recurrent import ARCHITECTURE as CHAR_LSTM
from microtome.models.builtin.recurrent import build_char_lstm

if TYPE_CHECKING:
    from transformers import GPT2Config, ResNetConfig, ViTConfig

__all__ = ["build", "build_tinyplaces_resnet", "build_tinyplaces_vit", "is_own"]


def build_tinyplaces_resnet(config: ResNetConfig | dict) -> nn.Module:
    """Untrained ``ResNetForImageClassification`` for small pictures, without max pooling in the stem.

    With the pooling gone the maps of a [n, 3, 96, 96] batch are 48, 24, 12 and 6 pixels wide after stages 1 to 4;
    with it a 3 x 3 map would remain, too coarse to say where a unit responds. ``config`` is a ``ResNetConfig`` or
    the dictionary of one. ``stem_pooling: false`` in the configuration records the change.
    """
    # Imported here: the transformers package takes seconds to load and most callers only want the name.
    from transformers import ResNetConfig, ResNetForImageClassification

    if isinstance(config, dict):
        config = ResNetConfig.from_dict(config)
    model = ResNetForImageClassification(config)
    if not getattr(config, "stem_pooling", False):
        model.resnet.embedder.pooler = nn.Identity()  # type: ignore[assignment]
    return model


def build_tinyplaces_vit(config: ViTConfig | dict) -> nn.Module:
    """Untrained ``ViTForImageClassification``; ``config`` is a ``ViTConfig`` or the dictionary of one."""
    from transformers import ViTConfig, ViTForImageClassification

    return ViTForImageClassification(ViTConfig.from_dict(config) if isinstance(config, dict) else config)


def build_pycode_gpt(config: GPT2Config | dict) -> nn.Module:
    """Untrained ``GPT2LMHeadModel``; ``config`` is a ``GPT2Config`` or the dictionary of one."""
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(GPT2Config.from_dict(config) if isinstance(config, dict) else config)


_BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "tinyplaces-resnet": build_tinyplaces_resnet,
    "tinyplaces-vit": build_tinyplaces_vit,
    "pycode-gpt": build_pycode_gpt,
    "flowers-cnn": build_tinyplaces_resnet,
    "flowers-cnn-permuted": build_tinyplaces_resnet,
}


#: Architectures that transformers does not know, by the name in their configuration, whatever their folder is called.
_OWN: dict[str, Callable[..., nn.Module]] = {CHAR_LSTM: build_char_lstm}


def _architecture(config: Any) -> str:
    named = config.get("architectures") if isinstance(config, dict) else getattr(config, "architectures", None)
    return str(named[0]) if isinstance(named, list | tuple) and named else ""


def is_own(config: Any) -> bool:
    """Whether a configuration, or the dictionary of one, names an architecture of Microtome's own."""
    return _architecture(config) in _OWN


def build(name: str, config: ResNetConfig | dict) -> nn.Module:
    """Untrained network of an architecture of our own, or built-in by the name of its folder; ``KeyError`` when there is none."""
    return (_OWN.get(_architecture(config)) or _BUILDERS[name])(config)
