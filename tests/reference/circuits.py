"""GPT-2 by hand with every part open to change: what patching, ablation and generation are compared with. Slow and plain."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tests.reference.transformer import _norm

#: Given the name of a part and its value [T, D], returns what stands in its place.
Change = Callable[[str, Tensor], Tensor]


def forward(model: Any, ids: list[int], change: Change = lambda _, value: value) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
    """Logits [T, vocabulary], what every part gave after its change, by label, and attention patterns [T, T] by head (``h0.1``)."""
    w = {k.removeprefix("transformer."): v for k, v in model.network.state_dict().items()}
    config, heads = model.config, model.heads
    epsilon, length = config["layer_norm_epsilon"], len(ids)
    found: dict[str, Tensor] = {}
    patterns: dict[str, Tensor] = {}

    def point(name: str, value: Tensor) -> Tensor:
        found[name] = change(name, value)
        return found[name]

    x = point("embeddings", w["wte.weight"][ids] + w["wpe.weight"][:length])
    each = x.shape[1] // heads
    for n in range(config["n_layer"]):
        p = f"h.{n}."
        y = _norm(x, w[p + "ln_1.weight"], w[p + "ln_1.bias"], epsilon)
        q, k, v = (y @ w[p + "attn.c_attn.weight"] + w[p + "attn.c_attn.bias"]).split(x.shape[1], 1)
        parts = []
        for h in range(heads):
            mine = slice(h * each, (h + 1) * each)
            pattern = torch.zeros(length, length)
            for t in range(length):
                pattern[t, : t + 1] = (q[t, mine] @ k[: t + 1, mine].T / math.sqrt(each)).softmax(0)
            patterns[f"h{n}.{h}"] = pattern
            parts.append(point(f"h{n}.head{h}", pattern @ v[:, mine]))
        z = point(f"h{n}.head_values", torch.cat(parts, 1))
        x = x + point(f"h{n}.attention", z @ w[p + "attn.c_proj.weight"] + w[p + "attn.c_proj.bias"])
        y = _norm(x, w[p + "ln_2.weight"], w[p + "ln_2.bias"], epsilon)
        y = y @ w[p + "mlp.c_fc.weight"] + w[p + "mlp.c_fc.bias"]
        y = point(f"h{n}.mlp", 0.5 * y * (1 + torch.tanh(math.sqrt(2 / math.pi) * (y + 0.044715 * y**3))))
        x = point(f"h{n}", x + point(f"h{n}.mlp_out", y @ w[p + "mlp.c_proj.weight"] + w[p + "mlp.c_proj.bias"]))
    return _norm(x, w["ln_f.weight"], w["ln_f.bias"], epsilon) @ w["wte.weight"].T, found, patterns


def path(model: Any, base: list[int], other: list[int], sender: str, receiver: str) -> Tensor:
    """Logits [T, vocabulary] of path patching from one head to the logits or to another head, by three runs."""
    _, held, _ = forward(model, base)
    _, given, _ = forward(model, other)

    def freeze(name: str, value: Tensor) -> Tensor:
        if ".head" not in name or name.endswith("values"):
            return value
        if name == receiver:
            computed.append(value)
        return given[name] if name == sender else held[name]

    computed: list[Tensor] = []
    logits, _, _ = forward(model, base, freeze)
    if receiver == "logits":
        return logits
    return forward(model, base, lambda name, value: computed[0] if name == receiver else value)[0]
