"""The pass that keeps nothing, against activations that are kept."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from microtome.capture.arithmetic.compiled import Compiled
from microtome.capture.passing import Passed, pass_by, rough_quantiles
from microtome.capture.reading import text_width
from microtome.capture.recorders.look import Look
from microtome.core.context import SilentContext
from microtome.core.errors import RunCancelled
from microtome.methods.registry import get_method
from tests import micro


def kept(layer, model, probe) -> list[np.ndarray]:
    """Activations float32 [units, tokens] of every text, each by a forward pass of its own."""
    out = []
    for index in range(len(probe)):
        inputs = model.inputs([probe.text(index)])
        tokens = model.tokenizer.encode(probe.text(index))
        with torch.inference_mode(), model.record([layer]) as found:
            model.forward(inputs)
        out.append(layer.canonical(found[layer.name])[0, :, 0, : tokens.last - tokens.first].numpy())
    return out


@pytest.mark.parametrize("family", micro.TEXT_FAMILIES)
def test_moments_and_the_strongest_texts_are_exact(family: str) -> None:
    model, probe = micro.load_text(family), micro.texts()
    layers = [x for x in model.layers.values() if x.kind in ("neurons", "residual")][:3]
    width = text_width(model, probe, len(probe))
    assert width
    found, tokens = pass_by(model, probe, layers, len(probe), width, 4, Compiled(), SilentContext())
    for layer in layers:
        maps = kept(layer, model, probe)
        whole = np.concatenate(maps, axis=1)
        assert tokens == whole.shape[1]
        moments = found[layer.name].look.moments.finish()
        np.testing.assert_allclose(moments.mean, whole.mean(1, dtype=np.float64), atol=1e-5)
        np.testing.assert_allclose(moments.maximum, whole.max(1), atol=1e-5)
        leaders = found[layer.name].leaders
        peaks = np.stack([m.max(1) for m in maps], axis=1)
        for unit in range(0, layer.units, 5):
            expected = np.sort(peaks[unit])[::-1][:4]
            np.testing.assert_allclose(leaders.values[unit], expected, atol=1e-5)
            for slot, example in enumerate(leaders.examples[unit]):
                own = maps[example][unit]
                np.testing.assert_allclose(leaders.maps[unit, slot, : len(own)], own, atol=1e-5)
                assert own[leaders.sites[unit, slot]] >= own.max() - 1e-5


def test_fewer_texts_than_are_kept() -> None:
    model, probe = micro.load_text("gpt2"), micro.texts()
    layer = model.layer("h0.mlp")
    found, _ = pass_by(model, probe, [layer], 2, 40, 5, Compiled(), SilentContext())
    leaders = found[layer.name].leaders
    assert isinstance(found[layer.name], Passed)
    assert (leaders.examples[:, 2:] == -1).all()
    assert set(leaders.examples[0, :2].tolist()) == {0, 1}


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_rough_quantiles_are_off_by_an_eighth_at_most(scale: float) -> None:
    rng = np.random.default_rng(1)
    values = (rng.normal(size=(4, 5000)) * scale).astype(np.float32)
    values[1] = np.abs(values[1])
    values[2] = -np.abs(values[2])
    values[3, :4000] = 0.0
    look = Look(4)
    maps = values.reshape(4, 1, 5000).transpose(1, 0, 2)[:, :, None]
    look.update(0, np.ascontiguousarray(maps), np.empty((4, 1), np.float32), np.empty((4, 1), np.int32), Compiled())
    grid = (0.3, 0.9, 0.98, 0.995)
    found = rough_quantiles(look.tops, grid)
    for unit in range(4):
        for point, q in enumerate(grid):
            exact = np.sort(values[unit])[min(4999, int(q * 5000))]
            assert abs(found[unit, point] - exact) <= abs(exact) / 8 + 1e-30, (unit, q)


def test_the_survey_publishes_a_whole_result_for_every_layer_and_stops_when_told() -> None:
    spec, run = get_method("survey"), SilentContext()
    model, probe = micro.load_text("gpt2"), micro.texts()
    spec.function(model=model, probe=probe, layers=None, params=spec.parse({"count": 3}), run=run)
    assert list(run.published) == [x.name for x in model.default_layers()]
    for part in run.published.values():
        assert set(part) == {"units", "activation", "exemplars", "summary"}
        assert part["summary"].facts["texts"] == len(probe)

    class Stopped(SilentContext):
        def check(self) -> None:
            raise RunCancelled("stop")

    with pytest.raises(RunCancelled):
        spec.function(model=model, probe=probe, layers=None, params=spec.parse({}), run=Stopped())
