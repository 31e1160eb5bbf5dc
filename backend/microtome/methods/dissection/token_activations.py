"""What units give at every token of a prompt."""

from __future__ import annotations

from typing import Any

import torch

from microtome.core.context import RunContext
from microtome.core.errors import InvalidInput
from microtome.methods.contract import Cost, MethodParams, method
from microtome.methods.language import inputs_of, prompt_tokens, text_model
from microtome.models.model import Model
from microtome.results import TokenMap


@method(
    "token-activations",
    title="Activation by token",
    question="Where in this text does a unit respond?",
    subjects=("model", "prompt", "units"),
    modalities=("text",),
    returns=(TokenMap,),
    interactive=True,
    cite="the activations themselves",
    cost=Cost(passes=1.0),
)
def token_activations(*, model: Model, prompt: str, units: dict[str, Any], params: MethodParams, run: RunContext):  # type: ignore[no-untyped-def]
    """Activation of every named unit at every token of the prompt, in one forward pass.

    Returns a token map, float32 [units, tokens] in the activation's own unit. Special tokens around the text are left out, as they are
    in a dissection.

    Raises:
        InvalidInput: the model does not read, has no such layer or unit, or the prompt is empty or too long.
    """
    reader = text_model(model)
    layer = reader.layer(units["layer"])
    indices = sorted(set(units["indices"]))
    if not indices or indices[0] < 0 or indices[-1] >= layer.units:
        raise InvalidInput(f"{layer.label} has units 0 to {layer.units - 1}; asked for {indices[:5]}.", field="units")
    tokens = prompt_tokens(reader, prompt)
    run.check()
    with torch.inference_mode(), reader.record([layer]) as recorded:
        reader.forward(inputs_of(reader, [tokens]))
    count = tokens.last - tokens.first
    values = layer.canonical(recorded[layer.name])[0, indices, 0, :count].float().cpu().numpy()
    return {
        "activations": TokenMap(
            title=f"{layer.label} at every token", tokens=tokens.pieces(prompt),
            rows=[f"{layer.name}/{i}" for i in indices], row_axis="unit", quantity="activation", arrays={"values": values},
        )
    }  # fmt: skip
