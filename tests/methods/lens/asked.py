"""Putting methods of this folder to small models."""

from __future__ import annotations

from typing import Any

import torch

from microtome.core.context import SilentContext
from microtome.methods.registry import get_method
from tests.methods.lens.nets import PROMPT, net


def ask(id: str, family: str, subjects: dict[str, Any] | None = None, **params: Any) -> dict[str, Any]:
    """Results of a method, put to a network and PROMPT where it takes one."""
    spec = get_method(id)
    given = {"model": net(family), **({"prompt": PROMPT} if "prompt" in spec.subjects else {}), **(subjects or {})}
    return spec.function(**given, params=spec.parse(params), run=SilentContext())


def ids(family: str, text: str = PROMPT) -> torch.Tensor:
    return torch.from_numpy(net(family).tokenizer.encode(text).ids)
