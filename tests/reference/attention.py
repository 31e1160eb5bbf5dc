"""A vision transformer and the attention methods computed once more: numpy, float64, loops, and finite differences for gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

#: (block, head, row, column, by how much) of one attention that is changed after the softmax.
Change = tuple[int, int, int, int, float]


def _softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


class SlowViT:
    """``ViTForImageClassification`` of transformers from its weights, one image and one head at a time."""

    def __init__(self, network: Any) -> None:
        self.weights = {name: value.double().numpy() for name, value in network.state_dict().items()}
        self.config = network.config

    def _linear(self, name: str, x: np.ndarray) -> np.ndarray:
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def norm(self, name: str, x: np.ndarray) -> np.ndarray:
        mean, spread = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
        return (x - mean) / np.sqrt(spread + self.config.layer_norm_eps) * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def read(self, token: np.ndarray) -> np.ndarray:
        """Logits of one token, by the last norm and the classifier."""
        return self._linear("classifier", self.norm("vit.layernorm", token))

    def run(self, image: np.ndarray, change: Change | None = None) -> dict[str, Any]:
        """Of an image [3, H, W]: logits, attention [heads, T, T] and outputs of attention and of blocks [T, D], per block."""
        size = self.config.patch_size
        kernel = self.weights["vit.embeddings.patch_embeddings.projection.weight"]
        bias = self.weights["vit.embeddings.patch_embeddings.projection.bias"]
        tokens = [self.weights["vit.embeddings.cls_token"][0, 0]]
        for y in range(0, image.shape[1], size):
            for x in range(0, image.shape[2], size):
                tokens.append(kernel.reshape(len(kernel), -1) @ image[:, y : y + size, x : x + size].reshape(-1) + bias)
        hidden = np.stack(tokens) + self.weights["vit.embeddings.position_embeddings"][0]
        found: dict[str, Any] = {"attention": [], "attended": [], "hidden": []}
        heads = self.config.num_attention_heads
        for block in range(self.config.num_hidden_layers):
            place = f"vit.layers.{block}"
            x = self.norm(f"{place}.layernorm_before", hidden)
            q, k, v = (self._linear(f"{place}.attention.{n}_proj", x) for n in "qkv")
            width = q.shape[1] // heads
            parts, probabilities = [], []
            for head in range(heads):
                own = slice(head * width, (head + 1) * width)
                p = _softmax(q[:, own] @ k[:, own].T / np.sqrt(width))
                if change is not None and change[:2] == (block, head):
                    p[change[2], change[3]] += change[4]
                probabilities.append(p)
                parts.append(p @ v[:, own])
            out = self._linear(f"{place}.attention.o_proj", np.concatenate(parts, 1))
            hidden = hidden + out
            inner = self._linear(f"{place}.mlp.fc1", self.norm(f"{place}.layernorm_after", hidden))
            # GELU by the error function, as torch computes it.
            active = 0.5 * inner * (1 + torch.erf(torch.from_numpy(inner / np.sqrt(2))).numpy())
            hidden = hidden + self._linear(f"{place}.mlp.fc2", active)
            found["attention"].append(np.stack(probabilities))
            found["attended"].append(out)
            found["hidden"].append(hidden)
        found["logits"] = self.read(hidden[0])
        return found

    def slope(self, image: np.ndarray, at: tuple[int, int, int, int], number: Callable[[dict[str, Any]], float]) -> float:
        """d number / d attention at (block, head, row, column), by a central difference."""
        step = 1e-5
        up, down = (number(self.run(image, (*at, sign * step))) for sign in (1, -1))
        return (up - down) / (2 * step)


def rollout(attention: list[np.ndarray], heads: str, residual: float) -> np.ndarray:
    """[T, T], token by token: what is in token i behind the last block."""
    tokens = attention[0].shape[1]
    content = [[float(i == j) for j in range(tokens)] for i in range(tokens)]
    for block in attention:
        fused = {"mean": block.mean(0), "max": block.max(0), "min": block.min(0)}[heads]
        now = []
        for i in range(tokens):
            row = [residual * content[i][j] for j in range(tokens)]
            total = sum(fused[i])
            for other in range(tokens):
                for j in range(tokens):
                    row[j] += (1 - residual) * fused[i][other] / total * content[other][j]
            now.append(row)
        content = now
    return np.array(content)


def gradient_attention(network: SlowViT, image: np.ndarray, number: Callable[[dict[str, Any]], float], blocks: int) -> np.ndarray:
    """[T, T]: relevance of token j to token i behind ``blocks`` blocks, the identity taken off, with one finite difference per entry."""
    attention = network.run(image)["attention"][:blocks]
    heads, tokens, _ = attention[0].shape
    relevance = np.eye(tokens)
    for block, values in enumerate(attention):
        step = np.zeros((tokens, tokens))
        for head in range(heads):
            for i in range(tokens):
                for j in range(tokens):
                    step[i, j] += max(0.0, network.slope(image, (block, head, i, j), number) * values[head, i, j]) / heads
        relevance = relevance + step @ relevance
    return relevance - np.eye(tokens)


def class_embedding(network: SlowViT, image: np.ndarray, block: int, number: Callable[[np.ndarray], float]) -> np.ndarray:
    """[T]: what more attention of the class token to each token in one block does to ``number(logits read from that block)``."""
    heads, tokens, _ = network.run(image)["attention"][block].shape

    def read(found: dict[str, Any]) -> float:
        return number(network.read(found["attended"][block][0]))

    return np.array([sum(network.slope(image, (block, h, 0, j), read) for h in range(heads)) for j in range(tokens)])
