"""Small random language models of architectures that lay out their weights in different ways."""

from __future__ import annotations

from functools import lru_cache

import torch

from microtome.models import load_model
from microtome.models.text import TextModel
from microtome.models.tokens import TextTokenizer
from tests import families, micro

PROMPT = "def add(left, right):\n    return left"


@lru_cache
def net(family: str) -> TextModel:
    """A random network of an architecture; those of the micro models are made anew, since their weights are changed."""
    if family in micro.TEXT_FAMILIES:
        model = load_model(f"path:{micro.text_folder(family)}")
        assert isinstance(model, TextModel)
        families.lively(model.network)
        return model
    network = families.made(family, 320)
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
