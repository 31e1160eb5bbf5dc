"""A probe set of given pictures, and methods of known worth, for tests that go over a set."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from microtome.core.errors import InvalidInput
from microtome.methods import registry
from microtome.methods.attribution.explain import Attribution, Call
from microtome.methods.contract import MethodParams
from microtome.methods.registry import methods
from microtome.probes.base import Concept, ImageSet
from tests.methods.faithfulness.common import SIDE, edges, gradients


class Given(ImageSet):
    """Images uint8 [n, H, W, 3] with labels (or None) and, where there are ``masks`` bool [n, H, W], one concept."""

    kind, source, hash, size, reports, bytes = "given", "given", "1" * 64, None, (), 0

    def __init__(self, images: Any, labels: Any = None, classes: tuple[str, ...] = (), masks: Any = None, concept: str = "mark") -> None:
        self._images, self._labels, self.classes, self._masks = images, labels, classes, masks
        self.concepts = () if masks is None else (Concept(concept, "object", 0),)

    def __len__(self) -> int:
        return len(self._images)

    def image(self, index: int) -> Any:
        return self._images[index]

    def label(self, index: int) -> int | None:
        return None if self._labels is None else int(self._labels[index])

    def name(self, index: int) -> str:
        return f"{index}.png"

    def labels(self, index: int) -> Any:
        return None if self._masks is None else self._masks[index][None].astype(np.uint16)


def pictures(count: int, side: int = SIDE, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, 255, (count, side, side, 3), np.uint8)


def noise(call: Call, params: Any = None) -> Attribution:
    """A random map, of each image and network its own: knows nothing."""
    weight = float(sum(p.double().abs().sum() for p in call.model.network.parameters()))
    seeds = [int((float(row.double().abs().sum()) + weight) * 1e6) % 2**31 for row in call.inputs]
    return Attribution(torch.stack([torch.randn(call.inputs.shape[2:], generator=torch.Generator().manual_seed(s)) for s in seeds]))


def refusing(call: Call, params: Any = None) -> Attribution:
    """Refuses images whose first pixel is dark."""
    if float(call.inputs[0, 0, 0, 0]) < 0:
        raise InvalidInput("Too dark.", field="example")
    return gradients(call)


def negated(call: Call, params: Any = None) -> Attribution:
    return Attribution(-gradients(call).maps)


class Nothing(MethodParams):
    pass


FAKES = {f.__name__: f for f in (gradients, negated, edges, noise, refusing)}


def install(monkeypatch: pytest.MonkeyPatch, more: dict[str, Any] | None = None) -> None:
    """Make the fakes attribution methods, by their names."""
    known = methods()
    made = {
        name: replace(known["grad-cam"], id=name, title=name, explain=f, params=Nothing) for name, f in {**FAKES, **(more or {})}.items()
    }
    monkeypatch.setattr(registry, "methods", lambda: known | made)
