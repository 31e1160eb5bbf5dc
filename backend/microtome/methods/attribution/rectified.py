"""A gradient with another rule at every rectifier: what guided backpropagation and the deconvolutional network share."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

from pydantic import Field
from torch import Tensor

from microtome.core.errors import InvalidInput
from microtome.methods.attribution.explain import Call, ExplainParams
from microtome.methods.attribution.gradient import Colours, input_gradients
from microtome.methods.attribution.operations import RECTIFIERS, Operations


class Params(ExplainParams):
    colours: Colours = Field("max", description="How the three colours of a pixel become one number: by magnitude, or signed.")


def _positive(gradient: Tensor) -> Tensor:
    return gradient.clamp(min=0)


def guided(function: Callable[..., Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """The rectifier; backward, what is positive of the gradient goes through where the input was passed on."""
    out = function(*args, **kwargs)
    if out.requires_grad:
        out.register_hook(_positive)
    return out


def deconvolved(function: Callable[..., Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """The rectifier; backward, what is positive of the gradient goes through, whatever the input was."""
    x = args[0]
    out = x + (function(*args, **kwargs) - x).detach()
    if out.requires_grad:
        out.register_hook(_positive)
    return out


def rectified_gradients(call: Call, rule: Callable[..., Tensor], title: str) -> tuple[Tensor, int]:
    """Gradients [B, 3, H, W] with ``rule`` at every rectifier, and the number of rectifiers of the network.

    Raises:
        InvalidInput: the network has none.
    """
    counts: list[int] = []

    @contextmanager
    def passing() -> Any:
        with Operations(dict.fromkeys(RECTIFIERS, rule)) as operations:
            yield
        counts.append(operations.used.total())

    gradient = input_gradients(call, passing)
    if not counts[0]:
        raise InvalidInput(
            f"{title} changes the gradient at ReLUs, and this network has none: it would be the plain gradient. Use saliency.",
            field="model",
        )
    return gradient, counts[0]
