"""Loading models that read: which class of transformers a folder asks for, its tokenizer and its window."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from torch import nn

from microtome.core.errors import InvalidInput
from microtome.models.builtin.networks import is_own
from microtome.models.text import Task, TextModel, window_of
from microtome.models.tokens import TextTokenizer, tokenizer_text
from microtome.models.weights import builtin_network, pretrained

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json", "tokenizer.model", "spiece.model")
#: End of an architecture's name -> what it does, and the class of transformers that makes it.
_TASKS: tuple[tuple[str, Task, str, str], ...] = (
    ("ForSequenceClassification", "classify", "AutoModelForSequenceClassification", "a classifier of texts"),
    ("ForMaskedLM", "masked", "AutoModelForMaskedLM", "a masked language model"),
    ("ForCausalLM", "causal", "AutoModelForCausalLM", "a causal language model"),
    ("LMHeadModel", "causal", "AutoModelForCausalLM", "a causal language model"),
    ("ForConditionalGeneration", "encode", "T5EncoderModel", "an encoder of texts"),
    ("EncoderModel", "encode", "T5EncoderModel", "an encoder of texts"),
    ("Model", "encode", "AutoModel", "an encoder of texts"),
)


def reads_text(folder: Path, config: Any) -> bool:
    """Whether a folder holds a model of texts: it has a tokenizer, and its architecture is not one of images."""
    architecture = (getattr(config, "architectures", None) or [""])[0]
    if "ForImage" in architecture:
        return False
    return any((folder / name).exists() for name in _TOKENIZER_FILES) or hasattr(config, "vocab_size")


def text_model(folder: Path, config: Any, *, builtin: bool, classes: Sequence[str], common: dict[str, Any]) -> TextModel:
    """The model of a folder.

    Raises:
        InvalidInput: an architecture that is not known, or no tokenizer.
    """
    architecture = str((getattr(config, "architectures", None) or [""])[0])
    found = next((row for row in _TASKS if architecture.endswith(row[0])), None)
    if builtin or is_own(config):
        task: Task = "causal"
        network = _shipped(folder, config)
    elif found is None:
        raise InvalidInput(
            f"'{folder}' has the architecture '{architecture[:80]}', which is neither a language model, nor an encoder, nor a classifier "
            "of texts or images that is known.",
            field="source",
        )
    else:
        import transformers

        task = found[1]
        network = pretrained(folder, getattr(transformers, found[2]), found[3], optional="pooler." if task == "encode" else "")
    known = common["config"]
    begin = known.get("bos_token_id") if task == "causal" else None
    # Configurations may name a token of another vocabulary, the default of their family.
    there = isinstance(begin, int) and 0 <= begin < int(known.get("vocab_size", begin + 1))
    tokenizer = TextTokenizer(_tokenizer(folder), window_of(known), begin if there else None)
    if tokenizer.vocabulary > int(known.get("vocab_size", tokenizer.vocabulary)):
        raise InvalidInput(
            f"The tokenizer in '{folder}' has {tokenizer.vocabulary:,} tokens, the model only {known['vocab_size']:,}; they do not belong "
            "together.",
            field="source",
        )
    return TextModel(network=network, tokenizer=tokenizer, task=task, classes=classes if task == "classify" else [], **common)


def _shipped(folder: Path, config: Any) -> nn.Module:
    """A network that ships with Microtome, or one of the same architecture that somebody else has trained."""
    try:
        return builtin_network(folder, config)
    except (OSError, RuntimeError, SafetensorError) as error:
        raise InvalidInput(f"'{folder}' has no weights that fit its config.json: {str(error)[:300]}", field="source") from None


def _tokenizer(folder: Path) -> str:
    """Text of the folder's ``tokenizer.json``, or what transformers makes of older files."""
    text = tokenizer_text(folder)
    if text is not None:
        return text
    from transformers import AutoTokenizer

    try:
        made = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        return str(made.backend_tokenizer.to_str())
    except Exception as error:
        raise InvalidInput(
            f"'{folder}' has no tokenizer that can be read ({str(error)[:200]}). Save it beside the model: "
            "tokenizer.save_pretrained(folder).",
            field="source",
        ) from None
