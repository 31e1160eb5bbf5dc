"""Models that read: causal and masked language models, encoders and classifiers of text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import nn

from microtome.core.errors import InvalidInput
from microtome.models.layers import Layer, first_tensor
from microtome.models.model import Model
from microtome.models.text_layers import Block, find_text_layers
from microtome.models.tokens import TextTokenizer

Task = Literal["causal", "masked", "classify", "encode"]
#: Tokens of a text that are read at most; a constant, since an answer must not depend on a setting.
WINDOW = 512
#: Stands where a text has no token; never an id.
PAD = -1


class TextModel(Model):
    """The one adapter for all families of transformers, and for whatever else maps ids [B, T] to vectors.

    Inputs are int64 [B, T], filled up with PAD at the end.

    Attributes:
        task: what the logits are about: the next token, the token in a place, the whole text, or nothing (an encoder has none).
        tokenizer: with the window of the model.
        blocks: the paths of every block's parts.
        heads: attention heads of a block; 0 for a model without.
    """

    modality = "text"

    def __init__(
        self,
        *,
        source: str,
        network: nn.Module,
        tokenizer: TextTokenizer,
        task: Task,
        classes: Sequence[str],
        family: str,
        hash: str,
        bytes: int,
        config: Mapping[str, Any],
        card: str | None = None,
        device: str = "cpu",
    ) -> None:
        super().__init__(
            source=source, network=network, classes=classes, family=family, hash=hash, bytes=bytes, config=config, card=card, device=device
        )
        self.tokenizer, self.task = tokenizer, task
        self.heads = heads_of(self.config)
        # What comes before a text is the same for every text.
        self.special = tokenizer.encode("a").first
        found: list[Layer]
        self.blocks: list[Block]
        if hasattr(network, "find_layers"):
            found, self.blocks = network.find_layers(self.special, tokenizer.window), []  # type: ignore[operator]
        else:
            at = (self.heads, self.special, tokenizer.window)
            found, self.blocks = find_text_layers(self.network, self.forward, self.sample(2), *at)
        self.layers = {layer.name: layer for layer in found}
        self.forward_passes = 0
        if not self.layers:
            raise InvalidInput(f"{source} has no repeated blocks of weighted modules, so there is nothing to look into.", field="source")

    def inputs(self, texts: Sequence[str]) -> torch.Tensor:
        """int64 [B, T] on the model's device; T is the longest text's."""
        return self.batch([torch.from_numpy(self.tokenizer.encode(text).ids) for text in texts]).to(self.device)

    @staticmethod
    def batch(ids: Sequence[torch.Tensor]) -> torch.Tensor:
        """Ids of several texts as one tensor."""
        return nn.utils.rnn.pad_sequence(list(ids), batch_first=True, padding_value=PAD)

    def output(self, inputs: torch.Tensor, network: nn.Module | None = None, **more: Any) -> Any:
        """Whatever the network, or a part of it that takes the same, returns for inputs [B, T]."""
        self.forward_passes += inputs.shape[0]
        self._texts = inputs.shape[0]
        there = inputs != PAD
        if self.task == "causal":
            more = {"use_cache": False, **more}
        return (network or self.network)(input_ids=inputs.clamp(min=0), attention_mask=there.long(), **more)

    def _hook(self, layer: Layer, act: Callable[[Any], Any]) -> Any:
        """Text by text also where the network lays the tokens of all texts in a row (OPT, before its feed-forward)."""

        def by_text(value: Any) -> Any:
            tensor = first_tensor(value)
            if tensor is None or tensor.ndim != 2:
                return act(value)
            made = act(tensor.unflatten(0, (self._texts, -1)))
            return None if made is None else made.flatten(0, 1)

        return super()._hook(layer, by_text)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Logits [B, T, vocabulary] of a language model, [B, classes] of a classifier, hidden states [B, T, D] of an encoder."""
        found = self.output(inputs)
        logits = getattr(found, "logits", None)
        answer = logits if isinstance(logits, torch.Tensor) else first_tensor(found)
        assert answer is not None
        return answer

    def through(self, inputs: torch.Tensor) -> None:
        """Run all layers; the map to the vocabulary, often the largest of all, stays out."""
        self.output(inputs, getattr(self.network, "base_model", None))

    def sample(self, batch: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(0)
        length = min(self.tokenizer.window, 128)
        return torch.randint(min(self.tokenizer.vocabulary, 256), (batch, length), generator=generator).to(self.device)

    def describe(self) -> dict[str, Any]:
        return super().describe() | {
            "input": [self.tokenizer.window],
            "task": self.task,
            "vocabulary": self.tokenizer.vocabulary,
            "begin": self.tokenizer.begin,
        }


def heads_of(config: Mapping[str, Any]) -> int:
    """Attention heads of a block, under whatever name the configuration has them."""
    for name in ("num_attention_heads", "n_head", "n_heads", "num_heads"):
        if isinstance(config.get(name), int):
            return int(config[name])
    return 0


def window_of(config: Mapping[str, Any]) -> int:
    """Tokens of a text that are read: what the model has positions for, and at most WINDOW."""
    for name in ("n_positions", "max_position_embeddings", "n_ctx", "seq_length"):
        if isinstance(config.get(name), int) and config[name] > 0:
            # RoBERTa counts its positions from behind the padding token.
            return min(WINDOW, int(config[name]) - (2 if config.get("model_type") in ("roberta", "xlm-roberta", "camembert") else 0))
    return WINDOW
