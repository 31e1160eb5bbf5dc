"""Putting methods of this folder to small models, and a network that is linear in the embeddings of its tokens."""

from __future__ import annotations

import copy
from functools import cache, lru_cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from microtome.core.context import SilentContext
from microtome.methods.registry import get_method
from microtome.methods.text_attribution.call import Call
from microtome.methods.text_attribution.target import TextExplainParams, asked
from tests import micro
from tests.methods.lens.nets import net
from tests.reference import text_attribution as reference

PROMPT = "def add(left, right):\n    return left"
#: Six tokens of the byte-level tokenizer, five or six of the other.
SHORT = "return left + right"


class Bag(nn.Module):
    """Logits are a linear map of the sum of the embeddings of a text's tokens."""

    def __init__(self, vocabulary: int = 160, width: int = 8, classes: int = 2) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.words, self.head = nn.Embedding(vocabulary, width), nn.Linear(width, classes)

    def get_input_embeddings(self) -> nn.Module:
        return self.words

    def forward(self, input_ids: Tensor, attention_mask: Tensor, **_: Any) -> Any:
        return SimpleNamespace(logits=self.head((self.words(input_ids) * attention_mask[..., None]).sum(1)))


@lru_cache
def bag() -> Any:
    """A classifier around :class:`Bag`, with the tokens of the micro BERT."""
    model = copy.copy(micro.load_text("distilbert"))
    model.network, model.hash = Bag().requires_grad_(False).eval(), ""
    return model


def model_of(family: str) -> Any:
    return bag() if family == "bag" else net(family)


def ask(id: str, family: str, prompt: str = PROMPT, run: Any = None, **params: Any) -> dict[str, Any]:
    """Results of a method."""
    spec = get_method(id)
    return dict(spec.function(model=model_of(family), prompt=prompt, params=spec.parse(params), run=run or SilentContext()))


def values(results: dict[str, Any]) -> np.ndarray:
    """float64 [tokens]: the map."""
    return results["map"].arrays["values"][0].astype(np.float64)


def call_of(family: str, prompt: str = PROMPT, **params: Any) -> Call:
    return asked(model_of(family), prompt, TextExplainParams(**params), SilentContext())


def scores(results: dict[str, Any]) -> dict[str, Any]:
    return {s.name: s for s in results["evidence"].scores}


def game(call: Call, fill: int | None) -> reference.Value:
    """The target's number for a set of tokens: ids through the network as it is; a token that is off is ``fill``, or taken out."""
    ids, places = call.ids.tolist(), call.places.tolist()

    @cache
    def value(present: frozenset[int]) -> float:
        given = reference.with_off(ids, places, present, fill)
        at = call.at if call.at is None or call.at < 0 or fill is not None else given.index(ids[call.at])
        return float(call.target.number(reference.logits(call.model, given, at)[None], {})[0])

    return value


def token(call: Call, name: str) -> int:
    """Id of a token by its name; of the token before every text for ``begin``."""
    found = int(call.ids[0]) if name == "begin" else call.model.tokenizer.id_of(name)
    assert found is not None
    return int(found)


def default_fill(call: Call) -> int:
    """What the default fill should be for the micro tokenizers: a mask, or what stands before a text of GPT-2."""
    return token(call, "begin" if call.model.task == "causal" else "[MASK]")


def linear(call: Call, base: Tensor) -> np.ndarray:
    """What every token of a :class:`Bag` brings to the target beyond ``base`` [D] or [n, D]."""
    weights = call.model.network.head.weight.double()
    each = (call.vectors[call.places] - base).double() @ weights.T
    return call.target.number(each, {}).numpy()
