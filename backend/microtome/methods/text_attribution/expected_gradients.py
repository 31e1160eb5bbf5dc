"""Expected gradients over embeddings; with noise, gradient SHAP."""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from microtome.methods.attribution.baseline import normal_draws
from microtome.methods.contract import Cost
from microtome.methods.text_attribution.call import Call, embedding_of, embeddings, gradient_sum, outputs
from microtome.methods.text_attribution.explain import Attribution, completed, text_attribution
from microtome.methods.text_attribution.integrated_gradients import baseline_of
from microtome.methods.text_attribution.smoothgrad import deviation_of
from microtome.methods.text_attribution.target import TextExplainParams


class Params(TextExplainParams):
    samples: int = Field(64, ge=2, le=4096, description="Pairs of a baseline and a place on the way from it.")
    references: int = Field(8, ge=1, le=256, description="Texts of random tokens that serve as baselines.")
    noise: float = Field(
        0.0, ge=0, le=2, description="Deviation of noise on the text, in parts of the range of its embeddings; above 0 it is gradient SHAP."
    )


def references_of(call: Call, count: int) -> Tensor:
    """[count, T, D]: the text with tokens drawn from the vocabulary, all alike, in the places that are explained."""
    weight = embedding_of(call.model).weight
    assert isinstance(weight, Tensor)
    size = min(call.model.tokenizer.vocabulary, len(weight))
    ids = np.random.default_rng([call.seed, 0xBA5E]).integers(0, size, (count, call.count))
    vectors = embeddings(call.model, torch.from_numpy(ids).to(call.ids.device))
    return torch.stack([baseline_of(call, one) for one in vectors])


@text_attribution(
    "text-expected-gradients",
    title="Expected Gradients of the words",
    params=Params,
    example_params=Params(samples=4, references=2),
    cite="Erion et al. 2021, arXiv:1906.10670; gradient SHAP: Lundberg, Lee 2017, arXiv:1705.07874",
    quantity="{} per token",
    cost=Cost(passes=3.0, times="samples"),
    passes=lambda p: 3.0 * p.samples,
)
def text_expected_gradients(call: Call, params: Params) -> Attribution:
    """Integrated gradients with texts of random tokens as baselines: one place on the way from one of them per sample.

    The map adds up, in expectation and without noise, to the target's difference between the text and the mean over the baselines; the
    gap that the samples leave is reported.

    Formula:
        `map_i = E over b, a, e of (x_i + e_i - b_i) . df(b + a (x + e - b)) / dx_i`, `b` random tokens, `a` uniform in 0 to 1
        (stratified), `e` Gaussian noise.

    Known failures:
        Random tokens are no text, and the model's answer to them is no neutral one. Points between two texts are texts of nothing. The
        gap falls only with the root of the samples; noise adds to it.

    Raises:
        InvalidInput: as of :func:`microtome.methods.text_attribution.target.asked`.
    """
    bases = references_of(call, params.references)
    # One place in each of as many equal parts of the way (less variance than free draws), in random order over the baselines.
    draw = np.random.default_rng([call.seed, 0xA7])
    at = draw.permutation((np.arange(params.samples) + draw.random(params.samples)) / params.samples)
    where = torch.from_numpy(at).float().to(bases.device).view(-1, 1, 1)
    deviation = deviation_of(call, params.noise)

    def way(which: Tensor) -> tuple[Tensor, Tensor]:
        """Baselines, and what leads from them to the text with its noise."""
        base, end = bases[which % len(bases)], call.vectors[None]
        if params.noise:
            end = normal_draws(end, call.seed, which.tolist()) * deviation + end
        return base, end - base

    def points(which: Tensor) -> Tensor:
        base, difference = way(which)
        return base + where[which] * difference

    def taken(gradient: Tensor, which: Tensor) -> Tensor:
        return gradient * way(which)[1]

    values = gradient_sum(call, params.samples, points, taken)[call.places].sum(-1) / params.samples
    numbers = outputs(call, torch.cat([call.vectors[None], bases]))
    uses = np.bincount(np.arange(params.samples) % len(bases), minlength=len(bases)) / params.samples
    expected = float(numbers[0] - uses @ numbers[1:])
    what = f"{params.references} texts of random tokens"
    return Attribution(values, completed(values, expected, steps=float(params.samples)), {"baselines": what}, f"Baselines: {what}.")
