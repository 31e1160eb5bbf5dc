"""Contributions of the units of a layer to an output, integrated along a path: of their own activations, or of the embeddings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from microtome.core.context import RunContext
from microtome.methods.circuits.patching import rows_at_once
from microtome.methods.circuits.sites import recorded
from microtome.models.layers import Layer
from microtome.models.text import TextModel

#: float [B] of logits [B, T, vocabulary].
Output = Callable[[torch.Tensor], torch.Tensor]
Floats = npt.NDArray[np.float64]


class Path(NamedTuple):
    """Contributions float64 [T, units] of one layer, and the outputs at both ends of the path."""

    contributions: Floats
    before: float
    after: float


def along_units(model: TextModel, layer: Layer, ids: torch.Tensor, output: Output, steps: int, run: RunContext) -> Path:
    """Activations of the layer, at all tokens, from zero to what they are: ``h_j * mean over a of dF/dh_j (a h)``, Gauss-Legendre.

    The sum over tokens and units is ``F(h) - F(0)``, whatever comes after the layer (Dai et al. 2022).
    """
    _, outputs = recorded(model, [layer], ids)
    values = outputs[layer.name]
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    total = torch.zeros(values.shape[1:], dtype=torch.float64, device=values.device)
    size = rows_at_once(model, ids.shape[1])
    for start in range(0, steps, size):
        run.check()
        part = slice(start, start + size)
        share = torch.from_numpy((nodes[part] + 1) / 2).to(values)[:, None, None]
        leaf = (share * values).requires_grad_(True)
        with torch.enable_grad(), model.changed(layer, lambda _, leaf=leaf: leaf.clone()):  # type: ignore[misc]
            (gradient,) = torch.autograd.grad(output(model.forward(ids.expand(len(leaf), -1))).sum(), leaf)
        total += (torch.from_numpy(weights[part] / 2).to(total)[:, None, None] * gradient.double()).sum(0)
    with torch.no_grad():
        after = float(output(model.forward(ids)))
        with model.changed(layer, torch.zeros_like):
            before = float(output(model.forward(ids)))
    return Path(_by_unit(layer, (total * values[0].double()).cpu().numpy()), before, after)


def along_embeddings(
    model: TextModel, layers: Sequence[Layer], ids: torch.Tensor, baseline: torch.Tensor | None, output: Output, steps: int, run: RunContext
) -> list[Path]:
    """Embeddings from a baseline to what they are, in equal steps: ``sum over steps of dF/dh_j in the middle x change of h_j``.

    Over the residual stream after a block the sum is ``F(x) - F(baseline)``, to second order in the length of a step: nothing goes
    around it. Neurons, heads, and what a block writes have only what goes through them (Shrikumar et al. 2018).

    Args:
        baseline: int64 [1, T]; None for embeddings of zero.
    """
    embeddings = next(layer for layer in model.layers.values() if layer.kind == "embeddings")
    end = recorded(model, [embeddings], ids)[1][embeddings.name]
    start = torch.zeros_like(end) if baseline is None else recorded(model, [embeddings], baseline)[1][embeddings.name]
    totals = [torch.zeros(end.shape[1], layer.units * (layer.group or 1), dtype=torch.float64, device=end.device) for layer in layers]
    size = max(1, rows_at_once(model, ids.shape[1]) - 1)
    for first in range(0, steps, size):
        run.check()
        count = min(size, steps - first)
        edges = torch.arange(first, first + count + 1, device=end.device, dtype=end.dtype)[:, None, None] / steps
        middles = (edges[:-1] + edges[1:]) / 2
        with torch.no_grad(), model.changed(embeddings, lambda _, s=edges: start + s * (end - start)), model.record(layers) as at_edges:  # type: ignore[misc]
            model.forward(ids.expand(count + 1, -1))
        leaf = (start + middles * (end - start)).requires_grad_(True)
        with (
            torch.enable_grad(),
            model.changed(embeddings, lambda _, leaf=leaf: leaf.clone()),  # type: ignore[misc]
            model.record(layers, keep_graph=True) as in_the_middle,
        ):
            found = output(model.forward(ids.expand(count, -1))).sum()
            gradients = torch.autograd.grad(found, [in_the_middle[layer.name] for layer in layers])
        for total, layer, gradient in zip(totals, layers, gradients, strict=True):
            total += (gradient.double() * at_edges[layer.name].double().diff(dim=0)).sum(0)
    with torch.no_grad():
        after = float(output(model.forward(ids)))
        with model.changed(embeddings, lambda _: start.clone()):
            before = float(output(model.forward(ids)))
    return [Path(_by_unit(layer, total.cpu().numpy()), before, after) for layer, total in zip(layers, totals, strict=True)]


def _by_unit(layer: Layer, values: Floats) -> Floats:
    """Contributions of coordinates as those of units."""
    return values.reshape(len(values), layer.units, -1).sum(2)
