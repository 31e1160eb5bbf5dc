"""Small stand-ins for models, probe sets and methods: the same contracts, no network, no torch."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from microtome.core.errors import InvalidInput, NotFound
from microtome.core.settings import Settings
from microtome.engine.reader import SourceReader
from microtome.methods.contract import Cost, MethodParams, method
from microtome.probes import Concept, Example, Report
from microtome.results import Column, Distribution, Gallery, ImageMap, Matrix, Scatter, Scorecard, UnitTable
from microtome.results.iou import scores

GRID = (0.98, 0.99, 0.995)
LAYERS = (("stage1", "s1", 6, 8), ("stage2", "s2", 10, 4))
CONCEPTS = (("sky", "object"), ("tree", "object"), ("red", "colour"), ("wood", "material"), ("beach", "scene"))
SLOTS = ("top", "top", "top", "random")


def hash_of(source: str) -> str:
    """A fake source is a file whose content is its identity; anything builtin never changes."""
    scheme, _, place = source.partition(":")
    if scheme == "builtin":
        if not place.startswith("fake"):
            raise NotFound(f"There is no built-in '{place}'; there is fake.", field="source")
        return hashlib.sha256(source.encode()).hexdigest()
    if not Path(place).exists():
        raise NotFound(f"There is no folder '{place}'.", field="source")
    return hashlib.sha256(Path(place).read_bytes()).hexdigest()


class FakeModel:
    loaded: ClassVar[int] = 0
    bytes = 4000

    def __init__(self, source: str) -> None:
        if "broken" in source:
            raise InvalidInput(f"{source} is not an image classifier.", field="source")
        self.source, self.hash, self.forward_passes = source, hash_of(source), 0
        FakeModel.loaded += 1

    def describe(self) -> dict[str, Any]:
        layers = [
            {"name": n, "label": la, "kind": "Conv", "units": u, "height": s, "width": s, "default": True, "order": i, "depth": 1}
            for i, (n, la, u, s) in enumerate(LAYERS)
        ]
        return {
            "family": "fake", "hash": self.hash, "parameters": 1000, "units": 16, "input": [3, 32, 32],
            "class_names": ["beach", "forest", "city"], "config": {"kind": "fake"}, "card": None, "bytes": 4000,
            "layers": layers, "images_per_second": 100.0,
            "geometry": {"mode": "exact", "resize": [32, 32], "input": [32, 32], "stated": "processor"},
        }  # fmt: skip


class FakeProbe:
    modality = "image"
    kind = "generator"

    def __init__(self, source: str) -> None:
        self.source, self.hash = source, hash_of(source)
        self.classes = ("beach", "forest")
        self.concepts = tuple(Concept(n, c, i) for i, (n, c) in enumerate(CONCEPTS))
        self.size, self.bytes = (32, 32), 1234
        self.reports = (Report("odd.txt", "'.txt' is not an image format that is read"),)

    def __len__(self) -> int:
        return 24

    def image(self, index: int) -> Any:
        return np.random.default_rng(index).integers(0, 255, (32, 32, 3), np.uint8)

    def label(self, index: int) -> int:
        return index % 2

    def name(self, index: int) -> str:
        return f"image {index}"

    def labels(self, index: int) -> Any:
        return np.full((1, 32, 32), index % 5 + 1, np.uint16)

    def ignore(self, index: int) -> None:
        return None

    def example(self, index: int) -> Example:
        return Example(self.image(index), self.label(index), self.name(index))


class FakeReader(SourceReader):
    def model_hash(self, source: str) -> str | None:
        return hash_of(source)

    def open(self, source: str) -> Any:
        return FakeProbe(source)


class Params(MethodParams):
    quantile: float = Field(0.995, gt=0, lt=1)
    min_iou: float = Field(0.04, ge=0, le=1)
    max_examples: int | None = Field(None, ge=2)
    seed: int = Field(0, ge=0)
    wait: float = Field(0.0, ge=0, le=60, description="Seconds per layer.")


def layer_results(name: str, units: int, size: int, params: Any, examples: int) -> dict[str, Any]:
    rng = np.random.default_rng(len(name) * 7 + units + params.seed)
    peaks = rng.random((units, examples)).astype(np.float32)
    areas = np.sort(rng.integers(50, 200, (units, len(GRID))))[:, ::-1].copy()
    columns = rng.integers(100, 900, len(CONCEPTS))
    shared = (rng.random((units, len(CONCEPTS), len(GRID))) * 40).astype(np.int64)
    point = int(np.abs(np.array(GRID) - params.quantile).argmin())
    score = scores(shared[:, :, point], areas[:, point], columns, 24 * 1024)
    names = [f"{c}:{n}" for n, c in CONCEPTS]
    best = score.iou.argmax(1)
    row = np.arange(units)
    thresholds = np.sort(rng.random((units, len(GRID))).astype(np.float32), axis=1)

    def column(name: str, values: Any, type: str = "number") -> Column:
        return Column(name, name, type, values)

    numbers = {n: rng.random(units).tolist() for n in ("mean", "std", "min", "max", "density", "attained")}
    table = UnitTable.of(
        title=f"Units of {name}", layer=name,
        columns=[
            *(column(n, v) for n, v in numbers.items()), column("threshold", thresholds[:, point].astype(float).tolist()),
            column("dead", [False] * units, "flag"), column("constant", [False] * units, "flag"),
            column("ties", [False] * units, "flag"), column("best_concept", [names[b] for b in best], "text"),
            column("best_category", [names[b].split(":")[0] for b in best], "text"),
            column("best_iou", score.iou[row, best].tolist()), column("best_ceiling", score.ceiling[row, best].tolist()),
            column("best_chance", score.chance[row, best].tolist()),
            column("detector", (score.iou[row, best] > params.min_iou).tolist(), "flag"),
            column("active_positions", areas[:, point].tolist(), "integer"),
        ],
    )  # fmt: skip
    slots = len(SLOTS)
    example = np.stack([rng.permutation(examples)[:slots] for _ in row]).astype(np.int32)
    return {
        "units": table,
        "iou": Matrix(
            title="iou", rows=[], columns=names, row_axis="unit", column_axis="concept", quantity="IoU", grid=list(GRID),
            positions=24 * 1024, layer=name,
            arrays={
                "values": score.iou.astype(np.float32), "chance": score.chance.astype(np.float32),
                "ceiling": score.ceiling.astype(np.float32), "counts": shared, "row_areas": areas, "column_areas": columns,
            },
        ),
        "activation": Distribution(
            title="act", rows=[], quantity="activation", grid=list(GRID), layer=name,
            arrays={
                "edges": np.sort(rng.random((units, 65)).astype(np.float32), axis=1), "counts": rng.integers(0, 99, (units, 64)),
                "thresholds": thresholds, "attained": np.tile(1 - np.array(GRID, np.float32), (units, 1)),
            },
        ),
        "exemplars": Gallery(
            title="ex", layer=name, bands=list(SLOTS), input_size=(32, 32),
            arrays={
                "example": example, "activation": rng.random((units, slots)).astype(np.float32),
                "site": np.full((units, slots, 2), size // 2, np.int32), "maps": rng.random((units, slots, size, size)).astype(np.float32),
            },
        ),
        "peaks": Matrix(
            title="peaks", rows=[], columns=[], row_axis="unit", column_axis="example", quantity="activation", layer=name,
            arrays={"values": peaks},
        ),
        "summary": Scorecard(
            title="sum", note="Chance: independence.", scores=[],
            facts={"quantile": params.quantile, "min_iou": params.min_iou, "images": examples, "chance": 0.01, "detectors": 3},
        ),
    }  # fmt: skip


@method(
    "dissection", title="Network dissection", question="What does each unit detect?", subjects=("model", "probe"),
    optional_subjects=("layers",), returns=(UnitTable,), partition="layers", params=Params, cite="Bau 2017",
    cost=Cost(passes=2, per_probe=True, capture=("moments",)),
)  # fmt: skip
def dissection(*, model, probe, layers, params, run):
    """All layers in one pass."""
    examples = min(len(probe), params.max_examples or len(probe))
    for done, name in enumerate(layers):
        end = time.monotonic() + params.wait
        while True:
            run.progress(done, len(layers), "layers")
            if time.monotonic() >= end:
                break
            time.sleep(0.02)
        model.forward_passes += examples
        units, size = next((u, s) for n, _, u, s in LAYERS if n == name)
        run.publish(name, layer_results(name, units, size, params, examples))
    return {}


@method(
    "unit-map", title="Unit map", question="Which units are alike?", subjects=("model", "probe"), optional_subjects=("layers",),
    returns=(Scatter,), builds_on=("dissection",), cite="PaCMAP",
)  # fmt: skip
def unit_map(*, model, probe, layers, results, params, run):
    """A map."""
    parts = results["dissection"]
    sizes = [len(p["units"].units) for p in parts.values()]
    rng = np.random.default_rng(0)
    return {
        "map": Scatter(
            title="map", layers=list(parts), projection="fake of profiles",
            arrays={
                "points": rng.uniform(-1, 1, (sum(sizes), 2)).astype(np.float32),
                "unit": np.concatenate([np.arange(s) for s in sizes]).astype(np.int32),
                "layer": np.repeat(np.arange(len(sizes)), sizes).astype(np.int32),
            },
        )
    }  # fmt: skip


class ExplainParams(MethodParams):
    steps: int = Field(16, ge=1, le=512)


@method(
    "grad-cam", title="Grad-CAM", question="Where did it look?", subjects=("model", "example"), optional_subjects=("targets",),
    returns=(ImageMap,), params=ExplainParams, interactive=True, cite="Selvaraju 2017", cost=Cost(passes=2, times="steps"),
)  # fmt: skip
def grad_cam(*, model, example, targets, params, run):
    """A heat map."""
    model.forward_passes += 1
    chosen = targets or [0]
    return {
        "map": ImageMap(
            title="map", targets=[str(x) for x in chosen], quantity="logit",
            target_indices=[x if isinstance(x, int) else -1 for x in chosen],
            arrays={"maps": np.full((len(chosen), 32, 32), example.image.mean(), np.float32)},
        )
    }  # fmt: skip


@method(
    "predictions", title="Predictions", question="What does it say?", subjects=("model", "probe"), returns=(Matrix,), cite="softmax",
)  # fmt: skip
def predictions(*, model, probe, params, run):
    """Probabilities."""
    model.forward_passes += len(probe)
    seed = 1 if model.source == "builtin:fake" else int(model.hash[:8], 16)
    values = np.random.default_rng(seed).dirichlet(np.ones(3), len(probe)).astype(np.float32)
    matrix = Matrix(
        title="p", rows=[], columns=["beach", "forest", "city"], row_axis="example", column_axis="class", quantity="p",
        arrays={"values": values},
    )  # fmt: skip
    return {"probabilities": matrix}


@method("broken", title="Broken", question="Why?", subjects=("model",), returns=(Scorecard,), cite="-")
def broken(*, model, params, run):
    """Always fails."""
    raise RuntimeError("the cable is out")


@method("ablate-units", title="Ablate", question="What if?", subjects=("model", "probe", "units"), returns=(Scorecard,), cite="-")
def ablate_units(*, model, probe, units, params, run):
    """Off: the points that are lost are the number of the unit."""
    value = -float(units["indices"][0])
    return {"effect": Scorecard(title="effect", scores=[Scorecard.Score(name="all", value=value, low=value - 0.5, high=value + 0.5)])}


METHODS = {s.id: s for s in (dissection, unit_map, grad_cam, predictions, broken, ablate_units)}
MANIFEST = {id: spec.manifest() for id, spec in METHODS.items()}


class FakeWorkshop:
    device = "cpu"

    def __init__(self, settings: Settings | None = None) -> None:
        self.models: list[FakeModel] = []

    def open(self, device: str) -> None:
        pass

    def captures(self, wanted: Any) -> None:
        return None

    def load_model(self, source: str) -> FakeModel:
        model = FakeModel(source)
        self.models.append(model)
        return model

    def open_probe(self, source: str) -> FakeProbe:
        return FakeProbe(source)

    def example(self, path: Path, name: str) -> Example:
        return Example(np.full((8, 8, 3), path.read_bytes()[0], np.uint8), None, name)

    def methods(self) -> dict[str, Any]:
        return METHODS


def make_workshop(settings: Settings) -> FakeWorkshop:
    return FakeWorkshop(settings)


def namespace(**values: Any) -> SimpleNamespace:
    return SimpleNamespace(**values)
