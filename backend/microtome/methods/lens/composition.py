"""How much one head reads of what another writes, by the products of their weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from microtome.methods.lens.weights import Attention

Composition = Literal["queries", "keys", "values"]


@dataclass(frozen=True, slots=True)
class Writer:
    """W_V W_O of heads as U S W^T: ``strengths`` float32 [heads, each] are S, ``directions`` [heads, each, width] the rows of W^T."""

    strengths: Tensor = field(repr=False)
    directions: Tensor = field(repr=False)


def writer(values: Tensor, writes: Tensor) -> Writer:
    """Of values [heads, width, each] and writes [heads, each, width]; the products [width, width] are never written down."""
    _, inner = torch.linalg.qr(values)
    outer, rest = torch.linalg.qr(writes.transpose(1, 2))
    _, strengths, right = torch.linalg.svd(inner @ rest.transpose(1, 2))
    return Writer(strengths, right @ outer.transpose(1, 2))


def _side(left: Tensor, right: Tensor) -> Tensor:
    """[heads, width, each] with the same products from the left as ``left @ right.T`` has in length: right's basis is turned away."""
    return left @ torch.linalg.qr(right)[1].transpose(1, 2)


def reader(kind: Composition, attention: Attention, writes: Tensor) -> Tensor:
    """What a composition reads with, [heads, width, each]: x @ it is as long as x @ (W_Q W_K^T, its transpose, or W_V W_O) for every x."""
    if kind == "values":
        return _side(attention.folded(attention.values), writes.transpose(1, 2))
    queries, keys = attention.folded(attention.queries), attention.folded(attention.keys)
    return _side(queries, keys) if kind == "queries" else _side(keys, queries)


def scores(source: Writer, reads: Tensor) -> tuple[Tensor, Tensor]:
    """Composition of every source with every reader: of the whole matrices, and of the one component that composes most.

    With R of a reader and the source as sum_i s_i u_i w_i^T: the whole is |S W^T R| / (|S| |R|), a component is |w_i^T R| / |R|, by
    Frobenius norms. 1 is all, independent directions give about 1 / sqrt(width).

    Returns:
        Float32 [sources, readers] each.
    """
    lengths = reads.flatten(1).norm(dim=1).clamp(min=1e-30)
    products = torch.einsum("sew,rwd->sred", source.directions, reads).norm(dim=-1)
    whole = (products * source.strengths[:, None]).norm(dim=-1) / source.strengths.norm(dim=1)[:, None].clamp(min=1e-30)
    real = source.strengths > 1e-6 * source.strengths[:, :1]
    return whole / lengths, (products * real[:, None]).amax(-1) / lengths


def chance(draws: int, width: int, each: int, seed: int) -> tuple[Tensor, Tensor]:
    """The same scores of ``draws`` pairs of heads with independent normal weights, float32 [draws] each."""
    generator = torch.Generator().manual_seed(seed)
    whole, single = [], []
    for _ in range(draws):
        values, left, right = (torch.randn(1, width, each, generator=generator) for _ in range(3))
        one, other = scores(writer(values, torch.randn(1, each, width, generator=generator)), _side(left, right))
        whole.append(one[0, 0])
        single.append(other[0, 0])
    return torch.stack(whole), torch.stack(single)
