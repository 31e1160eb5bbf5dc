"""Which parts of the model speak for a token, and which against it."""

from __future__ import annotations

import numpy as np
from pydantic import Field
from torch import Tensor

from microtome.core.context import RunContext
from microtome.methods.answers import LONGEST, PLACE, SPELLING, place_of, token_id
from microtome.methods.contract import Cost, MethodParams, method
from microtome.methods.language import names_of, prompt_tokens, text_model
from microtome.methods.lens.contributions import Contributions, contributions
from microtome.methods.lens.words import show, target_of
from microtome.models.model import Model
from microtome.models.readout import blocks_of
from microtome.models.text import TextModel
from microtome.results import Matrix, Result, Scorecard


class Params(MethodParams):
    target: str | None = Field(
        None, min_length=1, max_length=LONGEST, description=f"Token whose logit is taken apart, {SPELLING}; the model's answer if empty."
    )
    against: str | None = Field(
        None, min_length=1, max_length=LONGEST, description=f"Token whose logit is taken off, {SPELLING}; nothing if empty."
    )
    position: int = Field(-1, ge=-512, le=511, description=f"{PLACE}. Its logits are taken apart.")
    neurons: int = Field(20, ge=1, le=200, description="Neurons listed, those that add or take away most.")


@method(
    "direct-logit-attribution",
    title="Direct logit attribution",
    question="Which heads and neurons speak for this token?",
    subjects=("model", "prompt"),
    modalities=("text",),
    returns=(Matrix, Scorecard),
    params=Params,
    example_params=Params(neurons=3),
    interactive=True,
    cite="Elhage et al. 2021, 'A Mathematical Framework for Transformer Circuits'; nostalgebraist 2020",
    cost=Cost(passes=3),
)
def direct_logit_attribution(*, model: Model, prompt: str, params: Params, run: RunContext) -> dict[str, Result]:
    """What embedding, every attention head, every neuron and the biases write straight into the logit of a token.

    The residual stream is a sum of what the parts write, and the logit reads it along one direction once the final norm is held at the
    scale s that it has here: logit = sum over parts c of s * c . away(gain * U_target) + U_target . shift + b_target, with U the
    unembedding [vocabulary, width] and ``away`` taking the mean off where the norm does. The sum is compared with the model's logit, and
    the gap is shown. It is a direct effect only: what a part does through later parts counts for those, and a part that makes the norm
    larger lowers every logit without being seen here.

    Raises:
        InvalidInput: the model does not predict the next token, or its logits are no sum of what parts write; no such place or token.
    """
    reader = text_model(model, "causal")
    tokens = prompt_tokens(reader, prompt)
    place = place_of(tokens, params.position)
    target = target_of(reader, tokens, place, params.target)
    against = None if params.against is None else token_id(reader, params.against, "params.against")
    answers, weights = ([target], [1.0]) if against is None else ([target, against], [1.0, -1.0])
    found = contributions(reader, tokens, place, answers, weights, run)
    name = f"'{show(reader, target)}'" + ("" if against is None else f" - '{show(reader, against)}'")
    facts: dict[str, str | int | float | bool | None] = {
        "target": name, "place": place, "token": names_of(reader, tokens)[place], "logit": found.logit, "total": found.total,
        "gap": found.gap, "scale of the final norm": found.scale,
    }  # fmt: skip
    return {
        "heads": heads_matrix(reader, found.heads, f"What heads add to the logit of {name}"),
        "parts": Scorecard(
            title=f"What parts add to the logit of {name}", scores=parts_of(reader, found), facts=facts,
            note="The parts add up to the total; the gap is what the model's own logit is beside it.",
        ),
        "neurons": Scorecard(
            title=f"Neurons that add most to the logit of {name}", scores=strongest_neurons(reader, found, params.neurons), facts=facts,
            note="Named by layer and index; of either sign, largest first.",
        ),
    }  # fmt: skip


def heads_matrix(model: TextModel, heads: Tensor, title: str, note: str = "") -> Matrix:
    """Of logits float32 [blocks, heads]."""
    return Matrix(
        title=title, note=note or f"All heads together add {float(heads.sum()):.4g}.",
        rows=[model.layers[b.path].label for b in blocks_of(model)], columns=[f"head {h}" for h in range(model.heads)], row_axis="layer",
        column_axis="head", quantity="logit", arrays={"values": heads.cpu().numpy().astype(np.float32)},
    )  # fmt: skip


def parts_of(model: TextModel, found: Contributions) -> list[Scorecard.Score]:
    """Rows in the order of the network, and then what they add up to."""

    def score(name: str, value: float, group: str) -> Scorecard.Score:
        return Scorecard.Score(name=name, value=value, unit="logit", group=group)

    scores = [score("embeddings", found.embeddings, "parts")]
    for number, block in enumerate(blocks_of(model)):
        label = model.layers[block.path].label
        scores += [
            score(f"{label} heads", float(found.heads[number].double().sum()), "parts"),
            score(f"{label} neurons", float(found.neurons[number].double().sum()), "parts"),
            score(f"{label} biases", float(found.attention_bias[number] + found.feed_forward_bias[number]), "parts"),
        ]
    scores += [score("final biases", found.constant, "parts"), score("total", found.total, "check")]
    return [*scores, score("logit of the model", found.logit, "check"), score("gap", found.gap, "check")]


def strongest_neurons(model: TextModel, found: Contributions, count: int) -> list[Scorecard.Score]:
    flat = found.neurons.flatten()
    order = flat.abs().topk(min(count, len(flat))).indices.tolist()
    width = found.neurons.shape[1]
    labels = [model.layers[f"{b.path}.neurons"].label for b in blocks_of(model)]
    return [
        Scorecard.Score(name=f"{labels[i // width]}/{i % width}", value=float(flat[i]), unit="logit", group=labels[i // width])
        for i in order
    ]
