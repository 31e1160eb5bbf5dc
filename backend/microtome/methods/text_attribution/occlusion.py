"""Occlusion of tokens."""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field

from microtome.methods.contract import Cost
from microtome.methods.text_attribution.call import Call, number, readings
from microtome.methods.text_attribution.explain import Attribution, text_attribution
from microtome.methods.text_attribution.fills import DEFAULT, FillKind, fill_of
from microtome.methods.text_attribution.target import TextExplainParams


class FillParams(TextExplainParams):
    """Base of the parameters of methods that switch tokens off."""

    fill: FillKind = Field(
        "default", description=f"What stands where a token is off; {DEFAULT}. Removed tokens are taken out, and the others close up."
    )


class Params(FillParams):
    window: int = Field(1, ge=1, le=64, description="Tokens in a row that are off together; a token gets the mean over those it is in.")


@text_attribution(
    "text-occlusion",
    title="Occlusion of words",
    params=Params,
    cite="Zeiler, Fergus 2014, arXiv:1311.2901; of words: Li, Monroe, Jurafsky 2016, arXiv:1612.08220",
    quantity="{} per token",
    cost=Cost(passes=64.0),
    passes=lambda p: 32.0,
)
def text_occlusion(call: Call, params: Params) -> Attribution:
    """How much the target falls when a token is replaced, or taken out.

    Formula:
        `map_i = mean over windows W that hold token i of f(x) - f(x with W off)`; a window is one token unless more are asked for.

    Known failures:
        What is redundant gets nothing: of two words that each suffice, neither is missed. A text with a hole is one that the model
        never saw, unless it was trained with masks; taking tokens out moves all that follow.

    Raises:
        InvalidInput: the model has no such token; as of :func:`microtome.methods.text_attribution.target.asked`.
    """
    fill, tokens = fill_of(call.model, params.fill), call.count
    window = min(params.window, tokens)
    starts = np.arange(tokens - window + 1)
    inside = (np.arange(tokens) >= starts[:, None]) & (np.arange(tokens) < starts[:, None] + window)
    said = readings(call, np.concatenate([np.ones((1, tokens), bool), ~inside]), fill, number(call), "texts")[:, 0]
    values = (said[0] - said[1:]) @ inside / inside.sum(0)
    return Attribution(torch.from_numpy(values), None, {"fill": fill.name, "window": window}, f"Off: {fill.name}.")
