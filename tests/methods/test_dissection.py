"""Dissection end to end against the slow reference, on CNN and transformer layers, on drawn and on real images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from microtome.core.context import SilentContext
from microtome.core.errors import InvalidInput, RunCancelled
from microtome.methods.dissection.dissection import Params, dissection
from microtome.models import load_model
from microtome.probes import open_probe
from microtome.results.iou import scores
from tests import micro
from tests.reference.dissection import dissect

QUANTILES = (0.98, 0.995, 0.9995)


def reference_maps(model: Any, probe: Any, layer: str, count: int) -> np.ndarray:
    """Activations by a hook of its own, as [N, U, h, w] read by hand from the raw output."""
    info = model.layers[layer]
    out = []

    def hook(_: Any, __: Any, output: Any) -> None:
        tensor = output[0] if isinstance(output, tuple) else output
        if tensor.ndim == 3:  # tokens: drop the class token, row-major grid
            side = int((tensor.shape[1] - 1) ** 0.5)
            tensor = tensor[:, 1:].permute(0, 2, 1).reshape(tensor.shape[0], -1, side, side)
        out.append(tensor.clone())

    handle = model.network.get_submodule(info.name).register_forward_hook(hook)
    with torch.inference_mode():
        for start in range(0, count, 16):
            model.network(model.preprocess([probe.image(i) for i in range(start, min(start + 16, count))]))
    handle.remove()
    return torch.cat(out).numpy()


def reference_labels(model: Any, probe: Any, count: int, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray | None]:
    """Labels through the model's own processor with nearest neighbour, one image at a time."""
    from PIL import Image

    height, width = model.preprocess.size
    labels, ignore = [], []
    for i in range(count):
        raw, ign = probe.labels(i), probe.ignore(i)
        maps = []
        for layer in [*raw, ign if ign is not None else np.zeros(raw.shape[1:], bool)]:
            # every model of these tests squashes the image to its input size
            picture = Image.fromarray(layer.astype(np.uint8)).resize((width, height), Image.Resampling.NEAREST)
            maps.append(np.asarray(picture.resize(size[::-1], Image.Resampling.NEAREST)))
        labels.append(np.stack(maps[:-1]))
        ignore.append(maps[-1].astype(bool))
    return np.stack(labels), np.stack(ignore)


def check(model: Any, probe: Any, layers: list[str], count: int, every: int = 1) -> None:
    """``every``: of the units, all of which are dissected, so many are skipped between two that are done again the slow way."""
    own = slice(None, None, every)
    run = SilentContext()
    dissection.function(model=model, probe=probe, layers=layers, params=Params(max_examples=count, exemplars=3), run=run)
    size = tuple(s if s <= 128 else s // 2 for s in model.preprocess.size)
    labels, ignore = reference_labels(model, probe, count, size)
    for layer in layers:
        results = run.published[model.layer(layer).name]
        maps = reference_maps(model, probe, model.layer(layer).name, count)[:, own]
        iou, dist = results["iou"], results["activation"]
        for quantile in QUANTILES:
            expected = dissect(maps, labels, ignore, len(probe.concepts), quantile)
            point = iou.grid.index(quantile)
            np.testing.assert_array_equal(dist.arrays["thresholds"][own, point], expected.threshold)
            np.testing.assert_array_equal(iou.arrays["column_areas"], expected.concept_areas)
            assert iou.positions == expected.positions
            assert (np.abs(iou.arrays["row_areas"][own, point] - expected.unit_areas) <= expected.uncertain).all()
            gap = np.abs(iou.arrays["counts"][own, :, point] - expected.shared)
            assert (gap <= expected.uncertain[:, None]).all()
            # the exception must stay the exception
            assert expected.uncertain.sum() <= 1e-3 * expected.positions * len(maps[0])
            got = scores(
                iou.arrays["counts"][own, :, point], iou.arrays["row_areas"][own, point], iou.arrays["column_areas"], iou.positions
            )
            np.testing.assert_allclose(got.iou, expected.iou(), atol=1e-4)
        peaks = maps.reshape(*maps.shape[:2], -1).max(2)
        limits = dist.arrays["thresholds"][own, dist.grid.index(0.995)]
        np.testing.assert_allclose(results["units"].column("density")[own], (peaks > limits).mean(0))
        np.testing.assert_array_equal(results["peaks"].arrays["values"][own], peaks.T)
        top = np.argsort(-peaks, axis=0, kind="stable")[:3].T
        np.testing.assert_array_equal(results["exemplars"].arrays["example"][own, :3], top)
        np.testing.assert_allclose(results["units"].column("mean")[own], maps.mean((0, 2, 3), dtype=np.float64), rtol=1e-5, atol=1e-7)


@pytest.mark.slow
def test_camvid_200_images_cnn_and_transformer() -> None:
    folder = micro.SHARED / "camvid"
    if not folder.exists():
        pytest.skip("shared/data/camvid is not beside this checkout")
    probe = open_probe(f"path:{folder}#train")
    check(micro.load("resnet", processor=False, size=64), probe, ["stage1.0", "stage3.0", "stage4.1"], 200)
    check(micro.load("vit", processor=True, size=64), probe, ["layer0", "layer1", "layer2"], 200)


@pytest.mark.slow
def test_tinyplaces_200_images_cnn_and_transformer() -> None:
    probe = open_probe("builtin:tinyplaces#val:200")
    check(load_model("builtin:tinyplaces-resnet"), probe, ["stage1.1", "stage3.1", "stage4.1"], 200, every=5)
    check(micro.load("vit", processor=True, size=64), probe, ["layer0", "layer1", "layer2"], 200)


@pytest.mark.parametrize("family", micro.FAMILIES)
def test_every_family_publishes_every_main_layer(family: str) -> None:
    model, run = micro.load(family), SilentContext()
    dissection.function(model=model, probe=micro.probe(), params=Params(exemplars=2), run=run)
    assert list(run.published) == [x.name for x in model.default_layers()]
    for results in run.published.values():
        assert set(results) == {"units", "iou", "activation", "exemplars", "peaks", "summary"}
        assert results["activation"].arrays["counts"].sum(1).tolist() == [12 * results["exemplars"].arrays["maps"][0, 0].size] * len(
            results["units"].units
        )


def test_counts_fall_as_the_quantile_rises_and_stay_inside_both_areas() -> None:
    run = SilentContext()
    dissection.function(model=micro.load("resnet"), probe=micro.probe(), layers=["stage2.0"], params=Params(), run=run)
    iou = next(iter(run.published.values()))["iou"].arrays
    assert (np.diff(iou["counts"], axis=2) <= 0).all()
    assert (iou["counts"] <= np.minimum(iou["row_areas"][:, None, :], iou["column_areas"][None, :, None])).all()
    assert (iou["values"] <= iou["ceiling"] + 1e-6).all()


def test_permuted_chance_is_the_maximum_over_concepts_and_seeded() -> None:
    def chance(seed: int) -> list[float]:
        run = SilentContext()
        params = Params(permutations=200, seed=seed, quantile=0.98)
        dissection.function(model=micro.load("resnet"), probe=micro.probe(), layers=["stage2.0"], params=params, run=run)
        return next(iter(run.published.values()))["units"].column("best_chance").tolist()

    assert chance(0) == chance(0)
    assert chance(0) != chance(1)
    assert all(0 <= c <= 1 for c in chance(0))


def test_permuted_chance_against_the_slow_way() -> None:
    from microtome.capture.arithmetic.compiled import Compiled
    from microtome.capture.labels import encode
    from microtome.capture.recorders.batch import Batch
    from microtome.capture.recorders.tally import ConceptAreas
    from microtome.capture.recorders.thresholds import exact_thresholds
    from microtome.methods.dissection.chance import permutation_chance

    generator = np.random.default_rng(5)
    maps = generator.normal(size=(6, 3, 4, 4)).astype(np.float32)
    labels = generator.integers(0, 4, (6, 1, 8, 8)).astype(np.uint16)
    thresholds = exact_thresholds(maps, (0.9,), Compiled()).values
    codes = encode(labels)

    class InTwoParts:
        """A view of activations in memory, given to recorders in two batches."""

        units = 3

        def record(self, recorder: Any, units: tuple[int, int]) -> list[Any]:
            for part in (slice(0, 4), slice(4, 6)):
                recorder.update(Batch(part.start, maps[part, slice(*units)], encode(labels[part])), Compiled())
            return [recorder]

    view: Any = InTwoParts()
    ours = permutation_chance(view, thresholds[:, 0], codes, ConceptAreas.of(codes, 3), 200, 7, SilentContext())
    draw = np.random.default_rng(7)
    best = np.zeros((3, 200))
    for p in range(200):
        order = draw.permutation(6)
        result = dissect(maps, labels[order], None, 3, 0.9)
        best[:, p] = result.iou().max(1)
    np.testing.assert_allclose(ours, np.quantile(best, 0.95, axis=1), atol=1e-12)


@pytest.mark.parametrize(
    ("params", "field"),
    [(Params(quantile=0.5), "params.quantile"), (Params(permutations=10), "params.permutations")],
)
def test_bad_parameters_are_named(params: Params, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        dissection.function(model=micro.load("resnet"), probe=micro.probe(), params=params, run=SilentContext())
    assert caught.value.field == field


def test_cancel_stops_between_batches() -> None:
    class Cancelled(SilentContext):
        def check(self) -> None:
            raise RunCancelled("stopped")

    with pytest.raises(RunCancelled):
        dissection.function(model=micro.load("resnet"), probe=micro.probe(), params=Params(), run=Cancelled())
