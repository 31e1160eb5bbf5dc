"""Which gates stay shut, and which stay open."""

from __future__ import annotations

from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field

from microtome.core.context import RunContext
from microtome.core.errors import InvalidInput
from microtome.methods.contract import Cost, MethodParams, method
from microtome.methods.language import inputs_of, text_model
from microtome.methods.recurrent.reading import batches, layers_of_kind, read_texts, resampled_ratio
from microtome.models.layers import Layer
from microtome.models.model import Model
from microtome.models.text import TextModel
from microtome.probes import ProbeSet, TextSet
from microtome.results import Column, Matrix, Result, Scorecard, UnitTable

_BATCH = 16
#: A unit is called shut or open if it is so for more than this share of the time.
MOSTLY = 0.9
Ints = npt.NDArray[np.int64]


class Params(MethodParams):
    low: float = Field(0.1, gt=0, lt=0.5, description="A gate below this is left-saturated: shut.")
    high: float = Field(0.9, gt=0.5, lt=1, description="A gate above this is right-saturated: open.")
    texts: int = Field(500, ge=1, le=100_000, description="First texts of the probe set.")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Seed of the bootstrap.")


@method(
    "gate-saturation",
    title="Saturated gates",
    question="Which gates stay shut, and which stay open?",
    subjects=("model", "probe"),
    modalities=("text",),
    returns=(UnitTable, Matrix, Scorecard),
    params=Params,
    example_params=Params(texts=4),
    cite="Karpathy, Johnson, Li 2015, arXiv:1506.02078",
    cost=Cost(passes=1.0, per_probe=True),
)
def gate_saturation(*, model: Model, probe: ProbeSet, params: Params, run: RunContext) -> dict[str, Result]:
    """Share of all tokens at which each gate is left-saturated (below 0.1) and right-saturated (above 0.9).

    A forget gate that is open nearly always belongs to a cell that keeps what it has for long; one that is shut nearly always belongs
    to a cell that lives from token to token. Tokens around the texts are left out; comparison is strict. The summary has the mean over
    the units of every gate, with 95 % bootstraps over texts.

    Raises:
        InvalidInput: a model that takes no texts or has no gates (``model``).
    """
    run.check()
    reading = text_model(model)
    gates = layers_of_kind(reading, "gate")
    shut, opened, sums, tokens = _counted(reading, cast("TextSet", probe), gates, params, run)
    count = int(tokens.sum())
    results: dict[str, Result] = {}
    rows = []
    for layer in gates:
        left, right = shut[layer.name].sum(0) / count, opened[layer.name].sum(0) / count
        mean = sums[layer.name] / count
        results[f"units_{layer.label.replace('.', '_')}"] = UnitTable.of(
            title=f"Saturation of {layer.label}",
            note=f"Of {count:,} tokens in {len(tokens):,} texts. Left: below {params.low:g}. Right: above {params.high:g}.",
            layer=layer.name,
            columns=[
                Column("left", "Left-saturated", "number", left, "share"),
                Column("right", "Right-saturated", "number", right, "share"),
                Column("between", "Neither", "number", 1 - left - right, "share"),
                Column("mean", "Mean", "number", mean),
            ],
        )
        rows.append([left.mean(), right.mean(), (left > MOSTLY).mean(), (right > MOSTLY).mean()])
    results["layers"] = Matrix(
        title="Saturation of all gates",
        note=f"Shares of time are means over units. Shut and open units: those so for more than {MOSTLY:.0%} of {count:,} tokens.",
        rows=[layer.label for layer in gates], columns=["time left", "time right", "units shut", "units open"], row_axis="layer",
        column_axis="share", quantity="share", positions=count, arrays={"values": np.array(rows, np.float32)},
    )  # fmt: skip
    results["summary"] = Scorecard(
        title="Saturation of all gates",
        note="Share of tokens, mean over units. Interval: bootstrap over texts.",
        scores=[
            _score(layer, name, counts[layer.name], tokens, params.seed)
            for layer in gates
            for name, counts in (("left", shut), ("right", opened))
        ],
        facts={"tokens": count, "texts": len(tokens), "low": params.low, "high": params.high},
    )
    return results


def _counted(
    model: TextModel, probe: TextSet, gates: list[Layer], params: Params, run: RunContext
) -> tuple[dict[str, Ints], dict[str, Ints], dict[str, npt.NDArray[np.float64]], Ints]:
    """Per gate, int64 [texts, units]: tokens at which it is shut, and open; its sums [units]; tokens of each text."""
    texts = read_texts(model, probe, params.texts)
    places = {index: row for row, index in enumerate(texts)}
    shut = {layer.name: np.zeros((len(texts), layer.units), np.int64) for layer in gates}
    opened = {layer.name: np.zeros((len(texts), layer.units), np.int64) for layer in gates}
    sums = {layer.name: np.zeros(layer.units) for layer in gates}
    for part in batches(texts, _BATCH):
        run.check()
        lengths = [texts[i].last - texts[i].first for i in part]

        def count(layer: Layer, raw: torch.Tensor, part: list[int] = part, lengths: list[int] = lengths) -> None:
            maps = layer.canonical(raw)[:, :, 0].float()
            if maps.min() < 0 or maps.max() > 1:
                raise InvalidInput(f"{layer.label} is said to be a gate, but leaves the range 0 to 1.", field="model")
            for row, (index, length) in enumerate(zip(part, lengths, strict=True)):
                own = maps[row, :, :length]
                shut[layer.name][places[index]] = (own < params.low).sum(1).cpu().numpy()
                opened[layer.name][places[index]] = (own > params.high).sum(1).cpu().numpy()
                sums[layer.name] += own.cpu().double().sum(1).numpy()

        with torch.inference_mode(), model.tapped(gates, count):
            model.forward(inputs_of(model, [texts[i] for i in part]))
        run.progress(places[part[-1]] + 1, len(texts), "texts read")
    return shut, opened, sums, np.array([t.last - t.first for t in texts.values()], np.int64)


def _score(layer: Layer, name: str, counts: Ints, tokens: Ints, seed: int) -> Scorecard.Score:
    means = counts.mean(1)
    low, high = resampled_ratio(means[:, None], tokens[:, None].astype(np.float64), seed)
    return Scorecard.Score(
        name=f"{layer.label} {name}", value=float(means.sum() / tokens.sum()), unit="share", low=float(low[0]), high=float(high[0]),
        group=name,
    )  # fmt: skip
