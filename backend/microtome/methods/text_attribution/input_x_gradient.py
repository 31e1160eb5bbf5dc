"""Gradient times embedding."""

from __future__ import annotations

from microtome.methods.contract import Cost
from microtome.methods.text_attribution.call import Call, gradients_at
from microtome.methods.text_attribution.explain import Attribution, text_attribution
from microtome.methods.text_attribution.target import TextExplainParams


@text_attribution(
    "text-input-x-gradient",
    title="Gradient times embedding",
    params=TextExplainParams,
    cite="Shrikumar et al. 2016, arXiv:1605.01713; of words: Denil, Demiraj, de Freitas 2014, arXiv:1412.6815",
    quantity="{} per token",
    cost=Cost(passes=3.0),
    passes=lambda p: 3.0,
)
def text_input_x_gradient(call: Call, params: TextExplainParams) -> Attribution:
    """What a token's embedding would add to the target if the model were linear.

    Formula:
        `map_i = x_i . df/dx_i`, x_i the embedding of token i.

    Known failures:
        A first-order guess from an embedding of zeros, which stands for no token: it adds up to nothing unless the model is linear. Norms
        behind the embedding make the target blind to the length of x_i and so push the values towards zero. Where the target is saturated
        it is blind.

    Raises:
        InvalidInput: as of :func:`microtome.methods.text_attribution.target.asked`.
    """
    call.run.check()
    found = (gradients_at(call, call.vectors[None])[0] * call.vectors)[call.places]
    return Attribution(found.double().sum(-1))
