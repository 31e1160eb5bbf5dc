"""Contextual decomposition of a transformer once more: numpy, float64, one group, both parts carried along, nothing taken as the rest."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from tests.reference.attention import SlowViT

Pair = tuple[np.ndarray, np.ndarray]


def _settle(pair: Pair, on: bool) -> Pair:
    rel, irrel = pair
    if not on:
        return pair
    rel, irrel = rel.copy(), irrel.copy()
    for place in np.ndindex(rel.shape):
        one, other = rel[place], irrel[place]
        if one * other < 0:
            larger = abs(one) >= abs(other)
            rel[place], irrel[place] = (one + other, 0.0) if larger else (0.0, one + other)
    return rel, irrel


class Contextual:
    """``ViTForImageClassification`` of transformers from its weights."""

    def __init__(self, network: Any, settle: bool = False) -> None:
        self.vit, self.settle = SlowViT(network), settle
        self.weights, self.config = self.vit.weights, self.vit.config

    def _linear(self, name: str, pair: Pair) -> Pair:
        matrix, bias = self.weights[f"{name}.weight"].T, self.weights[f"{name}.bias"]
        rel, irrel = pair[0] @ matrix, pair[1] @ matrix
        total = np.maximum(abs(rel) + abs(irrel), 1e-300)
        return rel + bias * abs(rel) / total, irrel + bias * abs(irrel) / total

    def _norm(self, name: str, pair: Pair) -> Pair:
        whole = pair[0] + pair[1]
        spread = np.sqrt((whole**2).mean(-1, keepdims=True) - whole.mean(-1, keepdims=True) ** 2 + self.config.layer_norm_eps)
        total = np.maximum(abs(pair[0]) + abs(pair[1]), 1e-300)
        out = []
        for x in pair:
            own = (x - x.mean(-1, keepdims=True)) / spread * self.weights[f"{name}.weight"]
            out.append(own + self.weights[f"{name}.bias"] * abs(x) / total)
        return out[0], out[1]

    def _active(self, pair: Pair) -> Pair:
        def gelu(x: np.ndarray) -> np.ndarray:
            out: np.ndarray = 0.5 * x * (1 + torch.erf(torch.from_numpy(x / np.sqrt(2))).numpy())
            return out

        rest = gelu(pair[1])
        return gelu(pair[0] + pair[1]) - rest, rest

    def run(self, image: np.ndarray, tokens: list[int]) -> Pair:
        """Logits of the group of tokens, and of the rest."""
        size = self.config.patch_size
        name = "vit.embeddings.patch_embeddings.projection"
        start = [self.weights["vit.embeddings.cls_token"][0, 0]]
        kernel = self.weights[f"{name}.weight"]
        for y in range(0, image.shape[1], size):
            for x in range(0, image.shape[2], size):
                patch = image[:, y : y + size, x : x + size].reshape(-1)
                start.append(kernel.reshape(len(kernel), -1) @ patch + self.weights[f"{name}.bias"])
        hidden = np.stack(start) + self.weights["vit.embeddings.position_embeddings"][0]
        inside = np.isin(np.arange(len(hidden)), tokens)[:, None]
        pair: Pair = (np.where(inside, hidden, 0.0), np.where(inside, 0.0, hidden))
        attention = self.vit.run(image)["attention"]
        for block in range(self.config.num_hidden_layers):
            place = f"vit.layers.{block}"
            values = self._linear(f"{place}.attention.v_proj", self._norm(f"{place}.layernorm_before", pair))
            width = values[0].shape[1] // self.config.num_attention_heads
            carried = [
                np.concatenate([p @ v[:, h * width : (h + 1) * width] for h, p in enumerate(attention[block])], 1) for v in values
            ]  # fmt: skip
            out = self._linear(f"{place}.attention.o_proj", _settle((carried[0], carried[1]), self.settle))
            out = _settle(out, self.settle)
            pair = _settle((pair[0] + out[0], pair[1] + out[1]), self.settle)
            inner = _settle(self._linear(f"{place}.mlp.fc1", self._norm(f"{place}.layernorm_after", pair)), self.settle)
            outer = _settle(self._linear(f"{place}.mlp.fc2", self._active(inner)), self.settle)
            pair = _settle((pair[0] + outer[0], pair[1] + outer[1]), self.settle)
        return self._linear("classifier", self._norm("vit.layernorm", (pair[0][0], pair[1][0])))
