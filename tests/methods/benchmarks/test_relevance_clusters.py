"""Planted clusters are found, a planted watermark stands apart, and the pieces agree with scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.cluster import SpectralClustering
from sklearn.metrics import adjusted_rand_score, silhouette_score

from microtome.core.context import SilentContext
from microtome.core.errors import InvalidInput
from microtome.methods.attribution.explain import Attribution, Call
from microtome.methods.benchmarks.clustering import by_gap, clusters, distances, silhouette, spectrum
from microtome.methods.benchmarks.relevance_clusters import wilson
from microtome.methods.registry import methods
from tests.methods.benchmarks.small import Given, install, pictures
from tests.methods.faithfulness.common import linear_model

CLASSES = ("disc", "square", "stripe")


def planted(sizes: tuple[int, ...], noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows of length 1 around a pattern for each size."""
    generator = np.random.default_rng(seed)
    truth = generator.permutation(np.repeat(np.arange(len(sizes)), sizes))
    patterns = generator.normal(size=(len(sizes), 64))
    rows = patterns[truth] / np.linalg.norm(patterns, axis=1)[truth, None] + generator.normal(size=(len(truth), 64)) * noise
    return rows / np.linalg.norm(rows, axis=1, keepdims=True), truth


@pytest.mark.parametrize("sizes", [(20, 12), (25, 14, 9)])
def test_planted_clusters_and_their_number_are_found(sizes: tuple[int, ...]) -> None:
    rows, truth = planted(sizes, 0.06)
    values, vectors = spectrum(distances(rows), 6)
    count = by_gap(values, 8)
    found = clusters(vectors, count, 0)
    assert count == len(sizes)
    assert adjusted_rand_score(truth, found) == 1
    assert np.bincount(found).tolist() == sorted(sizes, reverse=True)
    assert (values[:count] < 1e-9).all()
    assert values[count] > 0.1


def test_clusters_are_those_of_scikit_learn_where_they_touch() -> None:
    rows, _ = planted((30, 30), 0.15, 1)
    apart = distances(rows)
    _, vectors = spectrum(apart, 12)
    joined = np.zeros_like(apart)
    np.put_along_axis(joined, np.argsort(apart + np.diag(np.full(60, np.inf)), 1, kind="stable")[:, :12], 1, 1)
    theirs = SpectralClustering(2, affinity="precomputed", random_state=0).fit_predict(np.maximum(joined, joined.T))
    assert adjusted_rand_score(theirs, clusters(vectors, 2, 0)) > 0.9


def test_silhouette_is_that_of_scikit_learn() -> None:
    rows, truth = planted((7, 5, 1), 0.3)
    apart = distances(rows)
    np.testing.assert_allclose(apart, np.linalg.norm(rows[:, None] - rows[None], axis=2), atol=1e-7)
    np.fill_diagonal(apart, 0)
    assert silhouette(apart, truth) == pytest.approx(silhouette_score(apart, truth, metric="precomputed"))


def test_maps_of_one_kind_are_one_cluster() -> None:
    rows, _ = planted((40,), 0.5)
    values, vectors = spectrum(distances(rows), 10)
    assert by_gap(values, 8) == 1
    assert set(clusters(vectors, 1, 0)) == {0}


def test_the_interval_of_a_share_that_is_one_is_not_a_point() -> None:
    low, high = wilson(1.0, 10)
    assert (low, high) == (pytest.approx(0.7225, abs=1e-4), pytest.approx(1.0))
    assert wilson(0.5, 100) == (pytest.approx(0.4038, abs=1e-4), pytest.approx(0.5962, abs=1e-4))


def times_gradient(call: Call, params: Any = None) -> Attribution:
    """Input from grey times gradient: exact for a linear model."""
    with torch.enable_grad():
        inputs = call.inputs.detach().clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad(call.model.forward(inputs)[:, call.targets[0].index].sum(), inputs)
    grey = (0.5 - torch.tensor(call.model.preprocess.mean)) / torch.tensor(call.model.preprocess.std)
    return Attribution(((call.inputs - grey.view(1, 3, 1, 1)) * gradient).sum(1).detach())


def zeros(call: Call, params: Any = None) -> Attribution:
    return Attribution(torch.zeros_like(call.inputs[:, 0]))


def cheating_model() -> Any:
    """Class 0 by a bright middle or by a bright mark in the corner."""
    model = linear_model()
    weights = torch.zeros(3, 3, 16, 16)
    weights[0, :, 5:11, 5:11], weights[0, :, :3, :3] = 0.05, 0.4
    with torch.no_grad():
        model.network[1].weight.copy_(weights.reshape(3, -1))
        model.network[1].bias.copy_(torch.tensor([0.0, 0.5, -5.0]))
    return model


def marked() -> tuple[Given, np.ndarray]:
    """Thirty images of class 0, eleven of which have the mark and nothing in the middle; ten of class 1."""
    generator = np.random.default_rng(0)
    images = generator.integers(118, 138, (40, 16, 16, 3)).astype(np.uint8)
    mark = np.arange(40) < 11
    images[:11, :3, :3] = 255
    images[11:30, 5:11, 5:11] = generator.integers(215, 255, (19, 6, 6, 3))
    order = generator.permutation(40)
    labels = np.where(np.arange(40) < 30, 0, 1)
    return Given(images[order], labels[order], CLASSES), mark[order]


def run_of(monkeypatch: pytest.MonkeyPatch, probe: Any, model: Any = None, **params: Any) -> dict[str, Any]:
    install(monkeypatch, {"times_gradient": times_gradient, "zeros": zeros})
    spec = methods()["relevance-clusters"]
    given = {"method": "times_gradient", "projection": "pca", "neighbours": 5, **params}
    return dict(spec.function(model=model or cheating_model(), probe=probe, params=spec.parse(given), run=SilentContext()))


def test_a_watermark_that_the_model_relies_on_is_a_cluster_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    probe, mark = marked()
    results = run_of(monkeypatch, probe, class_index=0)
    found = results["clusters"]
    example, group = found.arrays["example"], found.arrays["group"]
    assert len(example) == 30
    assert len(found.groups) == 2
    assert (group == mark[example]).all()
    assert found.groups[1] == "cluster 2: 11 images"
    mean = np.abs(found.arrays["maps"][group == 1]).mean(0)
    assert mean[:3, :3].mean() > 10 * mean[5:11, 5:11].mean()
    assert (found.arrays["value"] <= 1 + 1e-6).all()
    quality = {(s.group, s.name): s for s in results["quality"].scores}
    assert quality["all", "silhouette"].value > 0.5 > quality["all", "silhouette"].chance_high
    assert quality["cluster 2", "size"].value == 11
    assert results["eigenvalues"].arrays["y"][0, 2] - results["eigenvalues"].arrays["y"][0, 1] == pytest.approx(
        quality["all", "eigengap"].value, rel=1e-5
    )


def test_accuracy_of_a_cluster_is_that_of_its_images(monkeypatch: pytest.MonkeyPatch) -> None:
    probe, _ = marked()
    model = cheating_model()
    results = run_of(monkeypatch, probe, model, clusters=3, examples=40)
    said = model.forward(model.inputs([probe.image(i) for i in range(40)])).argmax(1).numpy()
    group = np.empty(40, int)
    group[results["clusters"].arrays["example"]] = results["clusters"].arrays["group"]
    for cluster in range(len(results["clusters"].groups)):
        score = next(s for s in results["quality"].scores if (s.group, s.name) == (f"cluster {cluster + 1}", "accuracy"))
        right = [said[i] == probe.label(i) for i in range(40) if group[i] == cluster]
        assert score.value == pytest.approx(np.mean(right))
        assert score.low <= score.value <= score.high + 1e-9


def test_the_share_of_the_most_frequent_class_is_measured_against_that_of_random_clusters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Labels that have nothing to do with the images: the largest of many shares is large, and no larger than by lot."""
    probe, _ = marked()
    labels = np.random.default_rng(5).integers(0, 3, 40)
    images = [probe.image(i) for i in range(40)]
    results = run_of(monkeypatch, Given(images, labels, CLASSES), clusters=3, examples=40)
    assert len(results["clusters"].groups) == 3
    for cluster in (1, 2, 3):
        score = next(s for s in results["quality"].scores if (s.group, s.name) == (f"cluster {cluster}", "share of its class"))
        assert score.chance > 0.37, "the most frequent of three classes has more than a third"
        assert score.chance_low <= score.value <= score.chance_high


def test_what_cannot_be_clustered_is_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidInput, match="zero everywhere"):
        run_of(monkeypatch, Given(pictures(8)), method="zeros", examples=8)
    with pytest.raises(InvalidInput, match="at least 4"):
        run_of(monkeypatch, Given(pictures(3)), examples=8)
    with pytest.raises(InvalidInput, match="no 7") as caught:
        run_of(monkeypatch, Given(pictures(8)), class_index=7)
    assert caught.value.field == "params.class_index"
