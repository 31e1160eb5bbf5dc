"""A network that ends its process as soon as it is given more than two images: the system that kills for want of memory, acted."""

from __future__ import annotations

import os
from typing import Any

import torch


class Deadly(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convolution = torch.nn.Conv2d(3, 4, 3, padding=1)
        self.head = torch.nn.Linear(4, 2)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        if len(pixels) > 2:
            os._exit(9)
        return self.head(self.convolution(pixels).relu().mean((2, 3)))


def build() -> tuple[torch.nn.Module, dict[str, Any]]:
    torch.manual_seed(0)
    return Deadly(), {"image_size": 32, "classes": ["a", "b"]}
