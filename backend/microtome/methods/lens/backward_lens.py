"""What one step of training on a prompt would write into the model, in tokens."""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from microtome.core.context import RunContext
from microtome.methods.answers import LONGEST, PLACE, SPELLING, place_of
from microtome.methods.contract import Cost, MethodParams, method
from microtome.methods.language import names_of, prompt_tokens, text_model
from microtome.methods.lens.gradients import Halves, halves
from microtome.methods.lens.words import ReadoutKind, lens_grid, readout_by, show, target_of
from microtome.models.model import Model
from microtome.models.readout import Readout, blocks_of
from microtome.models.text import TextModel
from microtome.models.tokens import Tokens
from microtome.results import Curves, LensGrid, Result


class Params(MethodParams):
    target: str | None = Field(
        None,
        min_length=1,
        max_length=LONGEST,
        description=f"Token that would be learned, {SPELLING}; the model's own answer if empty.",
    )
    position: int = Field(-1, ge=-512, le=511, description=f"{PLACE}. The target would be learned as what is said here.")
    readout: ReadoutKind = Field(
        "final norm and unembedding",
        description="How vectors are read as tokens: as the final norm passes them on, or by the unembedding alone.",
    )
    top: int = Field(5, ge=1, le=20, description="Tokens shown of each block and place.")


@method(
    "backward-lens",
    title="Backward lens",
    question="What would the model learn from this prompt?",
    subjects=("model", "prompt"),
    modalities=("text",),
    returns=(LensGrid, Curves),
    params=Params,
    example_params=Params(top=2),
    interactive=True,
    cite="Katz, Belinkov, Geva, Wolf 2024, arXiv:2402.12865",
    cost=Cost(passes=5),
)
def backward_lens(*, model: Model, prompt: str, params: Params, run: RunContext) -> dict[str, Result]:
    """Gradients of the feed-forward matrices for one prompt and target, read as tokens through what they are made of.

    For the loss -log p(target) the gradient of a matrix [in, out] is the sum over tokens t of outer(x_t, d_t): x_t is what went into the
    map, d_t the derivative of the loss by what came out. The first matrix of a feed-forward layer is read by its x_t [width] (what
    a step of training imprints on the neurons that it moves), the second by -d_t [width] (what such a step lets them write: towards the
    target). Both are put through the readout at scale 1; a cell says how large the token's part of the gradient is, as a Frobenius norm
    in nats per unit of weight. Nothing is trained.

    Raises:
        InvalidInput: no language model, none with such a readout, blocks without neurons, no such place or token.
    """
    reader = text_model(model, "causal", "masked")
    tokens = prompt_tokens(reader, prompt)
    place, readout = place_of(tokens, params.position), readout_by(reader, params.readout)
    target = target_of(reader, tokens, place, params.target)
    first, second, loss = halves(reader, tokens, place, target, run)
    facts: dict[str, str | int | float | bool | None] = {
        "target": show(reader, target), "place": place, "loss (nats)": loss, "readout": params.readout,
    }  # fmt: skip
    forward = [h.given for h in first], first, "What a step imprints on the first map", "what the neurons of a block see"
    backward = [-h.slope for h in second], second, "What a step lets the second map write", "against the gradient, towards the target"
    return {
        "imprint": _grid(reader, tokens, readout, params.top, facts, *forward),
        "shift": _grid(reader, tokens, readout, params.top, facts, *backward),
        "norms": Curves(
            title=f"Gradient for '{show(reader, target)}'", series=["first map", "second map"], x_axis="block",
            y_axis="Frobenius norm (nats per unit of weight)",
            arrays={
                "x": np.arange(len(first), dtype=np.float32),
                "y": np.array([[h.norm for h in side] for side in (first, second)], np.float32),
            },
        ),
    }  # fmt: skip


@torch.no_grad()
def _grid(
    model: TextModel, tokens: Tokens, readout: Readout, top: int, facts: dict[str, str | int | float | bool | None], vectors: list[Tensor],
    parts: list[Halves], title: str, note: str,
) -> LensGrid:  # fmt: skip
    best = [(logits := readout.passes(v)).topk(min(top, logits.shape[-1])) for v in vectors]
    return lens_grid(
        model, items=torch.stack([b.indices for b in best]), values=torch.stack([b.values for b in best]),
        cells=torch.stack([p.sizes for p in parts]), title=title, note=note.capitalize() + ".",
        rows=[model.layers[b.path].label for b in blocks_of(model)], columns=names_of(model, tokens), axes=("block", "token"),
        quantity="logit at scale 1", cell_quantity="part of the gradient (Frobenius norm)", facts=facts,
    )  # fmt: skip
