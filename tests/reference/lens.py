"""Slow and obvious forms of what the lenses compute: loops over heads, neurons and tokens, whole matrices, and autograd."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from tests.reference.transformer import gpt2_layers


def gpt2_readout(state: dict[str, Tensor], epsilon: float, x: Tensor) -> Tensor:
    """Logits [T, vocabulary] of a residual stream [T, width], one place after the other (layer norm, then the tied unembedding)."""
    rows = []
    for one in x:
        away = one - one.mean()
        normed = away / math.sqrt(float((away**2).mean()) + epsilon) * state["transformer.ln_f.weight"] + state["transformer.ln_f.bias"]
        rows.append(torch.stack([token @ normed for token in state["transformer.wte.weight"]]))
    return torch.stack(rows)


def bert_readout(state: dict[str, Tensor], epsilon: float, x: Tensor) -> Tensor:
    """The same of BERT: dense map, exact GELU, layer norm, unembedding with a bias."""
    p = "cls.predictions."
    y = x @ state[p + "transform.dense.weight"].T + state[p + "transform.dense.bias"]
    y = y * 0.5 * (1 + torch.erf(y / math.sqrt(2)))
    away = y - y.mean(-1, keepdim=True)
    y = away / torch.sqrt((away**2).mean(-1, keepdim=True) + epsilon)
    y = y * state[p + "transform.LayerNorm.weight"] + state[p + "transform.LayerNorm.bias"]
    return y @ state["bert.embeddings.word_embeddings.weight"].T + state[p + "bias"]


def gpt2_contributions(state: dict[str, Tensor], config: dict[str, Any], ids: Tensor, place: int, target: int) -> dict[str, Any]:
    """Logits that embedding, each head, each neuron and each bias add, from a forward pass by hand."""
    found, _ = gpt2_layers(state, config, ids)
    w = {k.removeprefix("transformer."): v for k, v in state.items()}
    heads, width = config["n_head"], config["n_embd"]
    each, last = width // heads, found[f"h{config['n_layer'] - 1}"][place]
    deviation = math.sqrt(float(((last - last.mean()) ** 2).mean()) + config["layer_norm_epsilon"])

    def credit(part: Tensor) -> float:
        return float(((part - part.mean()) / deviation * w["ln_f.weight"]) @ w["wte.weight"][target])

    out: dict[str, Any] = {"embeddings": credit(found["embeddings"][place]), "heads": [], "neurons": [], "biases": []}
    for n in range(config["n_layer"]):
        z, activation = found[f"h{n}.head_values"][place], found[f"h{n}.mlp"][place]
        attention, forward = w[f"h.{n}.attn.c_proj.weight"], w[f"h.{n}.mlp.c_proj.weight"]
        out["heads"].append([credit(z[h * each : (h + 1) * each] @ attention[h * each : (h + 1) * each]) for h in range(heads)])
        out["neurons"].append([credit(a * row) for a, row in zip(activation, forward, strict=True)])
        out["biases"].append(credit(w[f"h.{n}.attn.c_proj.bias"]) + credit(w[f"h.{n}.mlp.c_proj.bias"]))
    out["constant"] = float(w["ln_f.bias"] @ w["wte.weight"][target])
    return out


def triggers(activations: Sequence[Tensor], ids: Sequence[Tensor], first: Sequence[int], count: int) -> tuple[list[float], list[int]]:
    """The strongest activations of a unit and the tokens behind them; ``activations`` [T] of every text, which begins at ``first``."""
    found = [
        (float(a[t]), int(text[t + 1])) for a, text, start in zip(activations, ids, first, strict=True) for t in range(start, len(text) - 1)
    ]
    found.sort(key=lambda pair: -pair[0])
    return [a for a, _ in found[:count]], [i for _, i in found[:count]]


def largest(whole: Tensor, count: int) -> list[tuple[int, int]]:
    """Rows and columns of the largest entries of a matrix, by sorting all of them."""
    entries = [(float(v), r, c) for r, row in enumerate(whole) for c, v in enumerate(row)]
    entries.sort(key=lambda e: -e[0])
    return [(r, c) for _, r, c in entries[:count]]


def composition(source: Tensor, reading: Tensor) -> tuple[float, float]:
    """Of two whole matrices [width, width]: |source @ reading| / (|source| |reading|), and the largest of a singular component."""
    whole = float((source @ reading).norm() / (source.norm() * reading.norm()))
    _, strengths, right = torch.linalg.svd(source)
    single = [float((w @ reading).norm() / reading.norm()) for s, w in zip(strengths, right, strict=True) if s > 1e-5 * strengths[0]]
    return whole, max(single)


def gradients(network: Any, names: Sequence[str], loss: Callable[[], Tensor]) -> dict[str, Tensor]:
    """Derivatives of a loss by weights, as autograd has them, [in, out] or as the module keeps them."""
    weights = {name: network.get_submodule(name).weight for name in names}
    for weight in weights.values():
        weight.requires_grad_(True)
    try:
        found = torch.autograd.grad(loss(), list(weights.values()))
    finally:
        for weight in weights.values():
            weight.requires_grad_(False)
    return dict(zip(weights, found, strict=True))
