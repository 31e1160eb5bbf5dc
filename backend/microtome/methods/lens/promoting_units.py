"""Which neurons write towards a token, of all of the model."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from microtome.core.context import RunContext
from microtome.core.errors import InvalidInput
from microtome.methods.answers import LONGEST, SPELLING, token_id
from microtome.methods.contract import Cost, MethodParams, method
from microtome.methods.language import text_model
from microtome.methods.lens.words import ReadoutKind, readout_by, show
from microtome.models.layers import Layer
from microtome.models.model import Model
from microtome.models.readout import Readout, blocks_of, neuron_writes, refused
from microtome.models.text import TextModel
from microtome.results import Column, Result, Scorecard, UnitTable

#: Tokens of the vocabulary that are worked on at a time, to bound temporary memory.
_PART = 16_384


class Params(MethodParams):
    target: str = Field(" return", min_length=1, max_length=LONGEST, description=f"Token that is written towards, {SPELLING}.")
    against: str | None = Field(
        None, min_length=1, max_length=LONGEST, description=f"Token that is written away from, {SPELLING}; nothing if empty."
    )
    side: Literal["promotes", "suppresses"] = Field("promotes", description="Neurons that write towards the token, or away from it.")
    count: int = Field(20, ge=1, le=200, description="Neurons named of each layer.")
    readout: ReadoutKind = Field(
        "final norm and unembedding",
        description="How what is written is read as tokens: as the final norm passes it on, or by the unembedding alone.",
    )


@method(
    "promoting-units",
    title="Units by what they promote",
    question="Which neurons write towards this token?",
    subjects=("model",),
    optional_subjects=("layers",),
    modalities=("text",),
    returns=(UnitTable, Scorecard),
    params=Params,
    version="2",
    example_params=Params(target="=", count=3),
    interactive=True,
    cite="Geva, Caciularu, Wang, Goldberg 2022, arXiv:2203.14680; Dar, Geva, Gupta, Berant 2023, arXiv:2209.02535",
    cost=Cost(passes=4),
)
def promoting_units(*, model: Model, layers: list[str] | None = None, params: Params, run: RunContext) -> dict[str, Result]:
    """Neurons of all blocks in the order of what they write towards a token, from the weights alone.

    A neuron that writes v into the residual stream at activation 1 adds U_w . v to the logit of token w, with U as the final norm passes it
    on at scale 1. Since the same added to all logits changes no probability, neurons are put in order by how far that lies above the mean
    over the vocabulary, in standard deviations over the vocabulary (of the difference of the two tokens' logits where there is a second
    one: divided by the same). By lot it is 0 with standard deviation 1. The rank is the token's among all that the neuron writes towards,
    1 for the first. A neuron whose activation is negative does the opposite; how it acts through later parts is not in it.

    Raises:
        InvalidInput: no language model, none with such a readout or without neurons; no such token; layers that hold no neurons.
    """
    reader = text_model(model, "causal", "masked")
    readout = readout_by(reader, params.readout)
    token = token_id(reader, params.target, "params.target")
    against = None if params.against is None else token_id(reader, params.against, "params.against")
    chosen = _layers(reader, layers)
    run.check()
    centre, spread = _moments(readout, run)
    sign = 1.0 if params.side == "promotes" else -1.0
    reads, _ = readout.direction([token] if against is None else [token, against], [1.0] if against is None else [1.0, -1.0])
    name = f"'{show(reader, token)}'" + ("" if against is None else f" rather than '{show(reader, against)}'")
    tables: dict[str, Result] = {}
    best: list[tuple[float, str]] = []
    for number, layer in enumerate(chosen):
        run.check()
        writes = neuron_writes(reader, next(b for b in blocks_of(reader) if f"{b.path}.neurons" == layer.name))
        away = (readout.norm.passes(writes) if readout.norm else writes).double()
        # Mean and spread over the vocabulary follow from those of the unembedding: no table of neurons by tokens is made.
        middle, deviation = away @ centre, ((away @ spread) * away).sum(-1).clamp(min=1e-30).sqrt()
        logit = (writes @ reads).double()
        stands = (logit - (middle if against is None else 0.0)) / deviation
        order = (sign * stands).argsort(descending=True, stable=True)[: params.count]
        rank = _rank(readout, writes[order], token, sign)
        tables[layer.label] = UnitTable.of(
            title=f"Neurons of {layer.label} that {params.side[:-1]} {name}", layer=layer.name,
            units=order.cpu().numpy().astype(np.int32),
            columns=[
                Column("stands", "Above the vocabulary", "number", stands[order].cpu().numpy(), unit="standard deviations"),
                Column("logit", "Logit at activation 1", "number", logit[order].cpu().numpy()),
                Column("rank", "Rank of the token", "integer", rank.cpu().numpy()),
            ],
        )  # fmt: skip
        best += [(float(stands[u]), f"{layer.label}/{u}") for u in order.tolist()]
        run.progress(number + 1, len(chosen), "layers")
    best.sort(key=lambda row: -sign * row[0])
    return {
        "best": Scorecard(
            title=f"Neurons that {params.side[:-1]} {name}", note="Chance: 0, with standard deviation 1 over tokens.",
            scores=[
                Scorecard.Score(name=unit, value=value, unit="deviations", chance=0.0, group="")
                for value, unit in best[: params.count]
            ],
            facts={"token": show(reader, token), "neurons": sum(x.units for x in chosen), "vocabulary": len(readout.unembedding)},
        )
    } | tables  # fmt: skip


def _layers(model: TextModel, names: list[str] | None) -> list[Layer]:
    found = [x for x in model.layers.values() if x.kind == "neurons"]
    if not found:
        raise refused(model, "has no neurons that can be told apart")
    if names:
        asked = {model.layer(n).name for n in names}
        chosen = [x for x in found if x.name in asked]
        if not chosen:
            raise InvalidInput(f"None of {', '.join(sorted(asked))[:200]} holds neurons.", field="layers")
        return chosen
    return found


def _moments(readout: Readout, run: RunContext) -> tuple[Tensor, Tensor]:
    """Mean float64 [width] and covariance [width, width] of the rows of the unembedding."""
    rows, width = readout.unembedding.shape
    total = torch.zeros(width, dtype=torch.float64, device=readout.unembedding.device)
    for part in readout.unembedding.split(_PART):
        total += part.double().sum(0)
    centre = total / rows
    spread = torch.zeros(width, width, dtype=torch.float64, device=total.device)
    for part in readout.unembedding.split(_PART):
        run.check()
        away = part.double() - centre
        spread += away.T @ away
    return centre, spread / rows


def _rank(readout: Readout, writes: Tensor, token: int, sign: float) -> Tensor:
    """int64 [neurons]: 1 for a neuron that moves no other token further."""
    logits = sign * readout.passes(writes)
    return (logits > logits[:, token : token + 1]).sum(-1) + 1
