"""Relevance in class embedding space."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from microtome.core.errors import InvalidInput
from microtome.methods.attribution.attention import Pass, attended, on_the_grid
from microtome.methods.attribution.explain import Attribution, Call, ExplainParams, attribution
from microtome.methods.attribution.target import pick
from microtome.methods.contract import Cost


class Params(ExplainParams):
    block: int | None = Field(None, ge=0, le=511, description="Only this block of attention, counted from 0; the sum of all if left out.")
    objective: Literal["log-probability", "logit"] = Field(
        "log-probability", description="What is differentiated: log-probability, minus the loss as published, or the logit of the class."
    )


@contextmanager
def _last_norm(network: nn.Module) -> Iterator[list[tuple[nn.LayerNorm, Tensor]]]:
    """The layer norm over tokens that ran last in the newest pass inside the block, with its output [n, T, D]; one item."""
    seen: list[tuple[nn.LayerNorm, Tensor]] = []

    def note(module: nn.Module, _: Any, output: Tensor) -> None:
        if isinstance(module, nn.LayerNorm) and output.ndim == 3:
            seen[:] = [(module, output)]

    handles = [m.register_forward_hook(note) for m in network.modules() if isinstance(m, nn.LayerNorm)]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _reader(call: Call, one: Pass, seen: list[tuple[nn.LayerNorm, Tensor]]) -> Callable[[Tensor], Tensor]:
    """Class embedding: [n, D] of a token to logits [n, classes], by the network's own last norm and classifier.

    Raises:
        InvalidInput: the network does not read its classes from the class token in this way.
    """
    for norm, tokens in seen:
        for head in call.model.network.modules():
            if not isinstance(head, nn.Linear) or (head.in_features, head.out_features) != (tokens.shape[2], one.logits.shape[1]):
                continue
            # It is the one if it gives the logits themselves; names say little.
            if torch.allclose(head(tokens[:, 0]), one.logits, rtol=1e-4, atol=1e-4):
                return nn.Sequential(norm, head)
    raise InvalidInput(
        f"{call.model.source} does not read its classes from a class token through a layer norm and a linear layer, so its tokens have "
        "no place in class embedding space. Use gradient-attention.",
        field="model",
    )


def _rank(call: Call, row: int, logits: Tensor) -> str:
    """Place of the row's class among all, 1 for the largest logit."""
    index = call.targets[row].index
    return "-" if index is None else str(int((logits > logits[index]).sum()) + 1)


@attribution(
    "class-embedding",
    title="Class embedding relevance",
    params=Params,
    cite="Vilas, Schaumlöffel, Roig 2023, arXiv:2310.18969",
    quantity="change in class embedding space per unit of attention",
    signed=True,
    cost=Cost(passes=2.0),
    passes=lambda p: 2.0,
)
def class_embedding(call: Call, params: Params) -> Attribution:
    """What attention to each patch does, in every block at once, for the class that the class token already shows there.

    What a block's attention adds to the class token is read as if it were the end: by the network's last norm and classifier. Its
    gradient with respect to the attention of that block alone, not of the blocks before, is the map; blocks and heads are added up.
    The place of the class among all, read in this way block by block, is told with the map. For the difference of two classes the
    difference of their log-probabilities is taken.

    Formula:
        `p_b = softmax(W LN(attention output of block b at the class token))`; `map_j = sum over b, heads of
        d log p_b[class] / dA_b[class token, j]`, enlarged bilinearly. The paper writes the loss, `- log p`; its code applies the
        softmax a second time inside the loss, here it is applied once.

    Known failures:
        The class token of early blocks has no class to show, and its gradient there is small or of no meaning; look at single
        blocks. What a block does through later blocks is left out. It is a gradient: more attention to a patch, without less to the
        others, is nothing the softmax allows. Only for classes, and only where they are read from a class token.
    """
    for target in call.targets:
        if target.layer is not None:
            raise InvalidInput(f"'{target.name}' is no class; class embedding space is of classes only.", field="targets")
    maps = []
    ranks: list[str] = []
    with _last_norm(call.model.network) as seen:
        for one in attended(call):
            read = _reader(call, one, seen)
            if params.block is not None and params.block >= len(one.blocks):
                raise InvalidInput(
                    f"There are {len(one.blocks)} blocks of attention, counted from 0; there is no {params.block}.", field="params.block"
                )
            chosen = one.blocks if params.block is None else [one.blocks[params.block]]
            total = torch.zeros(len(one.rows), one.blocks[0].weights.shape[-1], dtype=torch.float64, device=call.inputs.device)
            places: list[list[str]] = []
            for block in chosen:
                with torch.enable_grad():
                    logits = read(block.output[:, 0])
                    values = logits.log_softmax(1) if params.objective == "log-probability" else logits
                    objective = pick([call.targets[r] for r in one.rows], values, {}).sum()
                gradient = torch.autograd.grad(objective, block.weights, retain_graph=True)[0]
                total += gradient[:, :, 0].double().sum(1)
                places.append([_rank(call, row, own) for row, own in zip(one.rows, logits.detach(), strict=True)])
            ranks += [" ".join(of_row) for of_row in zip(*places, strict=True)]
            maps.append(on_the_grid(call.model, total)[0])
    about = "all blocks" if params.block is None else f"block {params.block}"
    return Attribution(torch.cat(maps), None, {"blocks": about, "objective": params.objective, "rank of the class by block": ranks})
