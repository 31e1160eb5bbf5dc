"""Small random networks of the architectures of language models that transformers has, each with something that others do not have."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
import transformers as t

from microtome.models import load_model
from microtome.models.text import TextModel
from tests import micro

_WIDTH: dict[str, Any] = {"hidden_size": 24, "intermediate_size": 40}
_SHAPE: dict[str, Any] = {**_WIDTH, "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 48}
_ENCODER: dict[str, Any] = {**_WIDTH, "num_hidden_layers": 3, "num_attention_heads": 3, "max_position_embeddings": 50}
_T5: dict[str, Any] = {"d_model": 24, "d_kv": 8, "d_ff": 40, "num_layers": 3, "num_heads": 3}
_MARKS: dict[str, Any] = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 2, "sep_token_id": 3}
#: Token 0 is one of the small tokenizers' own.
_ENDS: dict[str, Any] = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
_LLAMA: dict[str, Any] = {**_SHAPE, **_ENDS, "num_key_value_heads": 2}


def _causal(config: type, network: type, **options: Any) -> Callable[[int], Any]:
    return lambda vocabulary: network(config(vocab_size=vocabulary, **options))


#: What makes a network for a vocabulary of a size.
CAUSAL: dict[str, Callable[[int], Any]] = {
    # Positions by learned vectors; maps kept the other way round.
    "gpt2": _causal(t.GPT2Config, t.GPT2LMHeadModel, n_positions=48, n_embd=24, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=0),
    # Every other block sees the last few tokens only; attention without a scale.
    "gpt-neo": _causal(
        t.GPTNeoConfig,
        t.GPTNeoForCausalLM,
        hidden_size=24,
        num_layers=2,
        num_heads=4,
        intermediate_size=40,
        window_size=4,
        attention_types=[[["global", "local"], 1]],
        max_position_embeddings=48,
    ),
    # Attention and neurons side by side behind one norm; a bias at the unembedding.
    "gpt-j": _causal(t.GPTJConfig, t.GPTJForCausalLM, n_positions=48, n_embd=24, n_layer=2, n_head=3, rotary_dim=4),
    # Queries, keys and values fused head by head.
    "neox": _causal(t.GPTNeoXConfig, t.GPTNeoXForCausalLM, **_SHAPE),
    # Tokens of all texts in a row before the neurons; a norm whose name says attention.
    "opt": _causal(
        t.OPTConfig,
        t.OPTForCausalLM,
        hidden_size=24,
        ffn_dim=40,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=48,
        word_embed_proj_dim=24,
        **_ENDS,
    ),
    # Attention that falls off with the distance.
    "bloom": _causal(t.BloomConfig, t.BloomForCausalLM, hidden_size=24, n_layer=2, n_head=4),
    # One key and one value for all heads; cannot be told to compute its attention in plain steps.
    "falcon": _causal(t.FalconConfig, t.FalconForCausalLM, hidden_size=24, num_hidden_layers=2, num_attention_heads=4, **_ENDS),
    # A dropout that attention and neurons share.
    "phi": _causal(t.PhiConfig, t.PhiForCausalLM, **{**_LLAMA, "hidden_size": 32, "num_key_value_heads": 4}),
    # Fused gates, fused queries.
    "phi3": _causal(t.Phi3Config, t.Phi3ForCausalLM, **_LLAMA),
    # Gated neurons, keys that heads share, norms by the root mean square.
    "llama": _causal(t.LlamaConfig, t.LlamaForCausalLM, **_LLAMA, attention_bias=True, mlp_bias=True),
    "mistral": _causal(t.MistralConfig, t.MistralForCausalLM, **_LLAMA, sliding_window=8),
    "qwen2": _causal(t.Qwen2Config, t.Qwen2ForCausalLM, **_LLAMA),
    # Heads wider than their share of the stream; norms of queries and keys.
    "qwen3": _causal(t.Qwen3Config, t.Qwen3ForCausalLM, **_LLAMA, head_dim=8),
    "gemma": _causal(t.GemmaConfig, t.GemmaForCausalLM, **{**_LLAMA, "num_key_value_heads": 1}, head_dim=8),
    # Norms behind what is written; bounds on logits.
    "gemma2": _causal(t.Gemma2Config, t.Gemma2ForCausalLM, **_LLAMA, head_dim=8),
    "gemma3": _causal(t.Gemma3TextConfig, t.Gemma3ForCausalLM, **_LLAMA, head_dim=8),
    # Norms without weights.
    "olmo": _causal(t.OlmoConfig, t.OlmoForCausalLM, **_LLAMA),
    "stablelm": _causal(t.StableLmConfig, t.StableLmForCausalLM, **_LLAMA),
    "starcoder2": _causal(t.Starcoder2Config, t.Starcoder2ForCausalLM, **_LLAMA),
    # Several feed-forward layers, of which each token takes some.
    "mixtral": _causal(t.MixtralConfig, t.MixtralForCausalLM, **_LLAMA, num_local_experts=2),
}
ENCODERS: dict[str, Callable[[int], Any]] = {
    "bert": _causal(t.BertConfig, t.BertForMaskedLM, **_ENCODER),
    "roberta": _causal(t.RobertaConfig, t.RobertaForMaskedLM, **_ENCODER),
    "electra": _causal(t.ElectraConfig, t.ElectraForMaskedLM, **_ENCODER, embedding_size=16),
    "deberta": _causal(t.DebertaV2Config, t.DebertaV2ForMaskedLM, **_ENCODER, relative_attention=True, pos_att_type=["p2c", "c2p"]),
    "modernbert": _causal(t.ModernBertConfig, t.ModernBertForMaskedLM, **_ENCODER, **_MARKS),
    "distilbert": _causal(
        t.DistilBertConfig, t.DistilBertForSequenceClassification, dim=24, hidden_dim=40, n_layers=3, n_heads=3, max_position_embeddings=48
    ),
    "t5": _causal(t.T5Config, t.T5ForConditionalGeneration, **_T5),
    "t5-encoder": _causal(t.T5Config, t.T5EncoderModel, **_T5, feed_forward_proj="gated-gelu"),
}  # fmt: skip
ALL = {**CAUSAL, **ENCODERS}


def lively(network: torch.nn.Module) -> torch.nn.Module:
    """Random weights large enough, and norms and biases other enough, that no part of the network is next to nothing."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.ndim == 2:
                parameter.mul_(8)
            if "norm" in name.lower() or "ln_" in name or name.endswith("bias"):
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return network.eval()


def made(family: str, vocabulary: int) -> Any:
    torch.manual_seed(0)
    return lively(ALL[family](vocabulary))


@lru_cache
def loaded(family: str) -> TextModel:
    """A network of the family, saved with a tokenizer and loaded as a user's is."""
    tokenizer = micro.tokenizer("byte-level" if family in CAUSAL else "wordpiece")
    folder = micro.ROOT / f"family-{family}"
    made(family, tokenizer.get_vocab_size()).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    model = load_model(f"path:{folder}")
    assert isinstance(model, TextModel)
    return model
