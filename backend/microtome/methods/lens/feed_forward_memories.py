"""What a neuron's value says of the next token, and which texts call it up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from pydantic import Field

from microtome.core.context import RunContext
from microtome.methods.contract import Cost, MethodParams, method
from microtome.methods.language import text_model
from microtome.methods.lens.chosen import chosen_units
from microtome.methods.lens.triggers import Triggers, texts_of, triggers
from microtome.methods.lens.words import ReadoutKind, lens_grid, readout_by, show
from microtome.models.model import Model
from microtome.models.readout import neuron_writes
from microtome.probes import TextSet
from microtome.results import LensGrid, Result, Scorecard

_MOST = 256


class Params(MethodParams):
    readout: ReadoutKind = Field(
        "final norm and unembedding",
        description="How a value is read as tokens: as the final norm passes it on, or by the unembedding alone as in the paper.",
    )
    top: int = Field(10, ge=1, le=50, description="Tokens shown of every value, promoted and suppressed.")
    triggers: int = Field(25, ge=1, le=200, description="Prefixes with the strongest activation that count as triggers of a neuron.")
    examples: int = Field(1000, ge=1, le=1_000_000, description="Texts read at most, evenly over the probe set.")


@method(
    "feed-forward-memories",
    title="Feed-forward memories",
    question="Which token does a neuron speak for, and what calls it up?",
    subjects=("model", "units"),
    optional_subjects=("probe",),
    modalities=("text",),
    returns=(LensGrid, Scorecard),
    params=Params,
    example_params=Params(top=2, triggers=3),
    cite="Geva, Schuster, Berant, Levy 2021, arXiv:2012.14913; Geva, Caciularu, Wang, Goldberg 2022, arXiv:2203.14680",
    cost=Cost(per_probe=True),
)
def feed_forward_memories(
    *, model: Model, units: Mapping[str, Any], probe: TextSet | None = None, params: Params, run: RunContext
) -> dict[str, Result]:
    """The tokens that a neuron's value vector promotes and suppresses, and the prefixes of a probe set that activate the neuron most.

    A feed-forward layer is a memory: a neuron's key is compared with the text, and its value v [width] is written by as much as it
    matches. The value speaks for token w by the logit U_w . (gain * away(v)) that it adds at activation 1 and at scale 1 of the final norm
    (gain and mean left out: ``unembedding only``). With a probe set, the agreement of a neuron is the share of its triggers
    whose next token is the one that its value promotes most; its chance level is the share of all prefixes that this token follows.
    Prefixes overlap and come from one text more than once; activations below zero call for what the value suppresses.

    Raises:
        InvalidInput: no language model, none with such a readout, units that are no neurons, a probe set without texts.
    """
    reader = text_model(model, "causal", "masked")
    layer, block, indices = chosen_units(reader, units, ("neurons",), _MOST)
    run.check()
    readout = readout_by(reader, params.readout)
    with torch.no_grad():
        logits = readout.passes(neuron_writes(reader, block)[indices])
    top = min(params.top, logits.shape[1])
    up, down = logits.topk(top), logits.topk(top, largest=False)
    rows = [f"{layer.label}/{i}" for i in indices]
    items, values = torch.stack([up.indices, down.indices], 1), torch.stack([up.values, down.values], 1)
    results: dict[str, Result] = {
        "values": lens_grid(
            reader, items=items, values=values, cells=logits.softmax(-1).gather(1, items[:, :, 0]),
            title=f"What neurons of {layer.label} write", note="A negative activation promotes what is suppressed.", rows=rows,
            columns=["promoted", "suppressed"], axes=("neuron", "direction"), quantity="logit at activation 1",
            cell_quantity="probability of the first token by this value alone", layer=layer.name, facts={"readout": params.readout},
        )
    }  # fmt: skip
    if probe is not None:
        text_model(model, "causal")
        texts = texts_of(reader, probe, params.examples)
        found = triggers(reader, layer, indices, texts, params.triggers, logits.shape[1], run)
        results["triggers"] = _grid(reader, layer.name, rows, found)
        results["agreement"] = _agreement(rows, found, [int(i) for i in up.indices[:, 0]], reader, len(texts))
    return results


def _grid(model: Any, layer: str, rows: list[str], found: Triggers) -> LensGrid:
    count = found.activations.shape[1]
    following = [[show(model, int(i)) for i in row] for row in found.following]
    names = [f"{p} ⟶ {f}" for ps, fs in zip(found.prefixes, following, strict=True) for p, f in zip(ps, fs, strict=True)]
    values = found.activations.cpu().numpy().astype(np.float32)
    return LensGrid(
        title="Prefixes that call them up", note="The end of each prefix, and the token behind it.", rows=rows,
        columns=[f"{n + 1}" for n in range(count)], row_axis="neuron", column_axis="rank", names=names, quantity="activation",
        cell_quantity="activation", layer=layer,
        arrays={"items": np.arange(len(names), dtype=np.int32).reshape(len(rows), count, 1), "values": values[:, :, None], "cells": values},
    )  # fmt: skip


def _agreement(rows: list[str], found: Triggers, tops: list[int], model: Any, texts: int) -> Scorecard:
    scores = []
    for unit, (row, token) in enumerate(zip(rows, tops, strict=True)):
        share, chance = found.agreement(unit, token)
        scores.append(
            Scorecard.Score(name=f"{row} '{show(model, token)}'", value=share, unit="share of triggers", chance=chance, group="agreement")
        )
    mean = [sum(s) / len(rows) for s in zip(*[(s.value or 0.0, s.chance or 0.0) for s in scores], strict=True)]
    scores.append(Scorecard.Score(name="mean of the neurons", value=mean[0], unit="share of triggers", chance=mean[1], group="mean"))
    return Scorecard(
        title="Does the text go on as the value says?", scores=scores,
        note="Chance is how often that token comes next anywhere in the probe set.",
        facts={"triggers": found.activations.shape[1], "texts": texts, "prefixes": int(found.next_tokens.sum())},
    )  # fmt: skip
