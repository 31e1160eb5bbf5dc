"""Which heads listen to which."""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from microtome.core.context import RunContext
from microtome.methods.contract import Cost, MethodParams, method
from microtome.methods.language import text_model
from microtome.methods.lens.composition import Composition, chance, reader, scores, writer
from microtome.methods.lens.weights import attention_of
from microtome.models.model import Model
from microtome.models.readout import blocks_of, head_writes, refused, watched
from microtome.models.text import TextModel
from microtome.results import Graph, Matrix, Result

_DRAWS = 200


class Params(MethodParams):
    composition: Composition = Field("queries", description="What the later head makes of what the earlier one writes.")
    edges: int = Field(50, ge=1, le=1000, description="Pairs of heads drawn in the graph at most, those above the chance band.")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Seed of the random heads that chance is measured with.")


@method(
    "talking-heads",
    title="Talking heads",
    question="Which heads listen to which?",
    subjects=("model",),
    modalities=("text",),
    returns=(Matrix, Graph),
    params=Params,
    example_params=Params(edges=5),
    cite="Merullo, Eickhoff, Pavlick 2024, arXiv:2406.09519; Elhage et al. 2021",
    cost=Cost(passes=2),
)
def talking_heads(*, model: Model, params: Params, run: RunContext) -> dict[str, Result]:
    """How much of what a head writes is read by every head of a later block as its queries, keys or values, from the weights alone.

    Score of a pair = |W_OV W| / (|W_OV| |W|) in Frobenius norms, with W_OV = W_V W_O of the earlier head and W of the later one:
    W_Q W_K^T for queries, its transpose for keys, W_V W_O for values, read through the norm before them at scale 1. Heads also talk
    through one narrow channel: W_OV is taken apart by its singular values, and the score of the one component that composes most stands
    beside it. Chance is the same of 200 pairs of random heads of this shape. Weights say what could be heard, not what is said on a
    text; a rotation by position is that of distance zero, and a norm behind what heads write is not in it. Rows write, columns read;
    pairs that cannot talk are empty.

    Raises:
        InvalidInput: no language model, or one whose queries, keys and values cannot be told apart.
    """
    talker = text_model(model, "causal", "masked")
    blocks, calls = blocks_of(talker), watched(talker)
    writers, readers = [], []
    for number, block in enumerate(blocks):
        run.check()
        attention, writes = attention_of(talker, block, calls), head_writes(talker, block)
        if params.composition != "values" and not attention.plain:
            raise refused(talker, "has a norm between its queries and keys; only composition of values is to be had from its weights")
        writers.append(writer(attention.folded(attention.values), writes))
        readers.append(reader(params.composition, attention, writes))
        run.progress(number + 1, len(blocks), "blocks")
    heads, count = talker.heads, talker.heads * len(blocks)
    whole, single = np.full((count, count), np.nan, np.float32), np.full((count, count), np.nan, np.float32)
    for late in range(1, len(blocks)):
        for early in range(late):
            run.check()
            at = slice(early * heads, (early + 1) * heads), slice(late * heads, (late + 1) * heads)
            whole[at], single[at] = (s.cpu().numpy() for s in scores(writers[early], readers[late]))
    run.check()
    width, each = readers[0].shape[1:]
    random = chance(_DRAWS, width, each, params.seed)
    what = f"composition by {params.composition}"
    return {
        "scores": _matrix(talker, whole, random[0], f"Heads: {what}"),
        "components": _matrix(talker, single, random[1], f"Strongest single component: {what}"),
        "graph": _graph(talker, single, random[1], params.edges, f"Heads that talk: {what}"),
    }


def _names(model: TextModel) -> list[str]:
    return [f"{model.layers[b.path].label}.{head}" for b in blocks_of(model) for head in range(model.heads)]


def _band(random: Tensor) -> tuple[float, float, float]:
    low, high = np.quantile(random.double().numpy(), [0.025, 0.975])
    return float(random.mean()), float(low), float(high)


def _matrix(model: TextModel, values: np.ndarray, random: Tensor, title: str) -> Matrix:
    mean, low, high = _band(random)
    return Matrix(
        title=title, rows=_names(model), columns=_names(model), row_axis="head that writes", column_axis="head that reads",
        quantity="composition score", note=f"Chance {mean:.3g}, 95 % of {len(random)} random pairs lie in {low:.3g} to {high:.3g}.",
        arrays={"values": values, "chance": np.full_like(values, mean)},
    )  # fmt: skip


def _graph(model: TextModel, values: np.ndarray, random: Tensor, most: int, title: str) -> Graph:
    mean, _, high = _band(random)
    flat = np.nan_to_num(values, nan=0.0).ravel()
    order = np.argsort(-flat, kind="stable")[:most]
    order = order[flat[order] > high]
    blocks, heads = blocks_of(model), model.heads
    nodes = [
        Graph.Node(name=name, kind="head", row=i // heads, column=i % heads, unit=f"{blocks[i // heads].path}.heads/{i % heads}")
        for i, name in enumerate(_names(model))
    ]
    pairs = torch.from_numpy(order)
    return Graph(
        title=title, note="Edges are pairs above the chance band, by their strongest component.", nodes=nodes,
        rows=[model.layers[b.path].label for b in blocks], quantity="composition score of the strongest component",
        facts={"chance": mean, "upper end of the chance band": high, "draws": len(random)},
        arrays={
            "source": (pairs // len(nodes)).numpy().astype(np.int32), "target": (pairs % len(nodes)).numpy().astype(np.int32),
            "weight": flat[order].astype(np.float32),
        },
    )  # fmt: skip
