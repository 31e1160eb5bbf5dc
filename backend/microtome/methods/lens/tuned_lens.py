"""A logit lens that first learns the language of every layer."""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from microtome.core.context import RunContext
from microtome.core.errors import InvalidInput
from microtome.methods.contract import Cost, MethodParams, method
from microtome.methods.language import names_of, prompt_tokens, text_model
from microtome.methods.lens.curves import curves
from microtome.methods.lens.translators import divergences, stream_of, train
from microtome.methods.lens.triggers import texts_of
from microtome.methods.lens.words import lens_grid, residual_layers, residuals
from microtome.models.layers import Layer
from microtome.models.model import Model
from microtome.models.readout import Tail
from microtome.probes import TextSet
from microtome.results import Curves, LensGrid, Result, Scorecard

_RESAMPLES = 1000


class Params(MethodParams):
    steps: int = Field(200, ge=1, le=10_000, description="Steps of training.")
    batch: int = Field(128, ge=1, le=4096, description="Places in texts per step.")
    rate: float = Field(1e-3, gt=0, le=1, description="Learning rate of Adam at the beginning; it falls to zero in a line.")
    examples: int = Field(200, ge=2, le=100_000, description="Texts read at most, evenly over the probe set; a fifth of them is held out.")
    places: int = Field(4096, ge=2, le=200_000, description="Places in these texts that are used at most, each kept at every layer.")
    top: int = Field(5, ge=1, le=20, description="Tokens shown of each layer and place of the prompt.")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Seed of what is held out and in which order the rest is learned.")


@method(
    "tuned-lens",
    title="Tuned lens",
    question="What does each block already know of the answer?",
    subjects=("model", "probe", "prompt"),
    modalities=("text",),
    returns=(LensGrid, Curves, Scorecard),
    params=Params,
    example_params=Params(steps=3, batch=16, examples=8, places=64, top=2),
    cite="Belrose et al. 2023, arXiv:2303.08112",
    cost=Cost(passes=4, times="steps"),
)
def tuned_lens(*, model: Model, probe: TextSet, prompt: str, params: Params, run: RunContext) -> dict[str, Result]:
    """The logit lens behind one affine translator per layer, which is trained to give the model's own answer, and how much nearer it comes.

    lens(h) = tail(h + h A_l + b_l) with A_l [width, width] and b_l [width] zero at first, so that training starts from the logit lens.
    They minimise the divergence KL(answer || lens) in nats, averaged over places of texts of the probe set, with Adam (the paper: SGD
    with momentum). Both lenses are compared on texts that were held out, with a 95 % bootstrap over those texts. The translators see
    texts of the probe set only: on other texts they may do worse, and what a translator finds need not be what the later blocks use.

    Raises:
        InvalidInput: no language model, a prompt without tokens or with too many, a probe set with less than two texts.
    """
    reader = text_model(model, "causal", "masked")
    tokens = prompt_tokens(reader, prompt)
    texts = texts_of(reader, probe, params.examples)
    if len(texts) < 2:
        raise InvalidInput(
            "The probe set has one text of two tokens or more; one to learn from and one to test on are needed.", field="probe"
        )
    generator = torch.Generator().manual_seed(params.seed)
    order, held = torch.randperm(len(texts), generator=generator).tolist(), max(1, len(texts) // 5)
    share = max(1, params.places * held // len(texts))
    test = stream_of(reader, [texts[i] for i in order[:held]], share, generator, run)
    learned = stream_of(reader, [texts[i] for i in order[held:]], max(1, params.places - share), generator, run)
    translators = train(reader, learned, params.steps, params.batch, params.rate, generator, run)
    plain, tuned = divergences(reader, test.states, run), divergences(reader, translators(test.states), run)
    layers, names = residual_layers(reader), names_of(reader, tokens)
    with torch.no_grad():
        hidden, tail = translators(residuals(reader, tokens)), Tail(reader, len(tokens))
        best = [tail(h).softmax(-1).topk(min(params.top, reader.tokenizer.vocabulary)) for h in hidden]
    facts = {
        "texts learned from": len(texts) - held, "texts held out": held, "places learned from": learned.states.shape[1],
        "places held out": test.states.shape[1], "steps": params.steps,
    }  # fmt: skip
    return {
        "tokens": lens_grid(
            reader, items=torch.stack([b.indices for b in best]), values=torch.stack([b.values for b in best]),
            cells=torch.stack([b.values[:, 0] for b in best]), title="Tuned lens",
            note="What each layer says when it is translated; the last row is what the model says.", rows=[x.label for x in layers],
            columns=names, axes=("layer", "token"), quantity="probability", cell_quantity="probability of the strongest token", facts=facts,
        ),
        "divergence": curves(
            "Distance from the answer on texts held out", layers, "nats", {"logit lens": plain.mean(1), "tuned lens": tuned.mean(1)},
            note="Mean over places.",
        ),
        "scores": _scorecard(layers, plain, tuned, test.text, params.seed, facts),
    }  # fmt: skip


def _scorecard(layers: list[Layer], plain: Tensor, tuned: Tensor, owner: Tensor, seed: int, facts: dict[str, int]) -> Scorecard:
    """Held-out divergences: of every layer, and the mean of all layers but the last, which is the answer itself."""
    scores = []
    for title, values in (("logit lens", plain), ("tuned lens", tuned), ("gain", plain - tuned)):
        low, high = _interval(values[:-1].mean(0).double().cpu().numpy(), owner.numpy(), seed)
        mean = float(values[:-1].mean())
        scores.append(Scorecard.Score(name=f"{title}, mean of the layers", value=mean, unit="nats", low=low, high=high, group=title))
    for number, layer in enumerate(layers[:-1]):
        scores += [
            Scorecard.Score(name=f"{layer.label} {title}", value=float(values[number].mean()), unit="nats", group=title)
            for title, values in (("logit lens", plain), ("tuned lens", tuned))
        ]
    note = "Divergence from the model's answer on texts held out; the interval is a 95 % bootstrap over these texts."
    return Scorecard(title="Logit lens and tuned lens", scores=scores, note=note, facts=dict(facts))


def _interval(values: np.ndarray, owner: np.ndarray, seed: int) -> tuple[float | None, float | None]:
    """95 % bootstrap of a mean over places, texts drawn whole; None with one text, which says nothing of others."""
    texts = np.unique(owner)
    if len(texts) < 2:
        return None, None
    sums, counts = np.array([[values[owner == t].sum(), (owner == t).sum()] for t in texts]).T
    drawn = np.random.default_rng(seed).integers(len(texts), size=(_RESAMPLES, len(texts)))
    low, high = np.quantile(sums[drawn].sum(1) / counts[drawn].sum(1), [0.025, 0.975])
    return float(low), float(high)
