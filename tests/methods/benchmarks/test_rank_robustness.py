"""Ranks of pixels: the measures against scipy and by hand, and methods whose robustness is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import kendalltau

from microtome.core.context import SilentContext
from microtome.core.errors import InvalidInput
from microtome.methods.attribution.explain import Attribution, Call
from microtome.methods.benchmarks.measures import shown_of
from microtome.methods.benchmarks.rank_order import overlap, tau_b
from microtome.methods.benchmarks.rank_robustness import Params, _noisy_images
from microtome.methods.registry import methods
from tests.methods.benchmarks.small import Given, install, pictures
from tests.methods.faithfulness.common import linear_model


def first_pixel(call: Call, params: Any = None) -> Attribution:
    """The colours themselves: how far its ranks move is known from the noise."""
    return Attribution(call.inputs.sum(1))


def flat(call: Call, params: Any = None) -> Attribution:
    return Attribution(torch.ones_like(call.inputs[:, 0]))


def slope(call: Call, params: Any = None) -> Attribution:
    """The same map whatever the image."""
    return Attribution(torch.arange(256.0).reshape(1, 16, 16).expand(len(call.inputs), -1, -1))


def run_of(monkeypatch: pytest.MonkeyPatch, count: int = 4, **params: Any) -> dict[str, Any]:
    install(monkeypatch, {"colours": first_pixel, "flat": flat, "slope": slope})
    spec = methods()["rank-robustness"]
    given = {"images": count, "draws": 2, **params}
    return dict(spec.function(model=linear_model(), probe=Given(pictures(count)), params=spec.parse(given), run=SilentContext()))


@pytest.mark.parametrize("count", [2, 3, 17, 64, 500])
@pytest.mark.parametrize("kinds", [2, 7, 10**6])
def test_tau_is_that_of_scipy_with_and_without_ties(count: int, kinds: int) -> None:
    generator = np.random.default_rng([count, kinds])
    one = generator.integers(0, kinds, count).astype(float)
    other = np.where(generator.random(count) < 0.5, one, generator.integers(0, kinds, count)).astype(float)
    np.testing.assert_allclose(tau_b(one, other), kendalltau(one, other).statistic, atol=1e-12)
    np.testing.assert_allclose(tau_b(one, -one), -1 if len(set(one)) > 1 else np.nan, atol=1e-12)


def test_overlap_by_hand() -> None:
    assert overlap(np.array([5.0, 4, 3, 2, 1]), np.array([1.0, 5, 2, 4, 3]), 2) == 0.5
    assert overlap(np.zeros(10), np.zeros(10), 3) == 1
    generator = np.random.default_rng(0)
    found = [overlap(generator.random(400), generator.random(400), 20) for _ in range(400)]
    assert np.mean(found) == pytest.approx(0.05, abs=0.01)


def test_a_map_of_its_own_mind_is_perfect_noise_is_at_chance_and_colours_fall_with_the_radius(monkeypatch: pytest.MonkeyPatch) -> None:
    results = run_of(monkeypatch, methods=["slope", "noise", "colours", "gradients"], radii=[0.3, 0.01])
    by = {(s.group, s.name): s for s in results["scores"].scores}
    for radius in ("0.01", "0.3"):
        assert by["slope", f"rank-correlation at {radius}"].value == 1
        assert by["slope", f"top-overlap at {radius}"].value == 1
        noise = by["noise", f"rank-correlation at {radius}"]
        assert (noise.chance, by["noise", f"top-overlap at {radius}"].chance) == (0, 13 / 256)
        # Eight pairs of independent orders of 256: variance 2 (2 n + 5) / (9 n (n - 1)) each.
        assert abs(noise.value) < 4 * np.sqrt(2 * 517 / (9 * 256 * 255) / 8)
    small, large = (by["colours", f"rank-correlation at {r}"] for r in ("0.01", "0.3"))
    assert 1 > small.value > 0.95
    assert 0.95 > large.value > 0.3
    assert small.low <= small.value <= small.high
    curves = results["rank-correlation"]
    np.testing.assert_allclose(curves.arrays["x"], [0.01, 0.3])
    np.testing.assert_allclose(curves.arrays["y"][2], [small.value, large.value], rtol=1e-6)


def test_a_map_without_order_has_no_score_and_the_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    results = run_of(monkeypatch, 2, methods=["flat", "slope"], radii=[0.1])
    assert results["scores"].facts["refused: flat"] == "the map is the same everywhere (4 maps)"
    assert results["rank-correlation"].series == ["slope"]
    with pytest.raises(InvalidInput, match="the same everywhere"):
        run_of(monkeypatch, 2, methods=["flat"], radii=[0.1])


def test_the_noise_of_an_image_is_one_pattern_larger_or_smaller_and_does_not_hang_on_the_draws() -> None:
    model, probe = linear_model(), Given(pictures(3))
    shown = shown_of(model, probe, range(3), SilentContext())
    few, many = (_noisy_images(model, probe, shown, 1, Params(draws=d, radii=[0.1, 0.2])) for d in (1, 3))
    image = model.inputs([probe.image(1)])
    torch.testing.assert_close(few[1] - image, 2 * (few[0] - image), rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(many[0][:1], few[0])
    assert float(((few[0] - image).abs().amax((0, 2, 3)) * torch.tensor(model.preprocess.std)).max()) == pytest.approx(0.1, rel=0.02)
    assert not torch.allclose(many[0][0], many[0][1])


def test_a_radius_of_nothing_is_refused() -> None:
    with pytest.raises(InvalidInput) as caught:
        methods()["rank-robustness"].parse({"radii": [0.0]})
    assert str(caught.value.field).startswith("params.radii")
