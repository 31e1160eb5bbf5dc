"""Running only what comes after a layer, for any network.

One ordinary pass over a batch stores the outputs of the largest modules that finish before the layer does. In a replayed
pass those modules return what was stored instead of computing, so an intervention at the layer costs the rest of the
network only. Modules that contain the layer run their own code (residual sums among them) on the stored outputs.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from microtome.models.layers import Layer
from microtome.models.model import Model


def _returning(outputs: list[Any], own: bool, compute: Callable[..., Any]) -> Callable[..., Any]:
    """Call by call the outputs that are there; a module that is called again behind the layer (a dropout that parts share) computes.

    Args:
        own: every run gets copies, since the network changes these outputs in place.
    """
    stored = iter(outputs)

    def forward(*args: Any, **kwargs: Any) -> Any:
        for output in stored:
            return _copied(output) if own else output
        return compute(*args, **kwargs)

    return forward


def _tensors(output: Any) -> list[torch.Tensor]:
    parts = output.values() if isinstance(output, Mapping) else output if isinstance(output, tuple | list) else [output]
    return [part for part in parts if isinstance(part, torch.Tensor)]


def _copied(output: Any) -> Any:
    """A module's output with tensors of its own."""
    if isinstance(output, torch.Tensor):
        return output.clone()
    if isinstance(output, tuple | list):
        return type(output)([_copied(part) for part in output])
    return copy.deepcopy(output)


class Replay:
    """Stored prefix of one batch. ``run()`` gives the logits with whatever hooks are active on the layer and after it."""

    def __init__(self, model: Model, layer: Layer, inputs: torch.Tensor) -> None:
        self._model, self._inputs = model, inputs
        target = layer.module or layer.name
        ancestors = {target.rsplit(".", i)[0] for i in range(1, target.count(".") + 1)}
        candidates = [n for n, _ in model.network.named_modules() if n and n not in ancestors and not n.startswith(target + ".")]
        finished: dict[str, list[Any]] = {}
        versions: dict[str, list[list[int]]] = {}

        def keep(name: str, output: Any) -> None:
            finished.setdefault(name, []).append(output)
            versions.setdefault(name, []).append([t._version for t in _tensors(output)])

        self.logits = self._pass(layer, candidates, keep)
        # Only the outermost finished modules are needed: their insides never run again.
        self._stored = {n: o for n, o in finished.items() if not any(n.startswith(m + ".") for m in finished if m != n)}
        changed = [[[t._version for t in _tensors(o)] for o in outputs] for outputs in self._stored.values()]
        self._own = {n for n, now in zip(self._stored, changed, strict=True) if now != versions[n]}
        if self._own:  # what they gave was written over by sums in place (Falcon): once more, for copies
            for name in self._own:
                self._stored[name] = []
            self._pass(layer, sorted(self._own), lambda name, output: self._stored[name].append(_copied(output)))

    def _pass(self, layer: Layer, names: Sequence[str], keep: Callable[[str, Any], None]) -> torch.Tensor:
        """Logits of an ordinary pass, in which the outputs of modules that finish before the layer does are kept."""
        modules = dict(self._model.network.named_modules())
        passed = False

        def note(name: str) -> Callable[..., None]:
            def hook(_: nn.Module, __: Any, output: Any) -> None:
                if not passed:
                    keep(name, output)

            return hook

        def end(*_: Any) -> None:
            nonlocal passed
            passed = True

        handles = [modules[name].register_forward_hook(note(name)) for name in names]
        # A model made of others has its layers in them, and no modules of its own to store anything of.
        if (target := modules.get(layer.module or layer.name)) is not None:
            # Read at its input, the module itself must run again.
            handles.append(target.register_forward_pre_hook(end) if layer.point == "input" else target.register_forward_hook(end))
        try:
            # Tensors made in inference mode do not tell whether they were changed.
            with torch.inference_mode(False), torch.no_grad():
                return self._model.forward(self._inputs)
        finally:
            for handle in handles:
                handle.remove()

    @contextmanager
    def _standing_in(self) -> Iterator[None]:
        replaced: list[nn.Module] = []
        try:
            for name, outputs in self._stored.items():
                module = self._model.network.get_submodule(name)
                module.forward = _returning(outputs, name in self._own, module.forward)
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
