"""The micro GPT-2 with larger weights, so that what its parts do stands well above rounding; and a model without any bend."""

from __future__ import annotations

from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from microtome.models import load_model
from microtome.models.text import TextModel
from microtome.models.tokens import TextTokenizer
from tests import micro

CLEAN = "def add(left, right):\n    return left"
CORRUPTED = "def add(left, right):\n    return right"


@lru_cache
def strong() -> Any:
    model = load_model(f"path:{micro.text_folder('gpt2')}")
    with torch.no_grad():
        for name, parameter in model.network.named_parameters():
            if parameter.ndim == 2 and "wpe" not in name:
                parameter.mul_(6)
    return model


class _Mix(nn.Module):
    """Stands for attention: every token takes from all before it alike, then values and output are linear."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.value, self.out = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean = x.cumsum(1) / torch.arange(1, x.shape[1] + 1)[None, :, None]
        return self.out(self.value(mean))


class _Forward(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(self.up(x))


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention, self.feed = _Mix(width), _Forward(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(x)
        return x + self.feed(x)


class _Linear(nn.Module):
    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocabulary, width)
        self.blocks = nn.ModuleList(_Block(width) for _ in range(2))
        self.unembed = nn.Linear(width, vocabulary)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, use_cache: bool = False) -> Any:
        x = self.embed(input_ids)
        for block in self.blocks:
            x = block(x)
        return SimpleNamespace(logits=self.unembed(x))


@lru_cache
def linear() -> TextModel:
    """A model that is linear in its embeddings, with two blocks of two heads."""
    torch.manual_seed(1)
    tokenizer = TextTokenizer(micro.tokenizer().to_str(), 48, 0)
    return TextModel(
        source="test:linear", network=_Linear(tokenizer.vocabulary, 8), tokenizer=tokenizer, task="causal", classes=[], family="linear",
        hash="", bytes=0, config={"n_head": 2},
    )  # fmt: skip


@lru_cache
def grouped() -> Any:
    """A micro model of another family: rotary positions, gated neurons, keys and values shared by two heads each."""
    import transformers

    folder = micro.ROOT / "text-llama"
    tokenizer = micro.tokenizer()
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=48, hidden_size=24, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, intermediate_size=40, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return load_model(f"path:{folder}")
