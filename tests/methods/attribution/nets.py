"""Small networks with what real ones do in awkward ways: rectifiers in place, as functions, shared; and layers of one kind only."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from microtome.models.image import ImageModel
from tests import micro


class InPlace(nn.Module):
    """The same computation as :class:`Modules`, with functions, in place, and one ReLU module used twice."""

    def __init__(self, twin: Modules) -> None:
        super().__init__()
        self.one, self.norm, self.two, self.head = twin.one, twin.norm, twin.two, twin.head
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.norm(self.one(x)))
        y = self.two(x)
        y += x
        torch.relu_(y)
        y = nn.functional.max_pool2d(y, 2)
        return self.head(nn.functional.relu(y.mean((2, 3)), inplace=True))


class Modules(nn.Module):
    """Convolution, batch norm with moved statistics, residual sum, max-pooling: every function a module of its own."""

    def __init__(self, pool: type[nn.Module] = nn.MaxPool2d, norm: bool = True) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 6, 3, padding=1, stride=2), nn.Conv2d(6, 6, 3, padding=1)
        self.norm: nn.Module = nn.BatchNorm2d(6) if norm else nn.Identity()
        self.relus = nn.ModuleList([nn.ReLU() for _ in range(3)])
        self.pool, self.head = pool(2), nn.Linear(6, 3)
        if norm:
            self.norm.running_mean.uniform_(-0.5, 0.5)  # type: ignore[operator,union-attr]
            self.norm.running_var.uniform_(0.5, 2)  # type: ignore[operator,union-attr]
            nn.init.uniform_(self.norm.bias, -0.5, 0.5)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        x = self.relus[0](self.norm(self.one(x)))
        y = self.relus[1](self.two(x) + x)
        return self.head(self.relus[2](self.pool(y).mean((2, 3))))


def as_model(network: nn.Module) -> ImageModel:
    """A model of the micro models' processing around any network of three classes."""
    like = micro.load("resnet")
    return ImageModel(
        source="test", network=network, preprocess=like.preprocess, classes=like.classes, family="test", hash="0" * 64, bytes=0, config={}
    )  # fmt: skip


def modules(seed: int = 0, **more: Any) -> ImageModel:
    torch.manual_seed(seed)
    return as_model(Modules(**more))


def twins(seed: int = 0) -> tuple[ImageModel, ImageModel]:
    """One computation, written twice."""
    torch.manual_seed(seed)
    network = Modules()
    return as_model(network), as_model(InPlace(network))
