"""Running only what comes after a layer, for any network.

One ordinary pass over a batch stores the outputs of the largest modules that finish before the layer does. In a replayed
pass those modules return what was stored instead of computing, so an intervention at the layer costs the rest of the
network only. Modules that contain the layer run their own code (residual sums among them) on the stored outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from microtome.models.layers import Layer
from microtome.models.model import Model


class Replay:
    """Stored prefix of one batch. ``run()`` gives the logits with whatever hooks are active on the layer and after it."""

    def __init__(self, model: Model, layer: Layer, inputs: torch.Tensor) -> None:
        self._model, self._inputs = model, inputs
        target = layer.module or layer.name
        ancestors = {target.rsplit(".", i)[0] for i in range(1, target.count(".") + 1)}
        finished: dict[str, list[Any]] = {}
        passed = False

        def note(name: str) -> Callable[..., None]:
            def hook(_: nn.Module, __: Any, output: Any) -> None:
                nonlocal passed
                if not passed:
                    finished.setdefault(name, []).append(output)
                passed = passed or name == target

            return hook

        def begin(_: nn.Module, __: Any) -> None:
            nonlocal passed
            passed = True

        handles = [
            module.register_forward_hook(note(name))
            for name, module in model.network.named_modules()
            if name and name not in ancestors and not name.startswith(target + ".")
        ]
        if layer.point == "input":  # the module itself must run again
            handles.append(model.network.get_submodule(target).register_forward_pre_hook(begin))
        try:
            with torch.no_grad():
                self.logits = model.forward(inputs)
        finally:
            for handle in handles:
                handle.remove()
        # Only the outermost finished modules are needed: their insides never run again.
        self._stored = {n: o for n, o in finished.items() if not any(n.startswith(m + ".") for m in finished if m != n)}

    @contextmanager
    def _standing_in(self) -> Iterator[None]:
        replaced: list[nn.Module] = []
        try:
            for name, outputs in self._stored.items():
                module = self._model.network.get_submodule(name)
                iterator = iter(outputs)
                module.forward = lambda *_, _next=iterator, **__: next(_next)
                replaced.append(module)
            yield
        finally:
            for module in replaced:
                del module.forward

    def run(self, *, keep_graph: bool = False) -> torch.Tensor:
        """Logits, as :meth:`Model.forward` gives them; hooks on the layer (interventions) see its stored output and may change it.

        Args:
            keep_graph: gradients flow from the logits to what is put in the place of the layer's output, if the caller enables them.
        """
        with torch.set_grad_enabled(keep_graph and torch.is_grad_enabled()), self._standing_in():
            return self._model.forward(self._inputs)
