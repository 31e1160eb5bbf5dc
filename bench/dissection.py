"""Dissection beside the bare forward pass and beside NetDissect-Lite's tally, in one process.

Inside the timing of "whole": forward pass, recording, statistics, exact thresholds and counts at all offered quantiles, histograms,
exemplars. "torch alone" does without compiled kernels: forward pass, recording, statistics, exact thresholds and counts at one
quantile. Outside: decoding and preprocessing (images and labels are in memory on both sides), compiling the kernels, loading the
model, writing results to a database. Answers are compared before a time is printed.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import torch
from common import arguments, document, paired, peak_megabytes, ratio, report
from tests.reference.netdissect import tally as reference_tally
from transformers import ResNetConfig, ResNetForImageClassification

from microtome.capture.arithmetic import Arithmetic
from microtome.capture.arithmetic.compiled import Compiled
from microtome.capture.arithmetic.tensors import Tensors
from microtome.capture.labels import encode
from microtome.capture.recorders.batch import Batch
from microtome.capture.recorders.tally import ConceptAreas, Counts, Tally
from microtome.capture.recorders.thresholds import GRID, exact_thresholds
from microtome.capture.run import BATCH
from microtome.capture.shard import Shard
from microtome.capture.taken import Captures
from microtome.core.context import SilentContext
from microtome.core.geometry import Geometry
from microtome.methods.dissection.dissection import Params, dissection
from microtome.models.image import ImageModel
from microtome.probes import Concept

SIZE, LABELS, MAPS, CONCEPTS, FEW = 224, 112, 3, 700, 12
STAGES = [f"resnet.encoder.stages.{i}.layers.1" for i in range(4)]


class Prepared:
    """Stands for a preprocessor whose work is done: consecutive examples are a piece of a tensor in memory."""

    geometry = Geometry("exact", (SIZE, SIZE), (SIZE, SIZE))
    size = (SIZE, SIZE)

    def __call__(self, images: list[tuple[torch.Tensor, int]]) -> torch.Tensor:
        whole, first = images[0]
        return whole[first : first + len(images)]


class InMemory:
    """Random images, and label maps of blocks, some of the concepts in each image, at the size of the masks."""

    classes, kind, hash, modality = (), "generator", "", "image"

    def __init__(self, count: int, concepts: int) -> None:
        generator = np.random.default_rng(0)
        self.concepts = tuple(Concept(f"c{i}", "object", i) for i in range(concepts))
        self.images = torch.randn(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
        blocks = np.stack([generator.choice(generator.choice(concepts, 6) + 1, (MAPS, 7, 7)) for _ in range(count)])
        self.small = blocks.repeat(16, 2).repeat(16, 3).astype(np.uint16)

    def __len__(self) -> int:
        return len(self.images)

    def image(self, index: int) -> tuple[torch.Tensor, int]:
        return self.images, index

    def label(self, index: int) -> None:
        return None

    def labels(self, index: int) -> np.ndarray:
        return self.small[index]

    def ignore(self, index: int) -> None:
        return None


def activations(model: ImageModel, probe: InMemory, name: str) -> np.ndarray:
    layer = model.layer(name)
    maps = np.empty((len(probe), layer.units, layer.height, layer.width), np.float32)
    with torch.inference_mode(), model.record([layer]) as out:
        for start in range(0, len(probe), BATCH):
            model.forward(probe.images[start : start + BATCH])
            maps[start : start + BATCH] = layer.canonical(out[name])
    return maps


def tally(maps: np.ndarray, probe: InMemory, thresholds: np.ndarray, do: Arithmetic, codes: list) -> Counts:  # type: ignore[type-arg]
    counter = Tally(thresholds, len(probe.concepts))
    for number, start in enumerate(range(0, len(maps), 64)):
        counter.update(Batch(start, maps[start : start + 64], codes[number]), do)
    return counter.finish()


def iou(counts: Counts, areas: np.ndarray) -> np.ndarray:
    shared, units = counts.shared[:, :, 0], counts.unit_areas[:, :1]
    return shared / np.maximum(units + areas[None] - shared, 1)


def main() -> None:
    options = arguments(__doc__ or "")
    count, pairs = (32, 5) if options.quick else (128, 7)
    torch.manual_seed(0)
    config = ResNetConfig(embedding_size=64, hidden_sizes=[64, 128, 256, 512], depths=[2, 2, 2, 2], layer_type="basic")
    network = ResNetForImageClassification(config)
    model = ImageModel(source="bench", network=network, preprocess=Prepared(), classes=[], family="resnet", hash="", bytes=0, config={})  # type: ignore[arg-type]
    probe, small = InMemory(count, CONCEPTS), InMemory(count, FEW)
    last = STAGES[-1]

    def forward() -> None:
        with torch.inference_mode():
            for start in range(0, count, BATCH):
                model.forward(probe.images[start : start + BATCH])

    def whole(layers: list[str], data: InMemory = probe) -> SilentContext:
        run = SilentContext()
        dissection.function(model=model, probe=data, layers=layers, params=Params(), run=run)
        return run

    def bare(layers: list[str], do: Arithmetic, histograms: bool = False) -> dict[str, Counts]:
        """Statistics, thresholds and counts at one quantile; histograms as one more recorder."""
        captures = Captures(lambda _, data, examples, width: Shard(data, 0, examples, do, width))
        out = {}
        with captures.open(model, probe, [model.layer(n) for n in layers], count, SilentContext()) as taken:  # type: ignore[arg-type]
            for view in taken.views():
                view.moments()
                if histograms:
                    view.histogram()
                out[view.layer.name] = view.tally(view.thresholds((0.995,)).values, CONCEPTS)
        return out

    run = whole(STAGES)  # warm: compiles the kernels
    forward()
    maps = activations(model, probe, last)
    codes = [encode(probe.small[start : start + 64]) for start in range(0, count, 64)]
    one = exact_thresholds(maps, (0.995,), Compiled()).values
    areas, shared = reference_tally(maps, one[:, 0], probe.small, CONCEPTS)
    concept_areas = ConceptAreas.of(encode(probe.small), CONCEPTS).areas
    theirs = shared / np.maximum(areas[:, None] + concept_areas[None] - shared, 1)
    point = run.published[last]["iou"].grid.index(0.995)
    answers = {
        "compiled": iou(tally(maps, probe, one, Compiled(), codes), concept_areas),
        "torch alone": iou(tally(maps, probe, one, Tensors(), codes), concept_areas),
        "the pass, torch alone": iou(bare(STAGES, Tensors())[last], concept_areas),
        "the dissection": run.published[last]["iou"].arrays["values"],
    }
    counts = run.published[last]["iou"].arrays["counts"][:, :, point]
    worst = {name: float(np.abs(theirs - mine).max()) for name, mine in answers.items()}
    if max(worst.values()) > 1e-6 or not np.array_equal(counts, shared):
        sys.exit(f"answers differ from the reference (largest IoU difference {worst}); no time is printed")

    def reference() -> None:
        reference_tally(maps, one[:, 0], probe.small, CONCEPTS)

    four = paired(lambda: whole(STAGES), forward, pairs)
    single = paired(lambda: whole([last]), forward, pairs)
    peer = paired(reference, lambda: tally(maps, probe, one, Compiled(), codes), pairs)
    alone = paired(lambda: bare(STAGES, Tensors()), forward, pairs)
    pass_ = min(four["b"])
    ratios = {
        "one layer whole over forward": ratio(single["ratio"], 1.10),
        "four stages whole over forward": ratio(four["ratio"], 1.15),
        "four stages whole over forward, torch alone": ratio(alone["ratio"], 1.6),
        "reference tally over ours": ratio(peer["ratio"], 40.0),
    }
    if not options.quick:
        torch_peer = paired(reference, lambda: tally(maps, probe, one, Tensors(), codes), 5)
        three = paired(lambda: whole(STAGES[1:]), lambda: whole(STAGES), pairs)
        more = paired(lambda: bare(STAGES, Compiled()), lambda: bare(STAGES, Compiled(), histograms=True), pairs)
        few = paired(lambda: whole(STAGES, small), lambda: whole(STAGES), pairs)
        ratios |= {
            "reference tally over ours, torch alone": ratio(torch_peer["ratio"], 4.0),
            "one more layer over forward": ratio([(b - a) / pass_ for a, b in zip(three["a"], three["b"], strict=True)], 0.05),
            "one more recorder over forward": ratio([(b - a) / pass_ for a, b in zip(more["a"], more["b"], strict=True)], 0.05),
            "12 concepts over 700, whole": ratio(few["ratio"], None),
        }
    figures = {
        "images": count, "layer units": maps.shape[1], "quantiles counted": len(GRID), "concepts": CONCEPTS, "label maps": MAPS,
        "forward seconds": pass_, "four stages whole seconds": min(four["a"]), "one layer whole seconds": min(single["a"]),
        "tally seconds, one quantile, last stage": min(peer["b"]), "reference tally seconds": min(peer["a"]),
        "largest IoU difference": max(worst.values()), "peak megabytes": peak_megabytes(), "threads": torch.get_num_threads(),
    }  # fmt: skip
    report(document("dissection", ratios, figures, ("torch", "numpy", "numba", "transformers")), options.json)


if __name__ == "__main__":
    main()
