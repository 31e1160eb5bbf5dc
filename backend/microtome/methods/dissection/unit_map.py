"""A two-dimensional map of units: near means alike in what they detect or when they are active."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from microtome.core.context import RunContext
from microtome.core.errors import InvalidInput
from microtome.methods.contract import Cost, MethodParams, Results, method
from microtome.models.model import Model
from microtome.probes import ProbeSet
from microtome.results import Matrix, Scatter

#: Fewer rows than this are shown by PCA.
FEWEST = 40


class Params(MethodParams):
    features: Literal["concepts", "activations"] = Field(
        "concepts", description="What makes units alike: their IoU with all concepts, or their peaks over the images."
    )
    projection: Literal["pacmap", "pca"] = Field("pacmap", description="PaCMAP keeps neighbourhoods, PCA keeps distances.")
    neighbours: int = Field(10, ge=2, le=200, description="Neighbours that PaCMAP keeps together.")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Seed of PaCMAP.")


def unit_features(results: Mapping[str, Results], kind: str) -> tuple[npt.NDArray[np.float32], list[str], list[int], list[int]]:
    """Features float32 [n, d] of all units, the layers, and per unit its layer's place and its index."""
    rows: list[npt.NDArray[np.float32]] = []
    layers: list[str] = []
    layer_of: list[int] = []
    unit_of: list[int] = []
    for name, part in results.items():
        matrix = part["iou" if kind == "concepts" else "peaks"]
        assert isinstance(matrix, Matrix)
        values = matrix.arrays["values"].astype(np.float32)
        if kind == "concepts":
            # What a unit detects beyond what its size alone would give; the root spreads the many small values.
            values = np.sqrt(np.maximum(values - matrix.arrays["chance"], 0))
        else:
            values = (values - values.mean(1, keepdims=True)) / (values.std(1, keepdims=True) + 1e-9)
        rows.append(values)
        layers.append(name)
        layer_of += [len(layers) - 1] * len(values)
        unit_of += range(len(values))
    return np.concatenate(rows), layers, layer_of, unit_of


def pca(features: npt.NDArray[np.float32], axes: int = 2) -> npt.NDArray[np.float32]:
    """Projection on the first principal axes, each turned so that its largest loading is positive (no random signs)."""
    centred = features.astype(np.float64) - features.mean(0)
    _, _, basis = np.linalg.svd(centred, full_matrices=False)
    basis = basis[:axes]
    basis *= np.sign(basis[np.arange(len(basis)), np.abs(basis).argmax(1)])[:, None]
    out = centred @ basis.T
    return np.pad(out, ((0, 0), (0, axes - out.shape[1]))).astype(np.float32)


@method(
    "unit-map",
    title="Unit map",
    question="Which units are alike?",
    subjects=("model", "probe"),
    optional_subjects=("layers",),
    modalities=("image", "text"),
    returns=(Scatter,),
    params=Params,
    example_params=Params(projection="pca"),
    builds_on=("dissection",),
    cite="Wang, Huang, Rudin, Shaposhnik 2021, arXiv:2012.04456 (PaCMAP)",
    cost=Cost(passes=0.0),
)
def unit_map(  # type: ignore[no-untyped-def]
    *, model: Model, probe: ProbeSet, layers: list[str] | None = None, results: Mapping[str, Mapping[str, Results]], params: Params,
    run: RunContext,
):  # fmt: skip
    """All units of the dissected layers in the plane, by PaCMAP or PCA of their concept profiles or activations.

    A concept profile is the root of IoU above its chance level, over all concepts. Distances between far points mean little
    in PaCMAP; neighbourhoods do.
    """
    if params.features == "concepts" and not probe.concepts:
        params = params.model_copy(update={"features": "activations"})
    features, names, layer_of, unit_of = unit_features(results["dissection"], params.features)
    run.check()
    if len(features) < 2:
        raise InvalidInput("A map needs at least two units.", field="layers")
    method_name = params.projection if len(features) >= FEWEST else "pca"
    points = pca(features) if method_name == "pca" else pacmap_of(features, params.neighbours, params.seed)
    span = np.abs(points - np.median(points, axis=0)).max()
    profile = "concept profiles" if params.features == "concepts" else "activations"
    label = "PCA" if method_name == "pca" else "PaCMAP"
    return {
        "map": Scatter(
            title="Unit map", layers=names,
            projection=f"{label} of {profile}" + (f", seed {params.seed}" if label == "PaCMAP" else ""),
            arrays={
                "points": ((points - np.median(points, axis=0)) / max(float(span), 1e-9)).astype(np.float32),
                "unit": np.array(unit_of, np.int32), "layer": np.array(layer_of, np.int32),
            },
        )
    }  # fmt: skip


def pacmap_of(features: npt.NDArray[np.float32], neighbours: int, seed: int) -> npt.NDArray[np.float32]:
    """PaCMAP of rows [n, d] in the plane, [n, 2]."""
    import pacmap

    # Identical rows (units that detect nothing) would all fall on one point: a whisper of seeded noise keeps them apart.
    noise = np.random.default_rng(seed).normal(0, 1e-4, features.shape).astype(np.float32)
    neighbours = min(neighbours, max(2, len(features) // 4))
    model = pacmap.PaCMAP(n_components=2, n_neighbors=neighbours, random_state=seed, apply_pca=features.shape[1] > 100)
    return np.asarray(model.fit_transform(features + noise, init="pca"), dtype=np.float32)
