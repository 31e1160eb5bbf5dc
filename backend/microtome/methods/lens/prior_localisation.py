"""Where one answer overtakes another: along the layers, and by which heads and neurons."""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from microtome.core.context import RunContext
from microtome.core.errors import InvalidInput
from microtome.methods.answers import LONGEST, PLACE, SPELLING, place_of, token_id
from microtome.methods.contract import Cost, MethodParams, method
from microtome.methods.language import names_of, prompt_tokens, text_model
from microtome.methods.lens.contributions import Contributions, contributions
from microtome.methods.lens.curves import curves
from microtome.methods.lens.direct_logit_attribution import heads_matrix
from microtome.methods.lens.words import likeliest, residual_layers, residuals, show
from microtome.models.model import Model
from microtome.models.readout import Tail, blocks_of
from microtome.models.text import TextModel
from microtome.models.tokens import Tokens
from microtome.results import Curves, Matrix, Result


class Params(MethodParams):
    answer: str | None = Field(None, min_length=1, max_length=LONGEST, description=f"First answer, {SPELLING}; the model's own if empty.")
    other: str | None = Field(
        None, min_length=1, max_length=LONGEST, description=f"Second answer, {SPELLING}; the likeliest that is not the first if empty."
    )
    baseline: str | None = Field(
        None,
        min_length=1,
        max_length=20_000,
        description="A neutral prompt, after whose last token the same answers are followed; none if empty.",
    )
    position: int = Field(-1, ge=-512, le=511, description=f"{PLACE}. The answers are followed here in the prompt.")


@method(
    "prior-localisation",
    title="Prior localisation",
    question="Where does the model prefer one answer to the other, and was that so before the prompt said anything?",
    subjects=("model", "prompt"),
    modalities=("text",),
    returns=(Curves, Matrix),
    params=Params,
    example_params=Params(baseline="a = b"),
    interactive=True,
    cite="Wang, Variengien, Conmy, Shlegeris, Steinhardt 2023, arXiv:2211.00593; nostalgebraist 2020",
    cost=Cost(passes=6),
)
def prior_localisation(*, model: Model, prompt: str, params: Params, run: RunContext) -> dict[str, Result]:
    """The difference of two answers' logits through the layers, for a prompt and for a neutral one, and which parts make it.

    At layer l the difference is that of the logits that the final norm and the unembedding make of the residual stream there; at the last
    layer it is the model's own. Heads and feed-forward layers are credited with what they write into the difference at the scale that the
    final norm has at the end (see ``direct-logit-attribution``), so that their sums and the curve agree at the last layer only. A
    difference that stands under the neutral prompt already is a prior of the model; what the prompt adds to it is shown apart.

    Raises:
        InvalidInput: the model does not predict the next token, or its logits are no sum of what parts write; two answers that are one;
            no such place or token.
    """
    reader = text_model(model, "causal")
    tokens = prompt_tokens(reader, prompt)
    place = place_of(tokens, params.position)
    neutral = None if params.baseline is None else prompt_tokens(reader, params.baseline, "params.baseline")
    answer, other = _answers(reader, tokens, place, params)
    name = f"'{show(reader, answer)}' - '{show(reader, other)}'"
    asked = {f"after '{names_of(reader, tokens)[place]}'": (tokens, place)}
    if neutral is not None:
        asked["after the neutral prompt"] = (neutral, len(neutral) - 1)
    lines, parts = {}, []
    for words, (text, at) in asked.items():
        run.check()
        lines[words] = _difference(reader, text, at, answer, other)
        parts.append(contributions(reader, text, at, [answer, other], [1.0, -1.0], run))
    if neutral is not None:
        first, second = lines.values()
        lines["what the prompt adds"] = first - second
    results: dict[str, Result] = {
        "difference": curves(f"Logit of {name} through the layers", residual_layers(reader), "difference of logits", lines),
        "layers": _by_layer(reader, name, parts[0]),
        "heads": heads_matrix(reader, parts[0].heads, f"What heads add to {name}"),
    }
    if neutral is not None:
        heads = parts[0].heads - parts[1].heads
        results["heads beside the neutral prompt"] = heads_matrix(
            reader, heads, f"What heads add to {name}, beside the neutral prompt", note="Prompt less neutral prompt."
        )
    return results


def _answers(model: TextModel, tokens: Tokens, place: int, params: Params) -> tuple[int, int]:
    given = [None if t is None else token_id(model, t, f"params.{n}") for n, t in (("answer", params.answer), ("other", params.other))]
    if None not in given and given[0] == given[1]:
        raise InvalidInput(f"Both answers are the token '{show(model, int(given[0] or 0))}'; name two.", field="params.other")
    own = likeliest(model, tokens, place, 3)
    answer = given[0] if given[0] is not None else next(t for t in own if t != given[1])
    return answer, given[1] if given[1] is not None else next(t for t in own if t != answer)


@torch.no_grad()
def _difference(model: TextModel, tokens: Tokens, place: int, answer: int, other: int) -> Tensor:
    """float32 [layers]."""
    stream = residuals(model, tokens)[:, place]
    logits = Tail(model, len(stream))(stream)
    return logits[:, answer] - logits[:, other]


def _by_layer(model: TextModel, name: str, found: Contributions) -> Curves:
    return Curves(
        title=f"What every block adds to {name}", series=["heads", "neurons"], x_axis="block", y_axis="difference of logits",
        note=f"Embeddings add {found.embeddings:.4g}, biases "
        f"{found.constant + float(found.attention_bias.sum() + found.feed_forward_bias.sum()):.4g}; all of it is {found.total:.4g}.",
        arrays={
            "x": np.arange(len(blocks_of(model)), dtype=np.float32),
            "y": torch.stack([found.heads.sum(1), found.neurons.sum(1)]).cpu().numpy().astype(np.float32),
        },
    )  # fmt: skip
