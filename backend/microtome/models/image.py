"""Models that see: an image classifier with its preprocessing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from microtome.core.errors import InvalidInput
from microtome.models.layers import Layer, find_layers, first_tensor
from microtome.models.model import Model
from microtome.models.preprocess import Preprocessor


def class_probabilities(logits: torch.Tensor, multilabel: bool) -> torch.Tensor:
    """float64 [..., classes]: of one class among all, or of each label by itself where several may hold at once."""
    return logits.double().sigmoid() if multilabel else logits.double().softmax(-1)


class ImageModel(Model):
    """The one adapter for all families of image classifiers.

    Attributes:
        multilabel: whether several classes may hold at once, as the configuration's ``problem_type`` says.
    """

    modality = "image"

    def __init__(
        self,
        *,
        source: str,
        network: nn.Module,
        preprocess: Preprocessor,
        classes: Sequence[str],
        family: str,
        hash: str,
        bytes: int,
        config: Mapping[str, Any],
        card: str | None = None,
        channels: int = 3,
        device: str = "cpu",
    ) -> None:
        super().__init__(
            source=source, network=network, classes=classes, family=family, hash=hash, bytes=bytes, config=config, card=card, device=device
        )
        self.preprocess, self.channels = preprocess, channels
        self.multilabel = self.config.get("problem_type") == "multi_label_classification"
        generator = torch.Generator().manual_seed(0)
        # Noise rather than zeros: constant inputs could make outputs of different layers alias or vanish.
        sample = torch.rand(2, channels, *preprocess.size, generator=generator).to(self.device)
        self.layers = {layer.name: layer for layer in find_layers(self.network, sample)}
        with torch.no_grad():
            logits = first_tensor(self.network(sample))
        if logits is None or logits.ndim != 2 or not self.layers:
            raise InvalidInput(f"{source} is not an image classifier: its output is not [batch, classes] logits.", field="source")
        if len(self.classes) != logits.shape[1]:
            self.classes = tuple(f"class {i}" for i in range(logits.shape[1]))

    def attribution_layer(self) -> Layer:
        """The last main layer whose sites all reach the output.

        A class token reads the patches inside the last block, so behind that block they lead nowhere: for such networks it
        is the layer before the last.
        """
        spatial = [layer for layer in self.layers.values() if layer.default and layer.height * layer.width > 1]
        if not spatial:
            raise InvalidInput(f"{self.source} has no layer with more than one site.", field="params.layer")
        return spatial[-2] if spatial[-1].special and len(spatial) > 1 else spatial[-1]

    def inputs(self, images: Sequence[Any]) -> torch.Tensor:
        """Preprocessed float32 [B, 3, H, W] on the model's device."""
        return self.preprocess(images).to(self.device, non_blocking=True)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Logits [B, classes]. Gradients flow if the caller enables them."""
        self.forward_passes += inputs.shape[0]
        logits = first_tensor(self.network(inputs))
        assert logits is not None
        return logits

    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """float64 [..., classes], of logits of the same shape."""
        return class_probabilities(logits, self.multilabel)

    def sample(self, batch: int) -> torch.Tensor:
        return torch.zeros(batch, self.channels, *self.preprocess.size, device=self.device)

    def describe(self) -> dict[str, Any]:
        return super().describe() | {
            "input": [self.channels, *self.preprocess.size],
            "geometry": self.preprocess.geometry.to_dict(),
        }
