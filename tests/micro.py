"""Micro models of every family and a micro probe set, made on the spot from fixed seeds."""

from __future__ import annotations

import json
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

ROOT = Path(tempfile.mkdtemp(prefix="microtome-micro-"))
SHARED = Path(__file__).resolve().parents[1].parent / "shared" / "data"
FAMILIES = ("resnet", "vit", "mobilenet", "convnext")
CLASSES = ("disc", "square", "stripe")


def _network(family: str, size: int) -> Any:
    import transformers as t

    labels = {"id2label": dict(enumerate(CLASSES)), "label2id": {c: i for i, c in enumerate(CLASSES)}}
    if family == "resnet":
        c = t.ResNetConfig(
            embedding_size=8, hidden_sizes=[8, 12, 16, 24], depths=[1, 1, 1, 2], layer_type="basic", image_size=size, **labels
        )
        return t.ResNetForImageClassification(c)
    if family == "vit":
        c = t.ViTConfig(
            hidden_size=24, num_hidden_layers=3, num_attention_heads=2, intermediate_size=32, image_size=size, patch_size=8, **labels
        )
        return t.ViTForImageClassification(c)
    if family == "mobilenet":
        return t.MobileNetV2ForImageClassification(
            t.MobileNetV2Config(image_size=size, depth_multiplier=0.35, min_depth=4, depth_divisible_by=4, **labels)
        )
    c = t.ConvNextConfig(hidden_sizes=[8, 12, 16, 24], depths=[1, 1, 2, 1], image_size=size, **labels)
    return t.ConvNextForImageClassification(c)


def _processor(family: str, size: int) -> Any:
    import transformers as t

    if family == "vit":
        return t.ViTImageProcessor(size={"height": size, "width": size})
    if family == "mobilenet":
        return t.MobileNetV2ImageProcessor(size={"shortest_edge": size + 8}, crop_size={"height": size, "width": size})
    return t.ConvNextImageProcessor(size={"shortest_edge": size}, crop_pct=0.875)


@lru_cache
def model_folder(family: str, processor: bool = True, size: int = 64, seed: int = 0) -> Path:
    """A saved random classifier, as ``transformers`` writes it."""
    folder = ROOT / f"{family}-{size}-{seed}{'' if processor else '-bare'}"
    if not folder.exists():
        torch.manual_seed(seed)
        _network(family, size).save_pretrained(folder)
        if processor:
            _processor(family, size).save_pretrained(folder)
    return folder


@lru_cache
def load(family: str, processor: bool = True, size: int = 64) -> Any:
    from microtome.models import load_model

    return load_model(f"path:{model_folder(family, processor, size)}")


def write_probe(folder: Path, count: int = 12, size: tuple[int, int] = (72, 60), seed: int = 0) -> Path:
    """A segmentation folder: ``val/``, ``val_labels/``, ``concepts.json`` with four concepts and an ignored value."""
    generator = np.random.default_rng(seed)
    (folder / "val").mkdir(parents=True, exist_ok=True)
    (folder / "val_labels").mkdir(exist_ok=True)
    named = [("sky", "object"), ("disc", "object"), ("square", "part"), ("edge", "material")]
    concepts = [{"index": i, "name": n, "category": c} for i, (n, c) in enumerate(named)]
    (folder / "concepts.json").write_text(json.dumps({"concepts": concepts, "ignore": [9]}))
    height, width = size
    y, x = np.mgrid[:height, :width]
    for i in range(count):
        labels = np.zeros(size, np.uint8)
        cy, cx, r = generator.integers(15, height - 15), generator.integers(15, width - 15), generator.integers(6, 14)
        labels[(y - cy) ** 2 + (x - cx) ** 2 < r * r] = 1
        top, left = generator.integers(0, height - 20), generator.integers(0, width - 20)
        labels[top : top + 14, left : left + 10] = 2
        labels[-4:] = 3
        labels[:3, :5] = 9
        colours = generator.integers(0, 255, (10, 3))
        image = (colours[labels] * 0.8 + generator.integers(0, 50, (*size, 3))).clip(0, 255).astype(np.uint8)
        Image.fromarray(image).save(folder / "val" / f"{i:03d}.png")
        Image.fromarray(labels).save(folder / "val_labels" / f"{i:03d}.png")
    return folder


@lru_cache
def probe(count: int = 12) -> Any:
    from microtome.probes import open_probe

    return open_probe(f"path:{write_probe(ROOT / f'probe-{count}', count)}#val")
