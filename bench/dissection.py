"""Dissection beside the bare forward pass and beside NetDissect-Lite's tally, in one process.

Inside the timing: forward pass, recording, spooling, statistics, exact thresholds at all offered quantiles, histograms,
counts at all of them, exemplars. Outside: decoding and preprocessing (images and labels are in memory on both sides),
compiling the kernels, loading the model, writing results to a database. Answers are compared before a time is printed.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import torch
from common import arguments, document, paired, peak_megabytes, ratio, report
from tests.reference.netdissect import tally as reference_tally
from transformers import ResNetConfig, ResNetForImageClassification

from microtome.capture.recorders.tally import ConceptAreas, Tally
from microtome.capture.recorders.thresholds import GRID, exact_thresholds
from microtome.capture.run import BATCH
from microtome.core.context import SilentContext
from microtome.core.geometry import Geometry
from microtome.methods.dissection.dissection import Params, dissection
from microtome.models.model import Model
from microtome.probes import Concept

SIZE, LABELS, MAPS, CONCEPTS = 224, 112, 3, 700
STAGES = [f"resnet.encoder.stages.{i}.layers.1" for i in range(4)]


class Prepared:
    """Stands for a preprocessor whose work is done: the examples are tensors already."""

    geometry = Geometry("exact", (SIZE, SIZE), (SIZE, SIZE))
    size = (SIZE, SIZE)

    def __call__(self, images: list[Any]) -> torch.Tensor:
        return torch.stack(list(images))


class InMemory:
    """Random images, and label maps of blocks, about eighteen concepts in each image, at the size of the masks."""

    classes, kind = (), "generator"
    concepts = tuple(Concept(f"c{i}", "object", i) for i in range(CONCEPTS))

    def __init__(self, count: int) -> None:
        generator = np.random.default_rng(0)
        self.images = torch.randn(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
        blocks = np.stack([generator.choice(generator.choice(CONCEPTS, 6) + 1, (MAPS, 7, 7)) for _ in range(count)])
        small = blocks.repeat(16, 2).repeat(16, 3).astype(np.uint16)
        self._labels = small.repeat(2, 2).repeat(2, 3)
        self.small = small

    def __len__(self) -> int:
        return len(self.images)

    def image(self, index: int) -> torch.Tensor:
        return self.images[index]

    def label(self, index: int) -> None:
        return None

    def labels(self, index: int) -> np.ndarray:
        return self._labels[index]

    def ignore(self, index: int) -> None:
        return None


def main() -> None:
    options = arguments(__doc__ or "")
    count, pairs = (32, 5) if options.quick else (128, 7)
    torch.manual_seed(0)
    config = ResNetConfig(embedding_size=64, hidden_sizes=[64, 128, 256, 512], depths=[2, 2, 2, 2], layer_type="basic")
    network = ResNetForImageClassification(config)
    model = Model(source="bench", network=network, preprocess=Prepared(), classes=[], family="resnet", hash="", bytes=0, config={})  # type: ignore[arg-type]
    probe = InMemory(count)

    def forward() -> None:
        with torch.inference_mode():
            for start in range(0, count, BATCH):
                model.forward(probe.images[start : start + BATCH])

    def whole(layers: list[str]) -> SilentContext:
        run = SilentContext()
        dissection.function(model=model, probe=probe, layers=layers, params=Params(), run=run)
        return run

    run = whole(STAGES)  # warm: compiles the kernels
    forward()
    last = STAGES[-1]
    layer = model.layer(last)
    maps = np.empty((count, layer.units, layer.height, layer.width), np.float32)
    with torch.inference_mode(), model.record([layer]) as out:
        for start in range(0, count, BATCH):
            model.forward(probe.images[start : start + BATCH])
            maps[start : start + BATCH] = layer.canonical(out[last])
    thresholds = exact_thresholds(maps, GRID)
    point = GRID.index(0.995)

    def ours(values: np.ndarray) -> Tally:
        tally = Tally(values, CONCEPTS, (LABELS, LABELS))
        for start in range(0, count, 64):
            tally.update(maps[start : start + 64], probe.small[start : start + 64])
        return tally

    one = np.ascontiguousarray(thresholds.values[:, point : point + 1])
    areas, shared = reference_tally(maps, one[:, 0], probe.small, CONCEPTS)
    counts = ours(one).finish()
    concept_areas = ConceptAreas.of(probe.small, CONCEPTS).areas
    union = areas[:, None] + concept_areas[None] - shared
    theirs = shared / np.maximum(union, 1)
    mine = counts.shared[:, :, 0] / np.maximum(counts.unit_areas + concept_areas[None] - counts.shared[:, :, 0], 1)
    difference = float(np.abs(theirs - mine).max())
    published = run.published[last]["iou"].arrays["values"]
    if difference > 1e-6 or float(np.abs(published - mine).max()) > 1e-6:
        sys.exit(f"answers differ (IoU by {difference:.2e}); no time is printed")

    four = paired(lambda: whole(STAGES), forward, pairs)
    single = paired(lambda: whole([last]), forward, pairs)
    peer = paired(lambda: reference_tally(maps, one[:, 0], probe.small, CONCEPTS), lambda: ours(one), max(5, pairs - 2))
    start = time.perf_counter()
    ours(thresholds.values)
    every = time.perf_counter() - start
    ratios = {
        "one layer whole over forward": ratio(single["ratio"], 1.10),
        "four stages whole over forward": ratio(four["ratio"], 1.6),
        "reference tally over ours": ratio(peer["ratio"], 40.0),
    }
    figures = {
        "images": count, "layer units": layer.units, "quantiles counted": len(GRID), "concepts": CONCEPTS, "label maps": MAPS,
        "forward seconds": min(four["b"]), "four stages whole seconds": min(four["a"]), "one layer whole seconds": min(single["a"]),
        "tally seconds, one quantile, last stage": min(peer["b"]), "tally seconds, all quantiles, last stage": every,
        "reference tally seconds": min(peer["a"]), "largest IoU difference": difference, "peak megabytes": peak_megabytes(),
        "threads": torch.get_num_threads(),
    }  # fmt: skip
    report(document("dissection", ratios, figures, ("torch", "numpy", "numba", "transformers")), options.json)


if __name__ == "__main__":
    main()
