"""Which of some texts mean what another one says, by a model that encodes texts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor

from microtome.core.context import RunContext
from microtome.core.errors import InvalidInput
from microtome.methods.contract import Cost, MethodParams, method
from microtome.methods.language import inputs_of, text_model
from microtome.models.model import Model
from microtome.models.text import PAD, TextModel
from microtome.results import Result, Scorecard

#: Texts encoded at a time; characters of one.
_BATCH, _LONGEST = 32, 500


class Params(MethodParams):
    query: str = Field("a name", min_length=1, max_length=_LONGEST, description="What is looked for, in words.")
    texts: list[str] = Field(
        default=["identifier", "number", "line break"],
        min_length=2,
        max_length=5000,
        description="Texts to put in order, as labels of units.",
    )
    count: int = Field(20, ge=1, le=200, description="Texts shown.")


@method(
    "text-similarity",
    title="Texts of like meaning",
    question="Which of these texts mean what this one says?",
    subjects=("model",),
    modalities=("text",),
    returns=(Scorecard,),
    params=Params,
    interactive=True,
    cite="mean pooling and cosine as in Reimers, Gurevych 2019, arXiv:1908.10084",
    cost=Cost(passes=10),
)
def text_similarity(*, model: Model, params: Params, run: RunContext) -> dict[str, Result]:
    """Texts in the order of the cosine between their mean last states and the query's.

    A text is the mean of the last hidden states of all its tokens, special ones included, as sentence encoders with mean pooling have it.
    Chance is the mean cosine between two of the texts: models that were not trained for it give any two texts much the same
    direction, and then the order says little. Search by meaning puts labels and concepts in order with it.

    Raises:
        InvalidInput: the model is no encoder, or a text is empty or too long for it (``params.query``, ``params.texts``).
    """
    run.check()
    reader = text_model(model, "encode")
    texts = list(dict.fromkeys(params.texts))
    if len(texts) < 2:
        raise InvalidInput("Give two different texts at least.", field="params.texts")
    query = _encoded(reader, [params.query], "params.query", run)
    there = _encoded(reader, texts, "params.texts", run)
    cosine = (there @ query.T)[:, 0]
    pairs = there @ there.T
    chance = float((pairs.sum() - pairs.diagonal().sum()) / (len(texts) * (len(texts) - 1)))
    order = cosine.argsort(descending=True, stable=True)[: params.count].tolist()
    return {
        "order": Scorecard(
            title=f"Texts like '{params.query[:80]}'", note="Chance: mean cosine between two of the texts.",
            scores=[Scorecard.Score(name=texts[i][:200], value=float(cosine[i]), unit="cosine", chance=chance, group="") for i in order],
            facts={"texts": len(texts)},
        )
    }  # fmt: skip


@torch.no_grad()
def _encoded(model: TextModel, texts: Sequence[str], field: str, run: RunContext) -> Tensor:
    """float64 [texts, width] of length 1, on the CPU."""
    tokens = []
    for text in texts:
        found = model.tokenizer.encode(text)
        if len(text) > _LONGEST or found.left_out or found.last == found.first:
            raise InvalidInput(f"'{text[:60]}' is empty, or longer than {_LONGEST} characters or than the model reads.", field=field)
        tokens.append(found)
    out = []
    for start in range(0, len(tokens), _BATCH):
        run.check()
        inputs = inputs_of(model, tokens[start : start + _BATCH])
        there = (inputs != PAD)[..., None]
        states = model.forward(inputs).double()
        out.append(torch.nn.functional.normalize((states * there).sum(1) / there.sum(1), dim=-1).cpu())
        run.progress(min(start + _BATCH, len(tokens)), len(tokens), "texts")
    return torch.cat(out)
