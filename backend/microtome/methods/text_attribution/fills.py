"""What stands for 'no word here': a token of the model's own, a vector, or nothing at all."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from microtome.core.errors import InvalidInput
from microtome.methods.attribution.explain import portions
from microtome.methods.text_attribution.call import Fill, embedding_of, embeddings
from microtome.models.text import TextModel

Vector = Literal["default", "mask", "unknown", "pad", "begin", "zero", "mean"]
FillKind = Literal["default", "mask", "unknown", "pad", "begin", "zero", "mean", "removed"]
#: Said in the descriptions of parameters.
DEFAULT = "the default is the first of mask token, unknown token and begin token that the model has, else the mean of its vocabulary"
_NAMES = {"mask": ("[MASK]", "<mask>"), "unknown": ("[UNK]", "<unk>"), "pad": ("[PAD]", "<pad>")}
_VOCABULARY = 4096


def token_for(model: TextModel, kind: str) -> int | None:
    """Id of the model's token of a kind, if it has one."""
    for name in _NAMES.get(kind, ()):
        found = model.tokenizer.id_of(name)
        if found is not None:
            return found
    configured = model.config.get({"pad": "pad_token_id", "mask": "mask_token_id"}.get(kind, ""))
    if isinstance(configured, int) and configured >= 0:
        return configured
    if kind == "begin" and model.special:
        return int(model.tokenizer.encode("a").ids[0])
    return None


def mean_embedding(model: TextModel) -> Tensor:
    """float32 [D]: mean over the vocabulary."""
    weight = embedding_of(model).weight
    assert isinstance(weight, Tensor)
    total = torch.zeros(1, dtype=torch.float64, device=weight.device)
    for start, end in portions(len(weight), _VOCABULARY):
        total = total + embeddings(model, torch.arange(start, end, device=weight.device)).double().sum(0)
    return (total / len(weight)).float()


def fill_of(model: TextModel, kind: FillKind, field: str = "params.fill") -> Fill:
    """
    Raises:
        InvalidInput: of ``field``; the model has no such token.
    """
    if kind == "removed":
        return Fill("nothing: the token is taken out", None)
    if kind == "default":
        kind = next((k for k in ("mask", "unknown", "begin") if token_for(model, k) is not None), "mean")  # type: ignore[assignment]
    if kind == "mean":
        return Fill("mean embedding of the vocabulary", mean_embedding(model))
    if kind == "zero":
        mean = embeddings(model, torch.zeros(1, dtype=torch.long, device=model.device))[0]
        return Fill("embedding of zeros", torch.zeros_like(mean))
    id = token_for(model, kind)
    if id is None:
        have = [k for k in ("mask", "unknown", "pad", "begin") if token_for(model, k) is not None]
        raise InvalidInput(f"{model.source} has no {kind} token. Choose {', '.join([*have, 'zero', 'mean'])}, or the default.", field=field)
    return Fill(f"{kind} token {model.tokenizer.text_of(id)}", embeddings(model, torch.tensor(id, device=model.device)))
