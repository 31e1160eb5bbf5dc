"""Attention rollout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from microtome.methods.attribution.attention import attended, on_the_grid, read_from
from microtome.methods.attribution.explain import Attribution, Call, ExplainParams, attribution
from microtome.methods.contract import Cost

Heads = Literal["mean", "max", "min"]


class Params(ExplainParams):
    heads: Heads = Field("mean", description="How the heads of a block become one: mean, as published, or the largest or smallest.")
    residual: float = Field(0.5, ge=0, lt=1, description="Share of itself that a token keeps in every block, for the skip connection.")


def rolled(weights: Sequence[Tensor], heads: Heads, residual: float, depth: Tensor) -> Tensor:
    """float64 [n, T, T]: how much of every input token (columns) is in every token (rows) behind the first ``depth[i]`` blocks.

    Args:
        weights: [n, heads, T, T] per block, rows adding up to 1.

    Returns:
        not negative; rows add up to 1.
    """
    count, _, tokens, _ = weights[0].shape
    same = torch.eye(tokens, dtype=torch.float64, device=weights[0].device)
    total = same.expand(count, tokens, tokens)
    for place, block in enumerate(weights):
        block = block.detach().double()
        fused = block.mean(1) if heads == "mean" else block.amax(1) if heads == "max" else block.amin(1)
        sums = fused.sum(-1, keepdim=True)
        # A token for which no two heads agree on anything (a smallest of nothing) keeps to itself.
        fused = torch.where(sums > 0, fused / sums.clamp(min=torch.finfo(torch.float64).tiny), same)
        mixed = residual * same + (1 - residual) * fused
        total = torch.where((depth > place)[:, None, None], mixed @ total, total)
    return total


@attribution(
    "attention-rollout",
    title="Attention rollout",
    params=Params,
    cite="Abnar, Zuidema 2020, arXiv:2005.00928",
    quantity="share of the patch in the token that is read",
    signed=False,
    cost=Cost(passes=1.2),
    passes=lambda p: 1.2,
)
def attention_rollout(call: Call, params: Params) -> Attribution:
    """How much of every patch arrives at the token that the target is read from, if attention is all that moves information.

    The attention of all blocks multiplied up, each mixed with the skip connection. The token is the class token where the class
    is read from one, and the mean over the patches where it is not; for a unit of a layer, its site and the blocks before it.

    Formula:
        `A_b = r I + (1 - r) mean over heads of the attention of block b`, rows scaled to add up to 1; `R = A_B ... A_1`;
        `map = R[token read, patches]`, enlarged bilinearly.

    Known failures:
        **It does not depend on the class**: the maps of all classes are the same, and no weight behind the attention plays a part;
        the evidence beside it is the only link to the target. Attention is not contribution: values, their projection and the MLPs
        are left out, and a patch may be attended to in order to be ruled out. With many blocks the map drifts towards the same for
        all patches.
    """
    maps = []
    kept: list[float] = []
    blocks: list[float] = []
    for one in attended(call):
        shares, depth = read_from(call, one)
        found = rolled([b.weights for b in one.blocks], params.heads, params.residual, depth)
        enlarged, patches = on_the_grid(call.model, (shares[:, None] @ found)[:, 0])
        maps.append(enlarged)
        kept += patches.sum(1).tolist()
        blocks += depth.tolist()
    depends = "no" if all(t.layer is None for t in call.targets) else "on where it is read, on nothing else"
    return Attribution(torch.cat(maps), None, {"blocks": blocks, "share of the patches": kept, "depends_on_target": depends})
