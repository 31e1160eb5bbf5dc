"""Layers, preprocessing and alignment, for every family, with and without a processor file."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from microtome.core.errors import InvalidInput, NotFound, Unavailable
from microtome.core.geometry import Geometry
from microtome.models import load_model
from microtome.models.identity import folder_hash, source_hash
from microtome.models.replay import Replay
from tests import micro

MAIN = {
    "resnet": [("stem", 8, 16), ("stage1.0", 8, 16), ("stage2.0", 12, 8), ("stage3.0", 16, 4), ("stage4.0", 24, 2), ("stage4.1", 24, 2)],
    "vit": [("layer0", 24, 8), ("layer1", 24, 8), ("layer2", 24, 8)],
    "convnext": [("stem", 8, 16), ("stage1.0", 8, 16), ("stage2.0", 12, 8), ("stage3.0", 16, 4), ("stage3.1", 16, 4), ("stage4.0", 24, 2)],
}  # fmt: skip


@pytest.mark.parametrize("family", list(MAIN))
def test_main_layers(family: str) -> None:
    found = [(x.label, x.units, x.height) for x in micro.load(family).default_layers()]
    assert found == MAIN[family]


def test_mobilenet_has_its_sixteen_blocks() -> None:
    labels = [x.label for x in micro.load("mobilenet").default_layers()]
    assert labels == ["stem", *[f"layer{i}" for i in range(16)]]


@pytest.mark.parametrize("family", micro.FAMILIES)
@pytest.mark.parametrize("processor", [True, False])
def test_a_marker_lands_where_the_geometry_says(family: str, processor: bool) -> None:
    """A white square on black goes through the model's processor; the same square as a label goes through the geometry."""
    model = micro.load(family, processor)
    for height, width in [(90, 120), (64, 64), (150, 100)]:
        image, label = np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.uint16)
        top, left = height // 3, width // 2
        image[top : top + 20, left : left + 16], label[top : top + 20, left : left + 16] = 255, 1
        pixels = model.preprocess.to_pixels(model.preprocess([image]))[0].mean(0).numpy()
        shown = model.preprocess.geometry.labels(label, model.preprocess.size)
        bright = pixels > 0.5
        union = (bright | (shown > 0)).sum()
        assert union > 0
        # resampling filters may move an edge by one pixel, never more
        y, x = np.nonzero(bright)
        v, u = np.nonzero(shown)
        for a, b in ((y.min(), v.min()), (y.max(), v.max()), (x.min(), u.min()), (x.max(), u.max())):
            assert abs(int(a) - int(b)) <= 1
        view = model.preprocess.geometry.view(image).mean(2) / 255
        assert np.abs(view - pixels).mean() < 0.03


@pytest.mark.parametrize("family", micro.FAMILIES)
def test_the_fast_path_equals_the_processor(family: str) -> None:
    model = micro.load(family)
    image = np.random.default_rng(0).integers(0, 255, (*model.preprocess.size, 3)).astype(np.uint8)
    direct = model.preprocess([image])
    theirs = model.preprocess._processor(images=[Image.fromarray(image)], return_tensors="np")["pixel_values"]
    if model.preprocess.geometry.box(*image.shape[:2])[:2] == (0.0, 0.0):
        np.testing.assert_allclose(direct.numpy(), theirs, atol=1e-5)
    else:
        np.testing.assert_array_equal(direct.numpy(), theirs)


def test_labels_equal_pillows_nearest_neighbour() -> None:
    labels = np.random.default_rng(0).integers(0, 9, (73, 51)).astype(np.uint8)
    geometry = Geometry("exact", (32, 40), (32, 40))
    expected = Image.fromarray(labels).resize((40, 32), Image.Resampling.NEAREST)
    np.testing.assert_array_equal(geometry.labels(labels, (32, 40)), np.asarray(expected))


@pytest.mark.parametrize("family", micro.FAMILIES)
def test_recording_does_not_change_the_output_and_reads_every_site(family: str) -> None:
    model = micro.load(family)
    inputs = torch.rand(2, 3, *model.preprocess.size, generator=torch.Generator().manual_seed(0))
    plain = model.forward(inputs)
    layers = model.default_layers()
    with model.record(layers) as outputs:
        assert torch.equal(model.forward(inputs), plain)
    for layer in layers:
        assert layer.canonical(outputs[layer.name]).shape == (2, layer.units, layer.height, layer.width)


@pytest.mark.parametrize("family", micro.FAMILIES)
def test_replay_equals_the_whole_pass_with_and_without_intervention(family: str) -> None:
    model = micro.load(family)
    inputs = torch.rand(3, 3, *model.preprocess.size, generator=torch.Generator().manual_seed(1))
    for layer in model.default_layers():
        replay = Replay(model, layer, inputs)
        torch.testing.assert_close(replay.run(), model.forward(inputs), rtol=0, atol=0)
        with model.ablated(layer, [0, 3]):
            torch.testing.assert_close(replay.run(), model.forward(inputs), rtol=0, atol=0)


def test_ablation_sets_exactly_these_units() -> None:
    for family in micro.FAMILIES:
        model = micro.load(family)
        layer = model.default_layers()[1]
        inputs = torch.rand(1, 3, *model.preprocess.size)
        with model.ablated(layer, [1, 2]), model.record([layer]) as outputs:
            model.forward(inputs)
        maps = layer.canonical(outputs[layer.name])
        assert not maps[:, 1:3].any()
        assert maps[:, 0].any()


def test_identity_covers_weights_configuration_and_processor(tmp_path) -> None:  # type: ignore[no-untyped-def]
    import shutil

    folder = shutil.copytree(micro.model_folder("resnet"), tmp_path / "copy")
    first = folder_hash(folder)
    assert first == source_hash(f"path:{folder}") == load_model(f"path:{folder}").hash
    for name in ("config.json", "preprocessor_config.json", "model.safetensors"):
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[:-1] + bytes([data[-1] ^ 1]) if name.endswith("safetensors") else data + b" ")
        assert folder_hash(folder) != first
        (folder / name).write_bytes(data)
    assert folder_hash(folder) == first


def test_errors_say_what_to_do(tmp_path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(NotFound, match="no folder"):
        load_model("path:/nowhere")
    with pytest.raises(InvalidInput, match="save_pretrained"):
        load_model(f"path:{tmp_path}")
    with pytest.raises(NotFound, match="built-in"):
        load_model("builtin:nothing")
    with pytest.raises(InvalidInput, match="not a source"):
        load_model("ftp:x")
    with pytest.raises(NotFound, match="main layers"):
        micro.load("resnet").layer("nope")


def test_hub_models_offline_say_how_to_bring_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(Unavailable, match="copy the folder here"):
        load_model("hf:microtome-tests/not-cached")


@pytest.mark.parametrize("name", ["../../etc", "a/../b", "..", "org/..", "org/a--b", "org//a", "a/b/c", "org/é", "", "-a/b", "a" * 97])
def test_a_name_that_the_hub_could_not_have_is_refused_before_anything_is_looked_up(name: str) -> None:
    with pytest.raises(InvalidInput, match="not a name on the hub"):
        load_model(f"hf:{name}")


def test_a_classifier_without_its_head_is_refused(tmp_path) -> None:  # type: ignore[no-untyped-def]
    import shutil

    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(micro.model_folder("resnet"), tmp_path / "headless")
    weights = {k: v for k, v in load_file(folder / "model.safetensors").items() if not k.startswith("classifier")}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InvalidInput, match="random"):
        load_model(f"path:{folder}")


def build_plain() -> tuple[torch.nn.Module, dict[str, object]]:
    torch.manual_seed(0)
    conv = torch.nn.Conv2d
    net = torch.nn.Sequential(
        conv(3, 8, 3, padding=1), torch.nn.ReLU(inplace=True), torch.nn.MaxPool2d(2), conv(8, 12, 3, padding=1), torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(12, 4),
    )  # fmt: skip
    return net, {"image_size": 32, "classes": ["a", "b", "c", "d"]}


def test_a_plain_network_from_a_trusted_module() -> None:
    model = load_model("module:tests.models.test_families:build_plain")
    assert model.classes == ("a", "b", "c", "d")
    assert [(x.units, x.height) for x in model.default_layers()] == [(8, 32), (12, 16)]
    assert load_model("module:tests.models.test_families:build_plain").hash == model.hash
