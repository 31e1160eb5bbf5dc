"""Which units a prompt drives, token by token."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from pydantic import Field

from microtome.core.context import RunContext
from microtome.core.errors import InvalidInput
from microtome.methods.contract import Cost, MethodParams, Results, method
from microtome.methods.language import inputs_of, prompt_tokens, text_model
from microtome.models.model import Model
from microtome.probes import ProbeSet
from microtome.results import LensGrid, UnitTable


class Params(MethodParams):
    count: int = Field(8, ge=1, le=50, description="Units named for each token.")
    layer: str | None = Field(
        None, max_length=220, description="Only units of this layer; of all dissected ones if empty.", json_schema_extra={"format": "layer"}
    )


@method(
    "prompt-units",
    title="Units that a text drives",
    question="Which units does this text drive?",
    subjects=("model", "probe", "prompt"),
    modalities=("text",),
    returns=(LensGrid,),
    params=Params,
    example_params=Params(count=3),
    builds_on=("dissection",),
    interactive=True,
    cite="the activations themselves, in deviations of the probe set",
    cost=Cost(passes=1.0),
)
def prompt_units(  # type: ignore[no-untyped-def]
    *, model: Model, probe: ProbeSet, prompt: str, results: Mapping[str, Mapping[str, Results]], params: Params, run: RunContext
):
    """For every token of the prompt, the units of all dissected layers that lie furthest above their usual activation.

    Units are compared in standard deviations from their mean over the probe set, as its dissection measured them: activations of
    different units share no scale. A unit that never varied there is left out.

    Raises:
        InvalidInput: the model does not read, the prompt is empty or too long, or the layer was not dissected (``params.layer``).
    """
    reader = text_model(model)
    tokens = prompt_tokens(reader, prompt)
    parts = results["dissection"]
    layers = [layer for layer in reader.layers.values() if layer.name in parts]
    if params.layer is not None:
        only = reader.layer(params.layer)
        if only not in layers:
            raise InvalidInput(f"{only.label} was not dissected, so nothing is known of what is usual for its units.", field="params.layer")
        layers = [only]
    run.check()
    with torch.inference_mode(), reader.record(layers) as recorded:
        reader.forward(inputs_of(reader, [tokens]))
    count = tokens.last - tokens.first
    names, scores, raw = [], [], []
    for layer in layers:
        table = parts[layer.name]["units"]
        assert isinstance(table, UnitTable)
        mean, std = (np.asarray(table.column(name), np.float64)[:, None] for name in ("mean", "std"))
        values = layer.canonical(recorded[layer.name])[0, :, 0, :count].double().cpu().numpy()
        raw.append(values)
        scores.append(np.where(std > 0, (values - mean) / np.where(std > 0, std, 1.0), -np.inf))
        names += [f"{layer.name}/{i}" for i in range(layer.units)]
    table_of, values_of = np.concatenate(scores), np.concatenate(raw)
    most = min(params.count, len(names))
    chosen = np.argsort(-table_of, axis=0, kind="stable")[:most].T  # [tokens, most]
    used, items = np.unique(chosen, return_inverse=True)
    return {
        "units": LensGrid(
            title="Units that each token drives", note="In standard deviations above the unit's mean over the probe set.",
            rows=tokens.pieces(prompt), columns=["strongest"], row_axis="token", column_axis="end",
            names=[names[i] for i in used], quantity="standard deviations above the mean",
            facts={"units": len(names), "layers": len(layers)},
            arrays={
                "items": items.reshape(count, 1, most).astype(np.int32),
                "values": np.take_along_axis(table_of, chosen.T, axis=0).T.reshape(count, 1, most).astype(np.float32),
                "cells": np.take_along_axis(values_of, chosen.T, axis=0).T[:, :1].astype(np.float32),
            },
            cell_quantity="activation of the strongest unit",
        )
    }  # fmt: skip
