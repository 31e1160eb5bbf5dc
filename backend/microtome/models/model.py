"""A loaded model: network, layers, identity. What is common to models that see and models that read."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Literal

import torch
from torch import nn

from microtome.core.errors import InvalidInput, NotFound
from microtome.models.layers import Layer, first_tensor

Modality = Literal["image", "text"]


class Model(ABC):
    """A network in evaluation mode on one device.

    Attributes:
        hash: identity, sha256 of weights, configuration and processor or tokenizer.
        layers: all layers by name, in order of execution.
        classes: names of the outputs; empty where they are no classes.
        forward_passes: examples that went through the network so far; a cache hit adds none.
    """

    modality: ClassVar[Modality]
    layers: dict[str, Layer]

    def __init__(
        self,
        *,
        source: str,
        network: nn.Module,
        classes: Sequence[str],
        family: str,
        hash: str,
        bytes: int,
        config: Mapping[str, Any],
        card: str | None = None,
        device: str = "cpu",
    ) -> None:
        self.source, self.hash, self.family, self.bytes, self.card = source, hash, family, bytes, card
        self.device = torch.device(device)
        self.network = network.eval().to(self.device)
        for parameter in self.network.parameters():
            parameter.requires_grad_(False)
        self.classes, self.config = tuple(classes), dict(config)
        self.forward_passes = 0

    @abstractmethod
    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Logits of prepared inputs [B, ...]. Gradients flow if the caller enables them."""

    def through(self, inputs: torch.Tensor) -> None:
        """Run all layers, where nothing is asked about the answer."""
        self.forward(inputs)

    @abstractmethod
    def sample(self, batch: int) -> torch.Tensor:
        """Inputs of the usual size, to measure speed with."""

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

    def module(self, layer: Layer) -> nn.Module:
        """The module at whose output, or input, the layer is read."""
        return self.network.get_submodule(layer.module or layer.name)

    @contextmanager
    def tapped(self, layers: Sequence[Layer], tap: Callable[[Layer, torch.Tensor], None]) -> Iterator[None]:
        """Call ``tap`` with what every layer is read from, in the forward passes made inside the block.

        The tensor is the network's own: operations in place further on may change it, so what is to be kept must be copied.
        """

        def note(layer: Layer) -> Callable[[Any], None]:
            def act(value: Any) -> None:
                tensor = first_tensor(value)
                assert tensor is not None
                tap(layer, tensor)

            return act

        handles = [self._hook(layer, note(layer)) for layer in layers]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _hook(self, layer: Layer, act: Callable[[Any], Any]) -> Any:
        """Call ``act`` with the output of the layer's module, or its inputs; what it returns, if anything, takes their place."""
        module = self.module(layer)
        if layer.point == "input":
            return module.register_forward_pre_hook(lambda _, inputs: act(inputs))
        return module.register_forward_hook(lambda _, __, output: act(output))

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
        index = torch.as_tensor(list(units), dtype=torch.long, device=self.device)

        def switch_off(tensor: torch.Tensor) -> torch.Tensor:
            changed = tensor.clone()
            if layer.unit_axis == 1:
                shape = [1, -1] + [1] * (changed.ndim - 2)
                changed[:, index] = 0.0 if values is None else values.view(shape).to(changed)
            elif layer.group:
                if values is not None:
                    raise InvalidInput(
                        f"A unit of {layer.label} is a group of coordinates, read by its norm: it can be set to zero, to no other value.",
                        field="units.layer",
                    )
                changed.unflatten(-1, (layer.units, layer.group))[..., index, :] = 0.0
            else:
                changed[..., index] = 0.0 if values is None else values.to(changed)
            return changed

        with self.changed(layer, switch_off):
            yield

    @contextmanager
    def changed(self, layer: Layer, change: Callable[[torch.Tensor], torch.Tensor]) -> Iterator[None]:
        """Put ``change(raw tensor)`` in the place of what the layer is read from, in the passes made inside the block.

        ``change`` returns a tensor of its own, not the one it was given: operations in place further on may write into it.
        """

        def replace(value: Any) -> Any:
            tensor = first_tensor(value)
            assert tensor is not None
            changed = change(tensor)
            if isinstance(value, torch.Tensor):
                return changed
            if isinstance(value, tuple):
                return (changed, *value[1:])
            for name in ("last_hidden_state", "logits"):
                if hasattr(value, name):
                    value[name] = changed
            return value

        handle = self._hook(layer, replace)
        try:
            yield
        finally:
            handle.remove()

    def examples_per_second(self, batch: int = 16) -> float:
        """Measured speed of the bare forward pass, after one warm-up batch."""
        sample = self.sample(batch)
        passed = self.forward_passes
        with torch.inference_mode():
            self.forward(sample)
            start = time.perf_counter()
            for _ in range(2):
                self.forward(sample)
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
        self.forward_passes = passed
        return 2 * batch / max(time.perf_counter() - start, 1e-9)

    def describe(self) -> dict[str, Any]:
        """What the store and the web process know of the model, as plain JSON."""
        return {
            "modality": self.modality,
            "family": self.family,
            "hash": self.hash,
            "parameters": sum(p.numel() for p in self.network.parameters()),
            "units": sum(layer.units for layer in self.default_layers()),
            "class_names": list(self.classes),
            "config": self.config,
            "card": self.card,
            "bytes": self.bytes,
            "layers": [layer.info() for layer in self.layers.values()],
            "images_per_second": round(self.examples_per_second(), 2),
        }
