"""Attention rollout of texts."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from microtome.core.errors import InvalidInput
from microtome.methods.attribution.attention_rollout import Heads, rolled
from microtome.methods.circuits.attention import attention_of
from microtome.methods.contract import Cost
from microtome.methods.text_attribution.call import Call, fed, numbers
from microtome.methods.text_attribution.explain import Attribution, text_attribution
from microtome.methods.text_attribution.target import TextExplainParams


class Params(TextExplainParams):
    heads: Heads = Field("mean", description="How the heads of a block become one: mean, as published, or the largest or smallest.")
    residual: float = Field(0.5, ge=0, lt=1, description="Share of itself that a token keeps in every block, for the skip connection.")


def read_from(call: Call) -> Tensor:
    """float64 [T]: equal over the tokens of the last block that a classifier's logits depend on, adding up to 1; else where it is asked.

    Raises:
        InvalidInput: of the field ``model``; no token of the last block plays a part.
    """
    shares = torch.zeros(len(call.ids), dtype=torch.float64, device=call.ids.device)
    if call.at is not None:
        shares[call.at] = 1.0
        return shares
    last = [layer for layer in call.model.layers.values() if layer.kind == "residual"][-1:]
    with torch.enable_grad(), call.model.record(last, keep_graph=True) as recorded:
        value = numbers(call, call.vectors[None].detach().requires_grad_(True)).sum()
        gradient = torch.autograd.grad(value, list(recorded.values()), allow_unused=True)[0] if recorded else None
    reached = gradient[0].ne(0).any(1) if gradient is not None else torch.zeros(0, dtype=torch.bool)
    if not reached.any():
        raise InvalidInput(f"{call.model.source} does not read its classes from the tokens of its last block.", field="model")
    return reached.double() / reached.sum()


@text_attribution(
    "text-attention-rollout",
    title="Attention rollout of words",
    params=Params,
    cite="Abnar, Zuidema 2020, arXiv:2005.00928",
    quantity="share of the token in what is read",
    signed=False,
    cost=Cost(passes=4.2),
    passes=lambda p: 4.2,
)
def text_attention_rollout(call: Call, params: Params) -> Attribution:
    """How much of every token arrives where the target is read from, if attention is all that moves information.

    The attention of all blocks multiplied up, each mixed with the skip connection, read at the last token, at the mask, or at the tokens
    from which a classifier reads. The shares of special tokens are left out; `share of the words` is what is left.

    Formula:
        `A_b = r I + (1 - r) mean over heads of the attention of block b`, rows scaled to add up to 1; `R = A_B ... A_1`;
        `map = R[token read, tokens]`.

    Known failures:
        **It does not depend on the target**: the maps of all tokens and classes are the same, and no weight behind the attention plays a
        part. Attention is not contribution. In causal models early tokens gather the most, whatever they say: all paths lead to them.

    Raises:
        InvalidInput: the model does not tell what it attends to; as of :func:`microtome.methods.text_attribution.target.asked`.
    """
    call.run.check()
    with fed(call.model, call.vectors[None]):
        weights = attention_of(call.model, call.ids[None])
    depth = torch.tensor([len(weights)], device=call.ids.device)
    values = (read_from(call) @ rolled(weights, params.heads, params.residual, depth)[0])[call.places]
    return Attribution(values, None, {"blocks": len(weights), "share of the words": float(values.sum()), "depends_on_target": "no"})
