"""A loaded model: network, preprocessing, layers, identity. The one adapter for all families."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from microtome.core.errors import InvalidInput, NotFound
from microtome.models.layers import Layer, find_layers, first_tensor
from microtome.models.preprocess import Preprocessor


def class_probabilities(logits: torch.Tensor, multilabel: bool) -> torch.Tensor:
    """float64 [..., classes]: of one class among all, or of each label by itself where several may hold at once."""
    return logits.double().sigmoid() if multilabel else logits.double().softmax(-1)


class Model:
    """A network in evaluation mode on one device.

    Attributes:
        hash: identity, sha256 of weights, configuration and processor.
        layers: all layers by name, in order of execution.
        classes: names of the outputs.
        multilabel: whether several classes may hold at once, as the configuration's ``problem_type`` says.
        forward_passes: examples that went through the network so far; a cache hit adds none.
    """

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
        self.source, self.hash, self.family, self.bytes, self.card = source, hash, family, bytes, card
        self.device = torch.device(device)
        self.network = network.eval().to(self.device)
        for parameter in self.network.parameters():
            parameter.requires_grad_(False)
        self.preprocess, self.classes, self.config = preprocess, tuple(classes), dict(config)
        self.multilabel = self.config.get("problem_type") == "multi_label_classification"
        self.channels = channels
        self.forward_passes = 0
        generator = torch.Generator().manual_seed(0)
        # Noise rather than zeros: constant inputs could make outputs of different layers alias or vanish.
        sample = torch.rand(2, channels, *preprocess.size, generator=generator).to(self.device)
        self.layers: dict[str, Layer] = {layer.name: layer for layer in find_layers(self.network, sample)}
        with torch.no_grad():
            logits = first_tensor(self.network(sample))
        if logits is None or logits.ndim != 2 or not self.layers:
            raise InvalidInput(f"{source} is not an image classifier: its output is not [batch, classes] logits.", field="source")
        if len(self.classes) != logits.shape[1]:
            self.classes = tuple(f"class {i}" for i in range(logits.shape[1]))

    def layer(self, name: str) -> Layer:
        """The layer with this name or label.

        Raises:
            NotFound: with names that exist.
        """
        found = self.layers.get(name) or next((x for x in self.layers.values() if x.label == name), None)
        if found is None:
            names = ", ".join(x.label for x in self.layers.values() if x.default)
            raise NotFound(f"{self.source} has no layer '{name[:100]}'. Its main layers are {names}.", field="layer")
        return found

    def default_layers(self) -> list[Layer]:
        return [layer for layer in self.layers.values() if layer.default]

    def attribution_layer(self) -> Layer:
        """The last main layer whose sites all reach the output.

        A class token reads the patches inside the last block, so behind that block they lead nowhere: for such networks it
        is the layer before the last.
        """
        spatial = [layer for layer in self.layers.values() if layer.default and layer.height * layer.width > 1]
        if not spatial:
            raise InvalidInput(f"{self.source} has no layer with more than one site.", field="params.layer")
        return spatial[-2] if spatial[-1].special and len(spatial) > 1 else spatial[-1]

    def module(self, layer: Layer) -> nn.Module:
        return self.network.get_submodule(layer.name)

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

    @contextmanager
    def tapped(self, layers: Sequence[Layer], tap: Callable[[Layer, torch.Tensor], None]) -> Iterator[None]:
        """Call ``tap`` with every layer's raw output in the forward passes made inside the block.

        The tensor is the network's own: operations in place further on may change it, so what is to be kept must be copied.
        """

        def hook(layer: Layer) -> Any:
            def note(_: nn.Module, __: Any, output: Any) -> None:
                tensor = first_tensor(output)
                assert tensor is not None
                tap(layer, tensor)

            return note

        handles = [self.module(x).register_forward_hook(hook(x)) for x in layers]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    @contextmanager
    def record(self, layers: Sequence[Layer], *, keep_graph: bool = False) -> Iterator[dict[str, torch.Tensor]]:
        """Record the raw outputs of ``layers`` in the forward passes made inside the block.

        Yields:
            name -> the module's output tensor, replaced at every pass. With ``keep_graph`` it is the live tensor of the graph;
            otherwise a detached copy, safe from operations in place further on.
        """
        recorded: dict[str, torch.Tensor] = {}

        def note(layer: Layer, tensor: torch.Tensor) -> None:
            recorded[layer.name] = tensor if keep_graph else tensor.detach().clone()

        with self.tapped(layers, note):
            yield recorded

    @contextmanager
    def ablated(self, layer: Layer, units: Sequence[int], values: torch.Tensor | None = None) -> Iterator[None]:
        """Set ``units`` of ``layer`` to ``values`` (zero if None) at every site in the passes made inside the block."""
        index = torch.as_tensor(list(units), device=self.device)

        def switch_off(tensor: torch.Tensor) -> torch.Tensor:
            changed = tensor.clone()
            if layer.unit_axis == 1:
                shape = [1, -1] + [1] * (changed.ndim - 2)
                changed[:, index] = 0.0 if values is None else values.view(shape).to(changed)
            else:
                changed[..., index] = 0.0 if values is None else values.to(changed)
            return changed

        with self.changed(layer, switch_off):
            yield

    @contextmanager
    def changed(self, layer: Layer, change: Callable[[torch.Tensor], torch.Tensor]) -> Iterator[None]:
        """Put ``change(raw output)`` in the place of the layer's output in the passes made inside the block.

        ``change`` returns a tensor of its own, not the one it was given: operations in place further on may write into it.
        """

        def replace(_: nn.Module, __: Any, output: Any) -> Any:
            tensor = first_tensor(output)
            assert tensor is not None
            changed = change(tensor)
            if isinstance(output, torch.Tensor):
                return changed
            if isinstance(output, tuple):
                return (changed, *output[1:])
            for name in ("last_hidden_state", "logits"):
                if hasattr(output, name):
                    output[name] = changed
            return output

        handle = self.module(layer).register_forward_hook(replace)
        try:
            yield
        finally:
            handle.remove()

    def images_per_second(self, batch: int = 16) -> float:
        """Measured speed of the bare forward pass, after one warm-up batch."""
        sample = torch.zeros(batch, self.channels, *self.preprocess.size, device=self.device)
        with torch.inference_mode():
            self.network(sample)
            start = time.perf_counter()
            for _ in range(2):
                self.network(sample)
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
        return 2 * batch / max(time.perf_counter() - start, 1e-9)

    def describe(self) -> dict[str, Any]:
        """What the store and the web process know of the model, as plain JSON."""
        return {
            "family": self.family,
            "hash": self.hash,
            "parameters": sum(p.numel() for p in self.network.parameters()),
            "units": sum(layer.units for layer in self.default_layers()),
            "input": [self.channels, *self.preprocess.size],
            "geometry": self.preprocess.geometry.to_dict(),
            "class_names": list(self.classes),
            "config": self.config,
            "card": self.card,
            "bytes": self.bytes,
            "layers": [layer.info() for layer in self.layers.values()],
            "images_per_second": round(self.images_per_second(), 2),
        }
