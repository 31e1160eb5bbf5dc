"""Small random language models of architectures that lay out their weights in different ways."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
import transformers as t

from microtome.models import load_model
from microtome.models.text import TextModel
from microtome.models.tokens import TextTokenizer
from tests import micro

PROMPT = "def add(left, right):\n    return left"
#: What makes a small network of each; grouped keys in Llama, gates in it and Gemma, blocks in parallel and fused maps in NeoX and BLOOM.
_SMALL: dict[str, Any] = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 320}
_MADE: dict[str, Any] = {
    "llama": lambda: t.LlamaForCausalLM(
        t.LlamaConfig(**_SMALL, intermediate_size=40, num_key_value_heads=2, max_position_embeddings=48, attention_bias=True, mlp_bias=True)
    ),
    "neox": lambda: t.GPTNeoXForCausalLM(t.GPTNeoXConfig(**_SMALL, intermediate_size=40, max_position_embeddings=48)),
    "bloom": lambda: t.BloomForCausalLM(t.BloomConfig(hidden_size=24, n_layer=2, n_head=4, vocab_size=320)),
    "qwen3": lambda: t.Qwen3ForCausalLM(
        t.Qwen3Config(**_SMALL, intermediate_size=40, num_key_value_heads=2, head_dim=8, max_position_embeddings=48)
    ),
    "gemma": lambda: t.GemmaForCausalLM(
        t.GemmaConfig(**_SMALL, intermediate_size=40, num_key_value_heads=1, head_dim=8, max_position_embeddings=48)
    ),
    "gemma2": lambda: t.Gemma2ForCausalLM(
        t.Gemma2Config(**_SMALL, intermediate_size=40, num_key_value_heads=2, head_dim=8, max_position_embeddings=48)
    ),
}


def _lively(network: torch.nn.Module) -> torch.nn.Module:
    """Random weights large enough, and norms and biases other enough, that no part of the network is next to nothing."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.ndim == 2:
                parameter.mul_(8)
            if "norm" in name.lower() or "ln_" in name or name.endswith("bias"):
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return network.eval()


@lru_cache
def net(family: str) -> TextModel:
    """A random network of an architecture; those of the micro models are made anew, since their weights are changed."""
    if family in micro.TEXT_FAMILIES:
        model = load_model(f"path:{micro.text_folder(family)}")
        assert isinstance(model, TextModel)
        _lively(model.network)
        return model
    torch.manual_seed(0)
    network = _lively(_MADE[family]())
    tokenizer = TextTokenizer(micro.tokenizer().to_str(), 48, begin=0)
    return TextModel(
        source=f"micro:{family}", network=network, tokenizer=tokenizer, task="causal", classes=[], family=family, hash="0" * 64, bytes=0,
        config=network.config.to_dict(),
    )  # fmt: skip


def logits(model: TextModel, prompt: str = PROMPT) -> torch.Tensor:
    """[T, vocabulary], the network asked directly."""
    ids = torch.from_numpy(model.tokenizer.encode(prompt).ids)[None]
    with torch.no_grad():
        return model.network(input_ids=ids).logits[0]
