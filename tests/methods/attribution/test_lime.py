"""LIME against the closed forms of scikit-learn and against Captum; what the fit says of itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from microtome.core.errors import InvalidInput
from microtome.methods.attribution.baseline import baseline_input
from microtome.methods.attribution.features import features_of, squares
from microtome.methods.attribution.lime import Params, fit, kernel, lime, samples
from tests import micro
from tests.methods.attribution.calls import call_of, close, explained
from tests.methods.attribution.nets import as_model
from tests.methods.attribution.test_kernel_shap import by_feature


def cloud(count: int = 200, features: int = 12) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(5)
    present = samples(features, count, 2)
    numbers = present @ generator.normal(size=features) + present[:, 0] * present[:, 1] + generator.normal(size=count) * 0.1 + 3
    return present, numbers, kernel(present, "share", 0.4)


@pytest.mark.parametrize(("how", "penalty"), [("ridge", 1.0), ("ridge", 30.0), ("lasso", 0.001), ("lasso", 0.08)])
def test_fits_equal_those_of_scikit_learn(how: str, penalty: float) -> None:
    from sklearn.linear_model import Lasso, Ridge

    present, numbers, weights = cloud()
    theirs = Ridge(alpha=penalty) if how == "ridge" else Lasso(alpha=penalty, tol=1e-12, max_iter=100_000)
    theirs.fit(present.astype(float), numbers, sample_weight=weights)
    ours = fit(present, numbers, weights, penalty, how)
    np.testing.assert_allclose(ours.values, theirs.coef_, rtol=1e-6, atol=1e-8)
    assert ours.intercept == pytest.approx(theirs.intercept_, rel=1e-6)
    assert ours.explained == pytest.approx(theirs.score(present.astype(float), numbers, weights), rel=1e-6)
    if penalty == 0.08:
        assert 0 < (ours.values == 0).sum() < 12


def test_the_kernel_is_the_published_one() -> None:
    """LIME's own: ``sqrt(exp(-d^2 / width^2))`` of scikit-learn's cosine distance to the row of ones."""
    from sklearn.metrics import pairwise_distances

    present = samples(12, 40, 1)
    away = pairwise_distances(present.astype(float), np.ones((1, 12)), metric="cosine")[:, 0]
    np.testing.assert_allclose(kernel(present, "cosine", 0.25), np.sqrt(np.exp(-(away**2) / 0.25**2)), rtol=1e-9)


@pytest.mark.parametrize("family", ["resnet", "vit"])
def test_equals_captum_on_the_same_samples(family: str) -> None:
    from captum._utils.models.linear_model import SkLearnRidge
    from captum.attr import LimeBase

    call = call_of(family, [1])
    params = Params(count=9, samples=40, baseline="blur", distance="share", width=0.5)
    (part,) = features_of(call, params)
    present = samples(9, 40, 0)
    drawn, weights = iter(present), kernel(present, "share", 0.5)
    weight = {row.tobytes(): w for row, w in zip(present, weights, strict=True)}

    def seen(sample: torch.Tensor, image: torch.Tensor, **_: Any) -> torch.Tensor:
        return torch.where(sample[0].bool()[part.places], image, part.off[None])

    theirs = LimeBase(
        call.model.forward,
        SkLearnRidge(alpha=params.penalty),
        similarity_func=lambda _, __, sample, **___: torch.tensor(weight[sample[0].bool().numpy().tobytes()]),
        perturb_func=lambda _, **__: torch.tensor(next(drawn))[None].float(),
        perturb_interpretable_space=True, from_interp_rep_transform=seen, to_interp_rep_transform=None,
    ).attribute(call.inputs, target=1, n_samples=40)  # fmt: skip
    found = lime.explain(call, params)  # type: ignore[misc]
    close(by_feature(found.maps[0], part.places.numpy()), theirs[0], 1e-4)


def test_a_linear_model_is_found_and_fitted() -> None:
    torch.manual_seed(1)
    model = as_model(nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(3 * 32 * 32, 3)))
    call = call_of(model, [1])
    found = lime.explain(call, Params(samples=200, baseline="black", penalty=0))  # type: ignore[misc]
    black = baseline_input(model, call.inputs, "black")
    leaf = black.clone().requires_grad_(True)
    share = (torch.autograd.grad(model.network(leaf)[0, 1], leaf)[0] * (call.inputs - black)).sum(1)[0]
    places = squares(64, 64, 49)
    close(by_feature(found.maps[0], places), by_feature(share, places), 1e-3)
    assert found.facts["r_squared"][0] > 0.9999  # type: ignore[index]
    assert "badly" not in found.note


class Parity(nn.Module):
    """+1 where an even number of quarters of the image is bright, -1 else: no line fits."""

    def __init__(self) -> None:
        super().__init__()
        self.grey = nn.Conv2d(3, 1, 1, bias=False)
        nn.init.ones_(self.grey.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        lit = nn.functional.adaptive_avg_pool2d(self.grey(x), 2).flatten(1) > 0
        sign = 1.0 - 2.0 * (lit.sum(1) % 2)
        return torch.stack([sign, sign, sign], 1)


def test_a_bad_fit_is_said() -> None:
    model = as_model(Parity())
    call = call_of(model, [1])
    bright = type(call)(model, torch.full_like(call.inputs[:1], 1.0), call.targets, call.run, 0)
    found = lime.explain(bright, Params(count=4, samples=400, baseline="black", width=5))  # type: ignore[misc]
    assert found.facts["r_squared"][0] < 0.2  # type: ignore[index]
    assert "fits badly" in found.note


def test_only_the_features_asked_for() -> None:
    call = call_of("resnet", [0, 1])
    found = lime.explain(call, Params(count=16, samples=100, most=3))  # type: ignore[misc]
    full = lime.explain(call, Params(count=16, samples=100))  # type: ignore[misc]
    for row in range(2):
        few, all = (by_feature(f.maps[row], squares(64, 64, 16)) for f in (found, full))
        assert set(np.flatnonzero(few)) == set(np.argsort(-np.abs(all))[:3])
        assert found.facts["r_squared"][row] < full.facts["r_squared"][row]  # type: ignore[index]


def test_a_kernel_that_sees_only_the_image_is_refused() -> None:
    with pytest.raises(InvalidInput, match="weigh nothing") as caught:
        explained(lime, Params(width=0.01))
    assert caught.value.field == "params.width"


def test_shared_rows_and_images_stay_apart() -> None:
    one, other = call_of("resnet", [0, 1]), call_of("resnet", [2], image=micro.probe().example(2))
    params = Params(count=9, samples=64)
    before = one.model.forward_passes
    alone = lime.explain(one, params).maps  # type: ignore[misc]
    assert one.model.forward_passes == before + 64
    both = type(one)(one.model, torch.cat([one.inputs, other.inputs]), [*one.targets, *other.targets], one.run, 0)
    found = lime.explain(both, params).maps  # type: ignore[misc]
    close(found[:2], alone, 1e-4)
    close(found[2], lime.explain(other, params).maps[0], 1e-4)  # type: ignore[misc]
