"""What the model would say if it had to speak after each block."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from microtome.core.context import RunContext
from microtome.methods.answers import LONGEST, PLACE, SPELLING, place_of, token_id
from microtome.methods.contract import Cost, MethodParams, method
from microtome.methods.language import names_of, prompt_tokens, text_model
from microtome.methods.lens.curves import curves
from microtome.methods.lens.words import ReadoutKind, lens_grid, residual_layers, residuals, show
from microtome.models.model import Model
from microtome.models.readout import Tail, unembedding_of
from microtome.results import Curves, LensGrid, Result


class Params(MethodParams):
    readout: ReadoutKind = Field(
        "final norm and unembedding",
        description="What stands between the residual stream and the logits: all that the model has there, or the unembedding alone.",
    )
    top: int = Field(5, ge=1, le=20, description="Tokens shown of each layer and place.")
    position: int = Field(-1, ge=-512, le=511, description=f"{PLACE}. The curves follow the answer here through the layers.")
    target: str | None = Field(
        None, min_length=1, max_length=LONGEST, description=f"Token to follow, {SPELLING}; the model's own answer if empty."
    )


@method(
    "logit-lens",
    title="Logit lens",
    question="What would the model say after each of its blocks?",
    subjects=("model", "prompt"),
    modalities=("text",),
    returns=(LensGrid, Curves),
    params=Params,
    example_params=Params(top=2),
    interactive=True,
    cite="nostalgebraist 2020, 'interpreting GPT: the logit lens', LessWrong",
    cost=Cost(passes=2),
)
def logit_lens(*, model: Model, prompt: str, params: Params, run: RunContext) -> dict[str, Result]:
    """The distribution over tokens that the end of the network makes of the residual stream before the first block and after every block.

    p(token | layer l, place t) = softmax(tail(h_l,t)), where h_l,t is the residual stream [width] and the tail is what the network runs
    behind its last block: final norm and unembedding, with whatever else it has (the transform of masked models, a bound on the logits).
    The last row is the model's own answer. Ranks count from 1, equal logits share the better rank; entropy and divergence are in nats.
    Early layers need not speak the language of the last one: an unlikely answer there does not say that the model does not have it yet.

    Raises:
        InvalidInput: no language model, a prompt without tokens or with too many, no such place or token.
    """
    reader = text_model(model, "causal", "masked")
    tokens = prompt_tokens(reader, prompt)
    place = place_of(tokens, params.position)
    wanted = None if params.target is None else token_id(reader, params.target, "params.target")
    bare = None if params.readout == "final norm and unembedding" else unembedding_of(reader)
    layers, stream, tail = residual_layers(reader), residuals(reader, tokens), Tail(reader, len(tokens))
    best, chances, entropies, here = [], [], [], []
    with torch.no_grad():
        for number, hidden in enumerate(stream):
            run.check()
            logits = tail(hidden) if bare is None else bare.passes(hidden) + bare.bias
            logs = logits.log_softmax(-1)
            top = logs.topk(min(params.top, logs.shape[-1]))
            best.append(top.indices)
            chances.append(top.values.exp())
            entropies.append(-(logs.exp() * logs).sum(-1))
            here.append(logs[place])
            run.progress(number + 1, len(stream), "layers")
        final = tail(stream[-1])[place].log_softmax(-1)
    followed = int(final.argmax()) if wanted is None else wanted
    through = torch.stack(here)
    title, name = f"after '{names_of(reader, tokens)[place]}'", show(reader, followed)
    facts = {
        "readout": params.readout, "place": place, "followed": name, "answer": show(reader, int(final.argmax())),
        "answer probability": float(final.max().exp()),
    }  # fmt: skip
    common: dict[str, Any] = {"rows": [x.label for x in layers], "columns": names_of(reader, tokens), "axes": ("layer", "token")}
    return {
        "tokens": lens_grid(
            reader, items=torch.stack(best), values=torch.stack(chances), cells=torch.stack(chances)[..., 0], title="Logit lens",
            note="What the model would say after each block; the last row is what it says.", quantity="probability",
            cell_quantity="probability of the strongest token", facts=facts, **common,
        ),
        "certainty": lens_grid(
            reader, items=torch.stack(best)[..., :1], values=torch.stack(chances)[..., :1], cells=torch.stack(entropies),
            title="Entropy of the lens", note="0 is certain; all tokens alike would be "
            f"{torch.log(torch.tensor(float(through.shape[1]))):.2f} nats.", quantity="probability", cell_quantity="entropy (nats)",
            facts=facts, **common,
        ),
        "rank": curves(f"Rank of '{name}' {title}", layers, "rank, 1 is first", {name: ranks(through, followed)}),
        "probability": curves(
            f"Probability of '{name}' {title}", layers, "probability",
            {name: through[:, followed].exp(), "strongest token": through.max(1).values.exp()},
        ),
        "divergence": curves(
            f"Distance from the answer {title}", layers, "nats",
            {"divergence of the lens from the answer": divergence(final, through), "entropy": torch.stack(entropies)[:, place]},
        ),
    }  # fmt: skip


def ranks(logs: Tensor, token: int) -> Tensor:
    """[...] from [..., vocabulary]: one more than the tokens that are strictly likelier."""
    return (logs > logs[..., token : token + 1]).sum(-1) + 1


def divergence(final: Tensor, logs: Tensor) -> Tensor:
    """Nats, [...]: Kullback-Leibler divergence of log probabilities ``logs`` [..., vocabulary] from the final ones."""
    return (final.exp() * (final - logs)).sum(-1)
