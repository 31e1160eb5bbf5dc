"""The measures that quantus knows too. It is GPL and not among our dependencies: skipped where it is not installed.

To run them: ``pip install --target DIR --no-deps quantus==0.6.0 opencv-python scikit-image ImageIO lazy-loader tifffile pandas cachetools``
and ``PYTHONPATH=DIR``; never beside zennit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from microtome.core.context import SilentContext
from microtome.methods.faithfulness import deletion
from microtome.methods.faithfulness import localisation as loc
from microtome.methods.faithfulness.order import answers, counts, ranks
from microtome.methods.faithfulness.similarity import spearman
from microtome.methods.faithfulness.sparseness import gini
from tests import micro
from tests.methods.faithfulness.common import class_target, picture

quantus = pytest.importorskip("quantus", reason="quantus is not installed (GPL, an oracle only)", exc_type=ImportError)
OPTIONS: dict[str, Any] = {"disable_warnings": True, "display_progressbar": False, "normalise": False}


def score(measure: Any, maps: np.ndarray, **given: Any) -> list[float]:
    rows = len(maps)
    arguments = {"model": None, "x_batch": np.zeros((rows, 3, *maps.shape[1:])), "y_batch": np.zeros(rows, int)} | given
    return [float(np.asarray(v).item()) for v in measure(a_batch=maps[:, None], device="cpu", **arguments)]


@pytest.fixture
def maps() -> np.ndarray:
    return np.random.default_rng(0).random((6, 24, 20))


@pytest.fixture
def regions() -> np.ndarray:
    return np.random.default_rng(1).random((6, 24, 20)) > 0.7


def test_sparseness(maps: np.ndarray) -> None:
    np.testing.assert_allclose(gini(maps.reshape(6, -1)), score(quantus.Sparseness(**OPTIONS), maps), rtol=1e-6)


def test_localisation(maps: np.ndarray, regions: np.ndarray) -> None:
    masks = regions[:, None].astype(int)
    ours = [loc.pointing(m, r) for m, r in zip(maps, regions, strict=True)]
    assert ours == score(quantus.PointingGame(**OPTIONS), maps, s_batch=masks)
    mass = [float(loc.inside_mass(m, r)) for m, r in zip(maps, regions, strict=True)]
    np.testing.assert_allclose(mass, score(quantus.RelevanceMassAccuracy(**OPTIONS), maps, s_batch=masks), rtol=1e-6)
    rank = [float(loc.inside_rank(ranks(m.reshape(1, -1))[0], r)) for m, r in zip(maps, regions, strict=True)]
    np.testing.assert_allclose(rank, score(quantus.RelevanceRankAccuracy(**OPTIONS), maps, s_batch=masks), rtol=1e-6)


def test_rank_correlation(maps: np.ndarray) -> None:
    assert spearman(maps[0], maps[1]) == pytest.approx(
        quantus.functions.similarity_func.correlation_spearman(maps[0].ravel(), maps[1].ravel())
    )


def test_deletion_is_pixel_flipping_at_our_shares() -> None:
    model = micro.load("resnet", size=48)
    image, pixels = model.inputs([picture(48).image]), 48 * 48
    map = np.random.default_rng(2).random((1, pixels))
    target, fill = class_target(model, 1), torch.full_like(image, 0.25)
    said = answers(model, image, fill, ranks(map), deletion.removals(1, pixels), [target], SilentContext())
    ours, _ = deletion.curves(said.values(target), 0)

    class Plain(torch.nn.Module):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return model.forward(inputs)

    step = 3
    # Theirs flips channels one by one: those of a pixel follow each other here, and a step is three pixels of three channels.
    each = (pixels - ranks(map).reshape(1, 1, 48, 48)) + np.array([0.3, 0.2, 0.1]).reshape(1, 3, 1, 1)
    flipping = quantus.PixelFlipping(features_in_step=3 * step, perturb_baseline=0.25, **OPTIONS)
    [theirs] = flipping(model=Plain().eval(), x_batch=image.numpy(), y_batch=np.array([1]), a_batch=each, device="cpu", softmax=True)
    theirs = np.asarray(theirs).reshape(-1)  # after 3, 6, 9 ... pixels
    shared = [(place, count) for place, count in enumerate(counts(pixels)) if count and count % step == 0]
    assert len(shared) >= 5
    np.testing.assert_allclose(ours[[p for p, _ in shared]], theirs[[count // step - 1 for _, count in shared]], atol=1e-5)
