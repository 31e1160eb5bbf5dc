"""Gradient-weighted attention."""

from __future__ import annotations

import torch
from torch import Tensor

from microtome.methods.attribution.attention import Pass, attended, on_the_grid, read_from
from microtome.methods.attribution.explain import Attribution, Call, ExplainParams, attribution
from microtome.methods.contract import Cost


def relevance(one: Pass) -> Tensor:
    """float64 [n, T, T]: relevance of every input token (columns) to every token (rows), apart from each to itself."""
    weights = [b.weights for b in one.blocks]
    gradients = torch.autograd.grad(one.number, weights, retain_graph=True, allow_unused=True)
    count, _, tokens, _ = weights[0].shape
    same = torch.eye(tokens, dtype=torch.float64, device=weights[0].device)
    total = same.expand(count, tokens, tokens)
    for block, gradient in zip(weights, gradients, strict=True):
        if gradient is None:  # behind the target
            continue
        step = (gradient.double() * block.detach().double()).clamp(min=0).mean(1)
        total = total + step @ total
    return total - same


@attribution(
    "gradient-attention",
    title="Gradient-weighted attention",
    params=ExplainParams,
    cite="Chefer, Gur, Wolf 2021, arXiv:2103.15679",
    quantity="relevance in {}",
    signed=False,
    cost=Cost(passes=3.0),
    passes=lambda p: 3.0,
)
def gradient_attention(call: Call, params: ExplainParams) -> Attribution:
    """Attention weighted by how much the target would gain from more of it, carried through the blocks.

    The rule for self-attention of the paper (its equations 5 and 6), which holds for encoders such as ViT; no relevance is
    propagated through the other layers. It is read at the class token where the class is read from one, at the patches' mean where
    it is not, and at the site of a unit.

    Formula:
        `A_b = mean over heads of max(0, dy/dA * A)` of block b; `R_0 = I`; `R_b = R_(b-1) + A_b R_(b-1)`;
        `map = (R_B - I)[token read, patches]`, enlarged bilinearly.

    Known failures:
        Only what speaks for the target is carried on, so a patch that speaks against it gets nothing rather than less. The gradient
        of a saturated softmax vanishes: a head that is sure of itself may count for little. Products over blocks have no unit of
        their own, so values of different images do not compare. The MLPs act through the gradient alone.
    """
    maps = []
    blocks: list[float] = []
    for one in attended(call):
        shares, depth = read_from(call, one)
        maps.append(on_the_grid(call.model, (shares[:, None] @ relevance(one))[:, 0])[0])
        blocks += depth.tolist()
    return Attribution(torch.cat(maps), None, {"blocks": blocks})
