"""Ablation against running the whole network once per set of units."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from microtome.core.context import SilentContext
from microtome.core.errors import InvalidInput
from microtome.methods.interventions.ablate_units import Params, ablate_units, spread
from tests import micro


class Labelled:
    """The micro probe set with class labels, so that accuracy is defined."""

    classes = micro.CLASSES

    def __init__(self) -> None:
        self._probe = micro.probe()

    def __len__(self) -> int:
        return len(self._probe)

    def image(self, index: int) -> Any:
        return self._probe.image(index)

    def label(self, index: int) -> int:
        return index % 3


def run(probe: Any, params: Params, indices: list[int], layer: str = "stage3.0") -> Any:
    return ablate_units.function(
        model=micro.load("resnet"), probe=probe, units={"layer": layer, "indices": indices}, params=params, run=SilentContext()
    )["effect"]


def by_hand(units: list[int], layer: str = "stage3.0", values: torch.Tensor | None = None) -> np.ndarray:
    """Change of accuracy in points, one image at a time, with a hook of its own."""
    model, probe = micro.load("resnet"), Labelled()
    change = []
    for i in range(len(probe)):
        inputs = model.inputs([probe.image(i)])
        with torch.no_grad():
            before = int(model.network(inputs).logits.argmax())

            def off(_: Any, __: Any, out: torch.Tensor) -> torch.Tensor:
                out = out.clone()
                for u in units:
                    out[:, u] = 0 if values is None else values[u]
                return out

            handle = model.module(model.layer(layer)).register_forward_hook(off)
            after = int(model.network(inputs).logits.argmax())
            handle.remove()
        change.append((after == probe.label(i)) - (before == probe.label(i)))
    return np.mean(change) * 100


def test_effect_equals_the_plain_way() -> None:
    for units in ([0], [1, 5, 9], list(range(12))):
        effect = run(Labelled(), Params(examples=12, draws=0), units)
        assert effect.scores[0].value == pytest.approx(by_hand(units))
        assert effect.facts["measure"] == "accuracy"
        assert effect.scores[0].chance is None


def test_chance_band_is_seeded_and_says_its_draws() -> None:
    first, again = (run(Labelled(), Params(examples=12, draws=20, seed=1), [0]) for _ in range(2))
    assert first.scores == again.scores
    assert all(s.draws == 20 and s.chance_low <= s.chance <= s.chance_high for s in first.scores)
    assert all(s.low <= s.value <= s.high for s in first.scores)


def test_without_matching_classes_agreement_takes_the_place_of_accuracy() -> None:
    effect = run(micro.probe(), Params(examples=12, draws=0), [0, 1, 2, 3])
    assert effect.facts["measure"] == "agreement with the unchanged model"
    assert effect.facts["before"] == 100.0
    assert effect.scores[0].value <= 0


def test_units_set_to_their_mean_equal_the_plain_way() -> None:
    model, probe = micro.load("resnet"), Labelled()
    layer = model.layer("stage3.0")
    with torch.no_grad(), model.record([layer]) as outputs:
        model.forward(model.inputs([probe.image(i) for i in range(len(probe))]))
    means = outputs[layer.name].double().mean((0, 2, 3)).float()
    assert means.abs().max() > 0
    units = list(range(layer.units))
    effect = run(probe, Params(examples=12, draws=0, value="mean"), units)
    assert effect.scores[0].value == pytest.approx(by_hand(units, values=means))
    assert "mean" in effect.title


def test_units_outside_the_layer_are_refused() -> None:
    with pytest.raises(InvalidInput, match="units 0 to 15"):
        run(Labelled(), Params(), [16])


def test_examples_are_spread_with_all_classes_alike() -> None:
    chosen = spread(2400, 240, 12)
    assert len(chosen) == 240
    assert np.bincount(np.array(chosen) % 12).tolist() == [20] * 12
    assert max(chosen) > 2300
    assert spread(5, 10, 3) == [0, 1, 2, 3, 4]
