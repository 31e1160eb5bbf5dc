"""GPT-2 and BERT by hand, one text, one position after the other where that is clearer: what recorded layers are compared with."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor


def _norm(x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    away = x - x.mean(-1, keepdim=True)
    return away / torch.sqrt((away**2).mean(-1, keepdim=True) + epsilon) * weight + bias


def _attend(q: Tensor, k: Tensor, v: Tensor, heads: int, causal: bool) -> Tensor:
    """[T, D] of [T, D] each: the outputs of all heads side by side."""
    length, width = q.shape
    each = width // heads
    out = torch.zeros_like(v)
    for h in range(heads):
        mine = slice(h * each, (h + 1) * each)
        for t in range(length):
            seen = t + 1 if causal else length
            scores = torch.stack([q[t, mine] @ k[s, mine] / math.sqrt(each) for s in range(seen)])
            weights = scores.exp() / scores.exp().sum()
            out[t, mine] = sum(weights[s] * v[s, mine] for s in range(seen))
    return out


def _head_norms(values: Tensor, heads: int) -> Tensor:
    return torch.stack([part.pow(2).sum(-1).sqrt() for part in values.chunk(heads, -1)], -1)


def gpt2_layers(state: dict[str, Tensor], config: dict[str, Any], ids: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """What every layer gives, by label, [T, units]; and the logits [T, vocabulary] (Radford et al. 2019; pre-norm, GELU by tanh)."""
    w = {k.removeprefix("transformer."): v for k, v in state.items()}
    heads, epsilon = config["n_head"], config["layer_norm_epsilon"]
    x = w["wte.weight"][ids] + w["wpe.weight"][: len(ids)]
    found = {"embeddings": x}
    for n in range(config["n_layer"]):
        p = f"h.{n}."
        y = _norm(x, w[p + "ln_1.weight"], w[p + "ln_1.bias"], epsilon)
        q, k, v = (y @ w[p + "attn.c_attn.weight"] + w[p + "attn.c_attn.bias"]).chunk(3, -1)
        z = _attend(q, k, v, heads, causal=True)
        attention = z @ w[p + "attn.c_proj.weight"] + w[p + "attn.c_proj.bias"]
        x = x + attention
        y = _norm(x, w[p + "ln_2.weight"], w[p + "ln_2.bias"], epsilon)
        y = y @ w[p + "mlp.c_fc.weight"] + w[p + "mlp.c_fc.bias"]
        neurons = 0.5 * y * (1 + torch.tanh(math.sqrt(2 / math.pi) * (y + 0.044715 * y**3)))
        forward = neurons @ w[p + "mlp.c_proj.weight"] + w[p + "mlp.c_proj.bias"]
        x = x + forward
        found |= {
            f"h{n}.heads": _head_norms(z, heads), f"h{n}.head_values": z, f"h{n}.attention": attention, f"h{n}.mlp": neurons,
            f"h{n}.mlp_out": forward, f"h{n}": x,
        }  # fmt: skip
    return found, _norm(x, w["ln_f.weight"], w["ln_f.bias"], epsilon) @ w["wte.weight"].T


def bert_layers(state: dict[str, Tensor], config: dict[str, Any], ids: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """The same of BERT with its head for masked tokens (Devlin et al. 2019; post-norm, exact GELU)."""
    w, epsilon, heads = state, config["layer_norm_eps"], config["num_attention_heads"]

    def linear(x: Tensor, name: str) -> Tensor:
        return x @ w[name + ".weight"].T + w[name + ".bias"]

    def norm(x: Tensor, name: str) -> Tensor:
        return _norm(x, w[name + ".weight"], w[name + ".bias"], epsilon)

    def gelu(x: Tensor) -> Tensor:
        return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))

    e = "bert.embeddings."
    x = w[e + "word_embeddings.weight"][ids] + w[e + "position_embeddings.weight"][: len(ids)] + w[e + "token_type_embeddings.weight"][0]
    x = norm(x, e + "LayerNorm")
    found = {"embeddings": x}
    for n in range(config["num_hidden_layers"]):
        p = f"bert.encoder.layer.{n}."
        q, k, v = (linear(x, p + f"attention.self.{name}") for name in ("query", "key", "value"))
        z = _attend(q, k, v, heads, causal=False)
        attention = linear(z, p + "attention.output.dense")
        x = norm(x + attention, p + "attention.output.LayerNorm")
        neurons = gelu(linear(x, p + "intermediate.dense"))
        forward = linear(neurons, p + "output.dense")
        x = norm(x + forward, p + "output.LayerNorm")
        found |= {
            f"layer{n}.heads": _head_norms(z, heads), f"layer{n}.head_values": z, f"layer{n}.attention": attention,
            f"layer{n}.mlp": neurons, f"layer{n}.mlp_out": forward, f"layer{n}": x,
        }  # fmt: skip
    head = "cls.predictions."
    y = norm(gelu(linear(x, head + "transform.dense")), head + "transform.LayerNorm")
    return found, y @ w["bert.embeddings.word_embeddings.weight"].T + w[head + "bias"]
