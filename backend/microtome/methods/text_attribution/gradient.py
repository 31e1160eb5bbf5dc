"""Size of the gradient at every token."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor

from microtome.methods.contract import Cost
from microtome.methods.text_attribution.call import Call, gradients_at
from microtome.methods.text_attribution.explain import Attribution, text_attribution
from microtome.methods.text_attribution.target import TextExplainParams

Size = Literal["euclidean", "sum", "largest"]


class Params(TextExplainParams):
    size: Size = Field("euclidean", description="How the gradient of a token's embedding becomes one number: by length, sum or maximum.")


def size_of(gradient: Tensor, size: Size) -> Tensor:
    """[..., n] of gradients [..., n, D]: Euclidean length, or the sum or the largest of the magnitudes."""
    if size == "euclidean":
        return gradient.double().norm(dim=-1)
    return gradient.abs().double().sum(-1) if size == "sum" else gradient.abs().amax(-1)


@text_attribution(
    "text-gradient",
    title="Gradient of the words",
    params=Params,
    cite="Simonyan, Vedaldi, Zisserman 2014, arXiv:1312.6034; of words: Li et al. 2016, arXiv:1506.01066",
    quantity="{} per unit of embedding",
    signed=False,
    cost=Cost(passes=3.0),
    passes=lambda p: 3.0,
)
def text_gradient(call: Call, params: Params) -> Attribution:
    """How fast the target can change when the embedding of a token moves.

    Formula:
        `map_i = |df/dx_i|` over the coordinates of the embedding x_i of token i.

    Known failures:
        It is about a step that no text makes: embeddings between tokens stand for nothing. It has no sign, and where the target is
        saturated what matters most has no gradient. Tokens with short embeddings get large values.

    Raises:
        InvalidInput: as of :func:`microtome.methods.text_attribution.target.asked`.
    """
    call.run.check()
    return Attribution(size_of(gradients_at(call, call.vectors[None])[0, call.places], params.size))
