"""Parameters read as tokens: what neurons read and write, and which pairs of tokens a head ties together."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from microtome.core.context import RunContext
from microtome.methods.contract import Cost, MethodParams, method
from microtome.methods.language import text_model
from microtome.methods.lens.chosen import chosen_units
from microtome.methods.lens.pairs import strongest_pairs
from microtome.methods.lens.weights import attention_of, neuron_reads
from microtome.methods.lens.words import ReadoutKind, lens_grid, readout_by, show
from microtome.models.layers import Layer
from microtome.models.model import Model
from microtome.models.readout import Readout, head_writes, neuron_writes, refused
from microtome.models.text import TextModel
from microtome.models.text_layers import Block
from microtome.results import LensGrid, Result, Scorecard

_DRAWS = 200
_MOST = {"neurons": 64, "heads": 4}


class Params(MethodParams):
    readout: ReadoutKind = Field(
        "final norm and unembedding",
        description="How what is written is read as tokens: as the final norm passes it on, or by the unembedding alone.",
    )
    top: int = Field(10, ge=1, le=100, description="Tokens, or pairs of tokens, shown of each vector or matrix.")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Seed of the random vectors that chance is measured with.")


@method(
    "embedding-space",
    title="Embedding space",
    question="What do these parameters mean in tokens?",
    subjects=("model", "units"),
    modalities=("text",),
    returns=(LensGrid, Scorecard),
    params=Params,
    example_params=Params(top=2),
    cite="Dar, Geva, Gupta, Berant 2023, arXiv:2209.02535",
    cost=Cost(passes=2),
)
def embedding_space(*, model: Model, units: Mapping[str, Any], params: Params, run: RunContext) -> dict[str, Result]:
    """Weights of neurons or heads, multiplied by the embeddings of all tokens, so that they can be read as tokens.

    With E the embedding and U the unembedding [vocabulary, width], as the norms before and behind pass them at scale 1: a neuron reads
    token w by E_w . w_in (of each map that feeds it) and writes U_w . w_out. A head's matrices between pairs of tokens are
    W_QK = E W_Q W_K^T E^T / sqrt(each), how much a query token looks for a key token, and W_VO = E W_V W_O U^T, how much a value token
    that is attended to adds to a token's logit; biases are left out. Of the vocabulary x vocabulary entries only the largest are
    kept. A rotation by position is that of distance zero. Peakedness is by how many standard deviations the strongest token stands out
    of all tokens; chance is the same of 200 random directions. Tokens are what the bottom of the network reads: far up, a unit need not
    read the stream in these terms.

    Raises:
        InvalidInput: no language model, units that are neither neurons nor heads, or a network whose weights cannot be told apart.
    """
    reader = text_model(model, "causal", "masked")
    layer, block, indices = chosen_units(reader, units, ("neurons", "heads"), _MOST["neurons"])
    run.check()
    readout = readout_by(reader, params.readout)
    embedding = _embedding(reader)
    if layer.kind == "heads":
        chosen_units(reader, units, ("heads",), _MOST["heads"])
        return {"pairs": _pairs(reader, layer, block, indices, embedding, readout, params, run)}
    reading, writes = neuron_reads(reader, block), neuron_writes(reader, block)[indices]
    with torch.no_grad():
        sides = [f"reads ({name})" if len(reading.names) > 1 else "reads" for name in reading.names] + ["writes"]
        logits = [reading.folded(n)[indices] @ embedding.T for n in range(len(reading.maps))] + [readout.passes(writes)]
        table = torch.stack(logits, 1)
    best, sharp = table.topk(min(params.top, table.shape[2])), peakedness(table)
    rows = [f"{layer.label}/{i}" for i in indices]
    grid = lens_grid(
        reader, items=best.indices, values=best.values, cells=sharp, title=f"Neurons of {layer.label} in tokens",
        note="A cell is the deeper the more its strongest token stands out.", rows=rows, columns=sides, axes=("neuron", "side"),
        quantity="inner product with the token's embedding", cell_quantity="peakedness (standard deviations)", layer=layer.name,
        facts={"readout": params.readout},
    )  # fmt: skip
    return {"tokens": grid, "peakedness": _scorecard(rows, sides, sharp, embedding, readout, params.seed)}


def _embedding(model: TextModel) -> Tensor:
    """float32 [vocabulary, width]."""
    find = getattr(model.network, "get_input_embeddings", None)
    weight = getattr(find() if find is not None else None, "weight", None)
    width = next(x.units for x in model.layers.values() if x.kind == "residual")
    if not isinstance(weight, Tensor) or weight.ndim != 2 or weight.shape[1] != width:
        raise refused(model, "has no embedding of tokens in the space of its residual stream")
    return weight.detach().float()


def peakedness(logits: Tensor) -> Tensor:
    """[...] from [..., vocabulary]: how far the largest lies above the mean, in standard deviations."""
    return (logits.amax(-1) - logits.mean(-1)) / logits.std(-1).clamp(min=1e-30)


def _scorecard(rows: list[str], sides: list[str], sharp: Tensor, embedding: Tensor, readout: Readout, seed: int) -> Scorecard:
    random = torch.randn(_DRAWS, embedding.shape[1], generator=torch.Generator().manual_seed(seed)).to(embedding.device)
    chances = []
    for side in sides:
        drawn = peakedness(readout.passes(random) if side == "writes" else random @ embedding.T).double().cpu().numpy()
        chances.append((float(drawn.mean()), *(float(q) for q in np.quantile(drawn, [0.025, 0.975]))))
    scores = [
        Scorecard.Score(
            name=f"{row} {side}", value=float(sharp[r, s]), unit="standard deviations", chance=chances[s][0], chance_low=chances[s][1],
            chance_high=chances[s][2], draws=_DRAWS, group=side,
        )
        for r, row in enumerate(rows) for s, side in enumerate(sides)
    ]  # fmt: skip
    above = float(np.mean([(s.value or 0.0) > (s.chance_high or 0.0) for s in scores]))
    return Scorecard(
        title="How far the strongest token stands out", scores=scores, note="The chance band is that of random directions.",
        facts={"share above the chance band": above},
    )  # fmt: skip


def _pairs(
    model: TextModel, layer: Layer, block: Block, indices: list[int], embedding: Tensor, readout: Readout, params: Params, run: RunContext
) -> LensGrid:
    attention, writes = attention_of(model, block), head_writes(model, block)
    if not attention.plain:
        raise refused(model, "has a norm between its queries and keys, so that no matrix ties tokens to tokens")
    queries, keys, values = (attention.folded(m) for m in (attention.queries, attention.keys, attention.values))
    names: list[str] = []
    strengths = []
    for head in indices:
        sides = [
            (embedding @ queries[head] / math.sqrt(queries.shape[2]), embedding @ keys[head]),
            (embedding @ values[head], readout.passes(writes[head]).T),
        ]
        for left, right in sides:
            found, pairs = strongest_pairs(left, right, params.top, run)
            strengths.append(found.cpu().numpy().astype(np.float32))
            names += [f"{show(model, a)} ⟶ {show(model, b)}" for a, b in pairs.tolist()]
    stacked = np.stack(strengths).reshape(len(indices), 2, -1)
    return LensGrid(
        title=f"Pairs of tokens that heads of {layer.label} tie", note="Of all pairs, those with the largest entries.",
        rows=[f"{layer.label}/{h}" for h in indices], columns=["query ⟶ key", "value ⟶ output"], row_axis="head", column_axis="matrix",
        names=names, quantity="entry of the matrix", cell_quantity="largest entry", layer=layer.name, facts={"readout": params.readout},
        arrays={"items": np.arange(len(names), dtype=np.int32).reshape(stacked.shape), "values": stacked, "cells": stacked[..., 0].copy()},
    )  # fmt: skip
