"""Contributions of neurons: closed form on a linear model, completeness, and an integral by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from microtome.core.context import SilentContext
from microtome.core.errors import InvalidInput
from microtome.methods.concepts.conductance import along_embeddings, along_units
from microtome.methods.concepts.neuron_integrated_gradients import Params, neuron_integrated_gradients
from tests import micro
from tests.methods.circuits.strong import CLEAN, linear, strong
from tests.reference.circuits import forward

TARGET = 7


def output(logits: torch.Tensor) -> torch.Tensor:
    return logits[:, -1, TARGET]


def run(layers: list[str] | None = None, model: Any = None, **params: Any) -> dict[str, Any]:
    return neuron_integrated_gradients.function(
        model=model or strong(), prompt=CLEAN, layers=layers, params=Params(**params), run=SilentContext()
    )  # fmt: skip


def test_on_a_linear_model_a_contribution_is_activation_times_weight() -> None:
    """``F(h) = F(0) + w . h``: the last block's neurons write through ``down`` and ``unembed``, at the last token only."""
    model = linear()
    ids = model.inputs([CLEAN])
    layer = next(x for x in model.layers.values() if x.kind == "neurons" and x.name.startswith("blocks.1"))
    with torch.no_grad(), model.record([layer]) as outputs:
        model.forward(ids)
    weights = model.network.unembed.weight[TARGET] @ model.network.blocks[1].feed.down.weight
    found = along_units(model, layer, ids, output, 3, SilentContext())
    np.testing.assert_allclose(found.contributions[-1], (outputs[layer.name][0, -1] * weights).numpy(), atol=1e-5)
    np.testing.assert_allclose(found.contributions[:-1], 0, atol=1e-6)
    start = model.inputs([CLEAN]).clone()
    start[:, 1:] = 5
    with torch.no_grad(), model.record([layer]) as at_start:
        model.forward(start)
    change = (outputs[layer.name] - at_start[layer.name])[0, -1]
    (through,) = along_embeddings(model, [layer], ids, start, output, 2, SilentContext())
    np.testing.assert_allclose(through.contributions[-1], (change * weights).numpy(), atol=1e-5)


@pytest.mark.parametrize("kind", ["neurons", "heads", "residual", "attention"])
@pytest.mark.parametrize("measure", ["logit", "probability"])
def test_the_path_of_a_layer_is_complete(kind: str, measure: str) -> None:
    """32 points of Gauss-Legendre; tolerance 0.5 % of the difference, or 1e-4: activation functions are smooth, layer norms less so."""
    names = [x.name for x in micro.load_text("gpt2").layers.values() if x.kind == kind][:-1]
    found = run(names, model=micro.load_text("gpt2"), measure=measure, shown=1000)["completeness"]
    for total, difference, gap in zip(*(found.scores[i::3] for i in range(3)), strict=True):
        assert gap.value == pytest.approx(total.value - difference.value)
        assert total.value == pytest.approx(difference.value, rel=5e-3, abs=1e-4)


def test_the_path_of_embeddings_is_complete_over_the_residual_stream_and_shrinks_with_steps() -> None:
    names = [x.name for x in strong().layers.values() if x.kind in ("embeddings", "residual")]
    gaps = []
    for steps in (50, 400):
        found = run(names, path="embeddings", baseline=" ", steps=steps)["completeness"]
        assert len({round(s.value, 6) for s in found.scores[1::3]}) == 1
        gaps.append(max(abs(s.value) for s in found.scores[2::3]))
        size = abs(found.scores[1].value)
    assert gaps[1] < 0.01 * max(size, 1.0)
    assert gaps[1] <= gaps[0]


def test_contributions_equal_an_integral_by_hand() -> None:
    """Central differences of the reference forward pass at 60 midpoints of the path, of three neurons of one token; tolerance 2 %."""
    model = strong()
    ids = model.tokenizer.encode(CLEAN).ids.tolist()
    _, values, _ = forward(model, ids)
    whole = values["h2.mlp"].double()
    found = along_units(model, model.layer("h2.mlp"), model.inputs([CLEAN]), output, 64, SilentContext()).contributions
    place = len(ids) - 1
    for unit in np.argsort(-np.abs(found[place]))[:3]:
        slopes = []
        for share in (np.arange(60) + 0.5) / 60:
            ends = []
            for sign in (1, -1):
                given = (whole * share).float()
                given[place, unit] += sign * 1e-2
                ends.append(float(forward(model, ids, lambda n, v, g=given: g if n == "h2.mlp" else v)[0][-1, TARGET]))
            slopes.append((ends[0] - ends[1]) / 2e-2)
        expected = float(whole[place, unit]) * np.mean(slopes)
        assert found[place, unit] == pytest.approx(expected, rel=2e-2, abs=1e-2)


def test_the_table_holds_the_largest_first_and_heads_are_units() -> None:
    found = run(["h1.mlp", "h1.heads"], shown=5)
    table = found["units_h1_mlp"]
    assert len(table.units) == 5
    assert (np.diff(np.abs(table.column("contribution"))) <= 0).all()
    assert sorted(found["units_h1_heads"].units) == [0, 1, 2]


@pytest.mark.parametrize(
    ("field", "params"),
    [("params.target", {"target": "left right"}), ("params.baseline", {"baseline": " "}),
     ("params.baseline", {"path": "embeddings", "baseline": "a b"})],
)  # fmt: skip
def test_what_cannot_be_asked_is_refused_by_name(field: str, params: dict[str, str]) -> None:
    with pytest.raises(InvalidInput) as caught:
        run(**params)
    assert caught.value.field == field


def test_models_that_do_not_predict_the_next_token_are_refused() -> None:
    with pytest.raises(InvalidInput) as caught:
        run(model=micro.load_text("bert"))
    assert caught.value.field == "model"
