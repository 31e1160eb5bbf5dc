"""RISE of tokens."""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field

from microtome.methods.contract import Cost
from microtome.methods.text_attribution.call import Call, Flags, number, readings
from microtome.methods.text_attribution.explain import Attribution, MapFacts, text_attribution
from microtome.methods.text_attribution.fills import fill_of
from microtome.methods.text_attribution.occlusion import FillParams


class Params(FillParams):
    masks: int = Field(500, ge=2, le=20000, description="Texts with random tokens kept.")
    keep: float = Field(0.7, gt=0, lt=1, description="Chance that a token is kept.")


def kept_tokens(count: int, tokens: int, keep: float, seed: int) -> Flags:
    """bool [count, tokens], each true with chance ``keep``, independently."""
    return np.random.default_rng(seed).random((count, tokens)) < keep


@text_attribution(
    "text-rise",
    title="RISE of words",
    params=Params,
    example_params=Params(masks=32),
    cite="Petsiuk, Das, Saenko 2018, arXiv:1806.07421",
    quantity="{}",
    cost=Cost(passes=1.0, times="masks"),
    passes=lambda p: float(p.masks),
)
def text_rise(call: Call, params: Params) -> Attribution:
    """How much more the target is, on average over random sets of kept tokens, when a token is kept.

    As for images, with the mean over all sets taken off, which would add the same to every token and most of the noise. Tokens are kept
    one by one: a text has no neighbourhood to enlarge a coarse mask to. The note gives the standard error of the noisiest token.

    Formula:
        `map_i = cov(f(x_M), M_i) / keep`, which is on average `E[f | i kept] - E[f]`.

    Known failures:
        Noise falls with the root of the number of sets only. Texts with a third of their tokens off are no texts; a token that matters
        only together with others that are mostly off gets little. Values do not add up to the target.

    Raises:
        InvalidInput: the model has no such token to fill with; as of :func:`microtome.methods.text_attribution.target.asked`.
    """
    fill = fill_of(call.model, params.fill)
    present = kept_tokens(params.masks, call.count, params.keep, params.seed)
    said = readings(call, present, fill, number(call), "texts")[:, 0]
    terms = (said - said.mean())[:, None] * (present - params.keep) / params.keep
    values = terms.sum(0) / (params.masks - 1)
    error = float((terms.std(0) / np.sqrt(params.masks - 1)).max())
    facts: MapFacts = {"fill": fill.name, "masks": params.masks, "largest standard error": error}
    return Attribution(torch.from_numpy(values), None, facts, f"Standard error up to {error:.2g}; off: {fill.name}.")
