"""What a head tells another part directly: paths from sender heads to a receiver, all other heads held still."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Literal

import numpy as np
import torch
from pydantic import Field

from microtome.core.context import RunContext
from microtome.core.errors import InvalidInput
from microtome.methods.circuits.pair import Pair, PairParams, pair_of
from microtome.methods.circuits.patching import Floats, rows_at_once
from microtome.methods.circuits.sites import Site, block_label, head_values, recorded, sites_of
from microtome.methods.contract import Cost, method
from microtome.methods.language import text_model
from microtome.models.model import Model
from microtome.models.text import TextModel
from microtome.results import Matrix, Result, Scorecard


class Params(PairParams):
    receiver: str = Field(
        "logits",
        max_length=220,
        description="Where the paths end: 'logits', or a head as 'h3.1' (block, head), by its query, key and value.",
    )
    base: Literal["clean", "corrupted"] = Field(
        "clean", description="The run that is held still; the sender is set to what it computes on the other prompt."
    )


@method(
    "path-patching",
    title="Path patching",
    question="Which heads tell this part directly?",
    subjects=("model", "prompt"),
    modalities=("text",),
    returns=(Matrix, Scorecard),
    params=Params,
    example_params=Params(corrupted="def add(left, right):\n    return right", answer="left", wrong=" right", receiver="h2.1"),
    cite="Wang et al. 2022, arXiv:2211.00593; Goldowsky-Dill et al. 2023, arXiv:2304.05969",
    cost=Cost(passes=300.0),
)
def path_patching(*, model: Model, prompt: str, params: Params, run: RunContext) -> dict[str, Result]:
    """Change of the answer when one head is changed for one receiver only, every other head held at its value of the base run.

    Sender after sender: its output is set, at all tokens, to what it is on the other prompt; all other heads keep their values of the
    base run, while feed-forward parts and layer norms are computed anew. If the receiver is the logits, the metric is read there. If
    it is a head, what that head computes in this run (its query, key and value all changed) is put into an ordinary base run, in which
    everything after it may react. The matrix holds ``(m - m_base) / (m_clean - m_corrupted)`` by layer and head, for the difference in
    logits m; a full loss is -1 with a clean base, a full recovery 1 with a corrupted one. Heads that do not come before the receiver
    have no path: NaN.

    Raises:
        InvalidInput: of ``model``, ``prompt``, ``params.corrupted``, ``params.answer``, ``params.wrong`` (see activation-patching);
            no such head, or one of the first block (``params.receiver``).
    """
    reading = text_model(model, "causal")
    run.check()
    layers = sites_of(reading, "heads")
    receiver = _receiver(reading, layers, params.receiver)
    pair = pair_of(reading, prompt, params)
    base, other = (pair.clean, pair.corrupted) if params.base == "clean" else (pair.corrupted, pair.clean)
    start = pair.high if params.base == "clean" else pair.low
    names = [sites[0].layer for sites in layers]
    held, given = recorded(reading, names, base)[1], recorded(reading, names, other)[1]
    before = len(layers) if receiver is None else names.index(receiver.layer)
    senders = [site for sites in layers[:before] for site in sites]
    values = np.full(len(layers) * reading.heads, np.nan)
    step = rows_at_once(reading, pair.length)
    for first in range(0, len(senders), step):
        run.check()
        part = senders[first : first + step]
        values[first : first + len(part)] = patched_paths(reading, pair, part, receiver, base, held, given) - start
        run.progress(first + len(part), len(senders), "senders")
    values /= pair.high - pair.low
    return {
        "paths": Matrix(
            title=f"Direct paths to {params.receiver}",
            note=f"Change of the difference in logits of the {params.base} prompt, as a share of that between the two prompts, when a head "
            "is set to what it is on the other prompt for this receiver only. NaN: does not come before it.",
            rows=[block_label(layer) for layer in head_values(reading)], columns=[str(h) for h in range(reading.heads)],
            row_axis="layer", column_axis="head", quantity="share of the difference in logits",
            arrays={"values": values.reshape(len(layers), reading.heads).astype(np.float32)},
        ),
        "check": Scorecard(
            title="The two prompts", scores=pair.scores(), facts=pair.facts(reading) | {"receiver": params.receiver, "base": params.base},
        ),
    }  # fmt: skip


def patched_paths(
    model: TextModel, pair: Pair, senders: list[Site], receiver: Site | None, base: torch.Tensor,
    held: dict[str, torch.Tensor], given: dict[str, torch.Tensor],
) -> Floats:  # fmt: skip
    """The metric, float64 [senders]: of each sender's own change along the paths to the receiver.

    Args:
        held, given: outputs of the heads side by side on the base and on the other prompt, [1, T, D] by layer.
    """
    layers = [layer for layer in model.layers.values() if layer.name in held]
    inputs = base.expand(len(senders), -1)

    def frozen(name: str) -> torch.Tensor:
        """[senders, T, D]: the base run's values, but for the sender of each row."""
        out = held[name].expand(len(senders), -1, -1).clone()
        for row, sender in enumerate(senders):
            if sender.layer.name == name:
                out[row, :, sender.start : sender.stop] = given[name][0, :, sender.start : sender.stop]
        return out

    # What a layer computes is recorded before it is frozen: hooks act in the order in which they are set.
    with torch.no_grad(), ExitStack() as stack:
        outputs = stack.enter_context(model.record([receiver.layer] if receiver else []))
        for layer in layers:
            stack.enter_context(model.changed(layer, lambda _, name=layer.name: frozen(name)))  # type: ignore[misc]
        logits = model.forward(inputs)
    if receiver is not None:
        heard = outputs[receiver.layer.name][:, :, receiver.start : receiver.stop]

        def hear(tensor: torch.Tensor) -> torch.Tensor:
            out = tensor.clone()
            out[:, :, receiver.start : receiver.stop] = heard
            return out

        with torch.no_grad(), model.changed(receiver.layer, hear):
            logits = model.forward(inputs)
    return pair.difference(logits).double().cpu().numpy()


def _receiver(model: TextModel, layers: list[list[Site]], name: str) -> Site | None:
    if name == "logits":
        return None
    found = next((site for sites in layers for site in sites if site.name == name), None)
    if found is None:
        raise InvalidInput(
            f"{model.source} has no receiver '{name[:60]}'. Receivers are 'logits' and heads from {layers[0][0].name} to "
            f"{layers[-1][-1].name}.",
            field="params.receiver",
        )
    if found.layer == layers[0][0].layer:
        raise InvalidInput(f"No head comes before {name}, which is in the first block.", field="params.receiver")
    return found
