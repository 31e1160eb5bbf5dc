"""Turning down components of the map from the last state to the logits that two kinds of texts differ in."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import NamedTuple

import numpy as np
import torch
from pydantic import Field
from torch import nn

from microtome.core.context import RunContext
from microtome.core.errors import InvalidInput
from microtome.methods.concepts.expert_ablation import held_texts, mean_losses
from microtome.methods.concepts.labelled import labelled
from microtome.methods.concepts.prompts import Prompts
from microtome.methods.contract import Cost, method
from microtome.methods.interventions.contrast import Floats, states
from microtome.methods.interventions.writing import WritingParams, unchanged, written_under
from microtome.methods.language import text_model
from microtome.models.layers import Layer
from microtome.models.model import Model
from microtome.models.text import TextModel
from microtome.results import Generation, LensGrid, Result, Scorecard

_SHOWN, _WORDS = 20, 10
#: Texts of either kind: two to choose components on, two to try them on.
FEWEST = 4


class Params(WritingParams):
    positives: list[str] = Field(default=[], max_length=200, description="Texts of the kind that is to be turned down, 4 to 200.")
    negatives: list[str] = Field(default=[], max_length=200, description="Other texts, 4 to 200.")
    count: int = Field(8, ge=1, le=512, description="Components that are scaled: those that the two kinds differ in most.")
    factor: float = Field(0.0, ge=-4.0, le=4.0, description="What their singular values are multiplied by; 0 takes them out.")
    draws: int = Field(200, ge=0, le=2000, description="Random sets of as many components, for the chance band; 0 for none.")


class Components(NamedTuple):
    """Singular values [D] from the largest, and what each reads from the state, [D, D], one a row."""

    sizes: torch.Tensor
    reads: torch.Tensor


@method(
    "eigenshift",
    title="Components of the output map",
    question="What if the output components that carry this kind of text are turned down?",
    subjects=("model", "prompt"),
    modalities=("text",),
    returns=(Generation, LensGrid, Scorecard),
    params=Params,
    example_params=Params(
        positives=["def a(b)", "def run(x)", "def out()", "def left(a, b)"],
        negatives=["a = b", "run = x", "import out", "left = a"],
        count=2,
        max_tokens=3,
        draws=3,
    ),
    cite="Shaik, Mazhar, Srivastava, Akhtar 2025, arXiv:2509.16660",
    cost=Cost(passes=20.0, times="draws"),
)
def eigenshift(*, model: Model, prompt: str, params: Params, run: RunContext) -> dict[str, Result]:
    """The output map W = U S V^T, some of its singular values scaled, chosen by what two kinds of texts differ in; writing with it.

    Of component i a text has ``s_i v_i . h``, h the state that W reads, averaged over the tokens of the text. On half of the texts,
    components are ordered by the absolute difference of that between the two kinds, in logits. Scaling s_i by c is the same as
    ``h + (c - 1) v_i (v_i . h)`` in the place of h, so that weights which the embeddings share stay as they are.

    On the other half the scorecard holds the change of the loss on either kind, in nats per token, with the band of random components:
    what is wanted is a rise on the positive texts and none on the others. The grid names the tokens that each component speaks for and
    against. The decomposition and the scaling are those of the paper; how components are ordered is plainer than there, and made of
    texts that are given rather than written by the model and judged.

    Raises:
        InvalidInput: the model does not predict the next token, or has no output map that can be told (``model``); too few texts
            (``params.positives``, ``params.negatives``).
    """
    reading = text_model(model, "causal")
    kinds = (("params.positives", params.positives), ("params.negatives", params.negatives))
    for field, texts in kinds:
        if len(texts) < FEWEST:
            raise InvalidInput(f"Give {FEWEST} to 200 texts of either kind; there are {len(texts)}.", field=field)
    run.check()
    head, layer = output_map(reading)
    parts = components(head)
    probe = Prompts(params.positives, params.negatives)
    rows = labelled(reading, probe, "class:positive", len(probe), len(probe), params.seed)
    found = np.concatenate([states(reading, texts, layer, "mean", field, run) for field, texts in kinds])
    chosen = found[rows.text[~rows.held]] @ parts.reads.cpu().numpy().T * parts.sizes.cpu().numpy()
    has = rows.has[~rows.held]
    difference = chosen[has].mean(0) - chosen[~has].mean(0)
    order = np.argsort(-np.abs(difference), kind="stable")
    best = order[: min(params.count, len(order))]
    name = f"{len(best)} components scaled by {params.factor:g}"
    text = written_under(
        reading, prompt, {"as it is": unchanged, name: lambda: scaled(reading, layer, parts, best, params.factor)}, params, run,
        title="Writing with components of the output map scaled",
    )  # fmt: skip
    batches = held_texts(reading, probe, rows, len(probe))
    before = mean_losses(reading, batches)

    def change(which: np.ndarray) -> Floats:
        with scaled(reading, layer, parts, which, params.factor):
            return mean_losses(reading, batches) - before

    effect = change(best)
    generator = np.random.default_rng(params.seed)
    draws = params.draws if len(order) >= 2 * len(best) else 0
    random = np.empty((draws, 2))
    for draw in range(draws):
        run.check()
        random[draw] = change(generator.choice(order[len(best) :], len(best), replace=False))
        run.progress(draw + 1, draws, "random sets of components")
    scores = []
    for column, kind in enumerate(("positive texts", "negative texts")):
        band = np.quantile(random[:, column], [0.025, 0.975]) if draws else (None, None)
        scores.append(
            Scorecard.Score(
                name=f"change of the loss on {kind}", value=float(effect[column]), unit="nats per token",
                chance=float(random[:, column].mean()) if draws else None, chance_low=band[0], chance_high=band[1], draws=draws or None,
            )
        )  # fmt: skip
    return {
        "text": text,
        "components": _grid(reading, head, parts, best[:_SHOWN], difference),
        "effect": Scorecard(
            title=f"Effect of {name}",
            note=f"On the half of the texts that chose nothing. Chance band: {draws} random sets of as many other components, "
            "central 95 %.",
            scores=scores,
            facts={
                "components": len(order), "scaled": len(best), "factor": params.factor, "before_positive": float(before[0]),
                "before_negative": float(before[1]), "texts": int(rows.held.sum()), "draws": draws,
            },
        ),
    }  # fmt: skip


def output_map(model: TextModel) -> tuple[torch.Tensor, Layer]:
    """Weights [vocabulary, D] of the map from states to logits, and the layer of the states that it reads.

    Raises:
        InvalidInput: of the field ``model``, which does not say.
    """
    find = getattr(model.network, "get_output_embeddings", None)
    head = find() if find is not None else None
    name = next((n for n, m in model.network.named_modules() if m is head), "")
    if not isinstance(head, nn.Linear) or not name:
        raise InvalidInput(f"{model.source} does not say which map makes its logits.", field="model")
    units = head.weight.shape[1]
    at = (f"{name}.input", "output state", "state", units, 1, model.tokenizer.window)
    return head.weight, Layer(*at, "sequence", model.special, False, len(model.layers), 0, name, "input")


def components(weights: torch.Tensor) -> Components:
    """The right half of the singular value decomposition, in double precision, from the D x D products of columns."""
    sizes, reads = torch.linalg.eigh(weights.double().T @ weights.double())
    return Components(sizes.flip(0).clamp(min=0).sqrt(), reads.T.flip(0))


def scaled(
    model: TextModel, layer: Layer, parts: Components, which: np.ndarray, factor: float
) -> AbstractContextManager[None]:  # fmt: skip
    """Singular values of some components multiplied by ``factor``, for the passes made inside."""
    reads = parts.reads[torch.from_numpy(np.asarray(which, np.int64)).to(parts.reads.device)]

    def change(states: torch.Tensor) -> torch.Tensor:
        wide = states.double()
        return (wide + (factor - 1) * (wide @ reads.T) @ reads).to(states)

    return model.changed(layer, change)


def _grid(model: TextModel, head: torch.Tensor, parts: Components, which: np.ndarray, difference: Floats) -> LensGrid:
    """Tokens whose logits rise and fall most with what the positive texts have more of."""
    items, values = [], []
    for i in which:
        writes = head.double() @ parts.reads[int(i)] * float(np.sign(difference[i]) or 1.0)
        for sign in (1, -1):
            top = (sign * writes).topk(min(_WORDS, len(writes)))
            items.append(top.indices.cpu().numpy())
            values.append(sign * top.values.cpu().numpy())
    used, places = np.unique(np.stack(items), return_inverse=True)
    shape = (len(which), 2, len(items[0]))
    return LensGrid(
        title="Tokens of the components",
        note="Of the side of each component that the positive texts lie on more. Cells: difference between the kinds of texts.",
        rows=[f"component {i}" for i in which], columns=["speaks for", "speaks against"], row_axis="component", column_axis="end",
        names=[model.tokenizer.text_of(int(i)) for i in used], quantity="logits per unit of the component",
        cell_quantity="difference of the two kinds, in logits",
        arrays={
            "items": places.reshape(shape).astype(np.int32), "values": np.stack(values).reshape(shape).astype(np.float32),
            "cells": np.repeat(difference[which][:, None], 2, axis=1).astype(np.float32),
        },
    )  # fmt: skip
