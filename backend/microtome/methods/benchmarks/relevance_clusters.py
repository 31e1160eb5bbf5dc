"""Clusters of maps: the strategies that a model has, seen over a set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from pydantic import Field

from microtome.core.classes import match_classes
from microtome.core.context import RunContext
from microtome.core.errors import InvalidInput
from microtome.methods.attribution.explain import Call, neighbours_of
from microtome.methods.attribution.target import resolve
from microtome.methods.benchmarks.clustering import Labels, by_gap, clusters, distances, silhouette, spectrum
from microtome.methods.benchmarks.contest import Contestant, Quiet
from microtome.methods.benchmarks.measures import Facts, Shown, shown_of
from microtome.methods.contract import Cost, method
from microtome.methods.dissection.unit_map import FEWEST, pacmap_of, pca
from microtome.methods.faithfulness.localisation import Mask
from microtome.methods.faithfulness.model_randomisation import OneMethodParams, explainer
from microtome.methods.faithfulness.order import Floats
from microtome.methods.faithfulness.similarity import NORMAL
from microtome.methods.interventions.ablate_units import spread
from microtome.models.image import ImageModel
from microtome.probes import ImageSet
from microtome.results import Curves, MapSet, Scorecard

_DRAWS = 200
_SHOWN_VALUES = 30


class Params(OneMethodParams):
    examples: int = Field(120, ge=8, le=1000, description="Examples, spread evenly over the probe set, or over the images of the class.")
    class_index: int | None = Field(
        None,
        ge=0,
        description="Class of the model: only its images are taken, and it is explained. Without it the predicted class of each image is.",
    )
    side: int = Field(16, ge=4, le=32, description="Size that maps are reduced to before they are compared.")
    neighbours: int = Field(10, ge=1, le=200, description="Nearest maps that a map is joined to.")
    clusters: int = Field(0, ge=0, le=20, description="Number of clusters; 0 for where the eigenvalues jump the furthest.")
    most: int = Field(8, ge=2, le=20, description="Most clusters that are looked for, where the number is not given.")
    projection: Literal["pacmap", "pca"] = Field("pacmap", description="PaCMAP keeps neighbourhoods, PCA keeps distances.")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Seed of the maps, of k-means, of the projection and of the random clusters.")


@method(
    "relevance-clusters",
    title="Clusters of maps (SpRAy)",
    question="Which strategies does the model have, and does one of them look at the wrong thing?",
    subjects=("model", "probe"),
    returns=(MapSet, Curves, Scorecard),
    params=Params,
    #: Not validated here: the method that it names is known once all of them are imported.
    example_params=Params.model_construct(method="saliency", examples=8, neighbours=3, projection="pca"),
    cite="Lapuschkin et al. 2019, arXiv:1902.10178; von Luxburg 2007, arXiv:0711.0189",
    cost=Cost(passes=1.0, times="examples", maps=1.0),
)
def relevance_clusters(*, model: ImageModel, probe: ImageSet, params: Params, run: RunContext):  # type: ignore[no-untyped-def]
    """Maps of one method over many images, grouped by what they look like: an artefact that a model relies on is a cluster of its own.

    Maps are averaged down to `side` pixels and scaled to length 1, joined to their nearest, and divided by spectral clustering. Of each
    cluster the size, the most frequent class and the accuracy are told. The plane is for looking; clusters come from the maps.

    Formula:
        Joined where one map is among the k nearest of the other; `L = 1 - D^-1/2 A D^-1/2`; clusters = k-means of its first n eigenvectors,
        scaled by `D^-1/2`; `n = argmax over i up to most of (eigenvalue i+1 - eigenvalue i)`. Chance: the same clusters with their members
        drawn by lot (200 times, central 95 %).

    Known failures:
        Clusters show where maps lie, so objects in different places are different clusters; whether one is an artefact is for a person to
        judge. Clusters are made from the maps, so a silhouette above that of random clusters says little: below 0.25 there is hardly
        a structure. A small gap of the eigenvalues means that the number of clusters is a guess; one cluster is a possible answer. What is
        positive and negative within one place of the reduced map cancels.
    """
    spec = explainer(params.method)
    given = {"seed": params.seed} if "seed" in spec.params.model_fields and "seed" not in params.method_params else {}
    one = Contestant(spec, spec.parse({**params.method_params, **given}))
    run.check()
    shown = _examples(model, probe, params, run)
    maps, kept = _maps(model, probe, shown, one, params, run)
    flat = maps.reshape(len(maps), -1)
    apart = distances(flat)
    values, vectors = spectrum(apart, params.neighbours)
    run.check()
    count = min(params.clusters, len(maps)) or by_gap(values, min(params.most, len(maps) - 1))
    labels = clusters(vectors, count, params.seed)
    run.check()
    count = int(labels.max()) + 1
    centres = np.stack([flat[labels == c].mean(0) for c in range(count)])
    closeness = (flat * centres[labels]).sum(1) / np.maximum(np.linalg.norm(centres[labels], axis=1), 1e-30)
    names = [f"cluster {c + 1}: {int((labels == c).sum())} images" for c in range(count)]
    by_pca = params.projection == "pca" or len(maps) < FEWEST
    points = pca(flat.astype(np.float32)) if by_pca else pacmap_of(flat.astype(np.float32), params.neighbours, params.seed)
    facts: Facts = {
        "method": spec.id, "method version": spec.version, "maps": len(maps), "clusters": count,
        "number by": "the parameter" if params.clusters else "the largest jump of the eigenvalues", "neighbours": params.neighbours,
        "explained": "the predicted class" if params.class_index is None else model.classes[params.class_index],
        "plane": "PCA" if by_pca else f"PaCMAP, seed {params.seed}", "seed": params.seed,
        **{f"left out: {reason}": f"{many} images" for reason, many in one.reasons.items()},
    }  # fmt: skip
    arrays = {
        "maps": maps.astype(np.float32), "example": shown.index[kept].astype(np.int32), "group": labels.astype(np.int32),
        "value": closeness.astype(np.float32), "points": points,
    }  # fmt: skip
    end = min(_SHOWN_VALUES, len(values))
    return {
        "clusters": MapSet(
            title=f"Clusters of maps: {spec.title}", groups=names, quantity="map, scaled to length 1", signed=bool((maps < 0).any()),
            value_name="closeness to the centre of the cluster (cosine)", facts=facts, arrays=arrays,
            note="Order within a cluster: by closeness to its mean map.",
        ),
        "eigenvalues": Curves(
            title="Eigenvalues of the neighbourhoods", note=f"A jump after the n-th speaks for n clusters; here {count}.",
            series=["eigenvalue"], x_axis="number", y_axis="eigenvalue",
            arrays={"x": np.arange(1, end + 1, dtype=np.float32), "y": values[None, :end].astype(np.float32)},
        ),
        "quality": _quality(model, shown, kept, labels, apart, values, params.seed, facts),
    }  # fmt: skip


def _examples(model: ImageModel, probe: ImageSet, params: Params, run: RunContext) -> Shown:
    """The examples that are explained.

    Raises:
        InvalidInput: the model has no such class, or there are fewer than four images.
    """
    chosen = spread(len(probe), params.examples, len(probe.classes))
    wanted = params.class_index
    if wanted is not None:
        if wanted >= len(model.classes):
            raise InvalidInput(
                f"The model has {len(model.classes)} classes, 0 to {len(model.classes) - 1}; there is no {wanted}.",
                field="params.class_index",
            )  # fmt: skip
        mapping = match_classes(probe.classes, model.classes)
        own = {label for label, index in mapping.items() if index == wanted}
        if own:
            of_class = [i for i in range(len(probe)) if probe.label(i) in own]
        else:  # nobody says what the images are: those that the model says are of the class, among four times as many
            looked = shown_of(model, probe, spread(len(probe), 4 * params.examples, len(probe.classes)), run)
            of_class = looked.index[looked.predicted == wanted].tolist()
        chosen = [of_class[i] for i in spread(len(of_class), params.examples, 1)]
    if len(chosen) < 4:
        what = f"of {model.classes[wanted]} " if wanted is not None else ""
        raise InvalidInput(f"{probe.source} has {len(chosen)} images {what}to look at; clusters need at least 4.", field="probe")
    return shown_of(model, probe, chosen, run)


def _maps(
    model: ImageModel, probe: ImageSet, shown: Shown, one: Contestant, params: Params, run: RunContext
) -> tuple[Floats, Sequence[int]]:
    """Reduced maps [n, side, side] of length 1, and the places in ``shown`` that have one.

    Raises:
        InvalidInput: fewer than four have one; with the reasons.
    """
    maps, kept = [], []
    for row, index in enumerate(shown.index.tolist()):
        run.check()
        run.progress(row, len(shown.index), "maps")
        example = probe.example(index)
        target = resolve(model, torch.empty(0), int(shown.predicted[row]) if params.class_index is None else params.class_index)
        call = Call(model, model.inputs([example.image]), [target], Quiet(run), params.seed, neighbours_of(model, example, params.seed))
        found = one.explain(call)
        if found is None:
            continue
        size = tuple(min(params.side, s) for s in found.shape[1:])
        small = torch.nn.functional.interpolate(torch.from_numpy(found[:1])[None], size, mode="area")[0, 0].numpy()
        length = float(np.linalg.norm(small))
        if length <= 0:
            one.without("the map is zero everywhere", 1)
            continue
        maps.append(small / length)
        kept.append(row)
    if len(maps) < 4:
        reasons = "; ".join(f"{reason} ({many})" for reason, many in one.reasons.items())
        raise InvalidInput(f"{len(maps)} images have a map; clusters need at least 4. {reasons}"[:2000], field="model")
    return np.stack(maps), kept


def _quality(
    model: ImageModel, shown: Shown, kept: Sequence[int], labels: Labels, apart: Floats, values: Floats, seed: int, facts: Facts
) -> Scorecard:
    """Of the whole: silhouette and gap. Of every cluster: size, share of its most frequent class, accuracy where it is known."""
    generator = np.random.default_rng([seed, 0x5B])
    random = [generator.permutation(labels) for _ in range(_DRAWS)]
    count = int(labels.max()) + 1
    scores: list[Scorecard.Score] = []

    def add(
        group: str, name: str, value: float, unit: str, draws: list[float] | None = None, ends: tuple[float, float] | None = None
    ) -> None:
        low, high = ends or (None, None)
        chance, *band = (float(np.mean(draws)), *np.quantile(draws, [0.025, 0.975]).tolist()) if draws else (None, None, None)
        scores.append(
            Scorecard.Score(
                name=name, value=value, unit=unit, low=low, high=high, chance=chance, chance_low=band[0], chance_high=band[1],
                draws=len(draws) if draws else None, group=group,
            )
        )  # fmt: skip

    told: Facts = {}
    if 1 < count < len(labels):
        add("all", "silhouette", silhouette(apart, labels), "", [silhouette(apart, drawn) for drawn in random])
    else:
        told["absent: silhouette"] = "it needs two clusters, one of them with two maps"
    if count < len(values):
        add("all", "eigengap", float(values[count] - values[count - 1]), "")
    truth = (shown.label if shown.labelled else shown.predicted)[kept]
    right, known = shown.right()[kept], shown.known()[kept]
    for cluster in range(count):
        name, inside = f"cluster {cluster + 1}", labels == cluster
        add(name, "size", float(inside.sum()), "images")
        if (inside & known).any():
            most, share = _most_frequent(truth[inside & known])
            told[f"most frequent class: {name}"] = model.classes[most]
            # Random clusters have a most frequent class of their own: to be the largest of many shares is no merit.
            there = [truth[known & (drawn == cluster)] for drawn in random]
            add(name, "share of its class", share, "", [_most_frequent(own)[1] for own in there if len(own)])
        if shown.labelled and (inside & known).any():
            accuracy = _share(right, known & inside)
            interval = wilson(accuracy, int((inside & known).sum()))
            add(name, "accuracy", accuracy, "", _drawn(right, known, random, cluster), interval)
    if not shown.labelled:
        told["absent: accuracy"] = "the set has no classes of the model; the most frequent class is the predicted one"
    note = f"Chance: clusters of the same sizes with members drawn by lot, {_DRAWS} times. Interval of the accuracy: Wilson, 95 %."
    return Scorecard(title="What the clusters are like", note=note, scores=scores, facts=facts | told)


def _most_frequent(classes: Labels) -> tuple[int, float]:
    """The class that most of them have, and the share that has it."""
    names, sizes = np.unique(classes, return_counts=True)
    return int(names[sizes.argmax()]), float(sizes.max() / len(classes))


def _share(what: Mask, among: Mask) -> float:
    return float(what[among].mean())


def _drawn(what: Mask, known: Mask, random: Sequence[Labels], cluster: int) -> list[float]:
    """The share in clusters drawn by lot; without those in which no example is known."""
    return [_share(what, known & (drawn == cluster)) for drawn in random if (known & (drawn == cluster)).any()]


def wilson(share: float, count: int) -> tuple[float, float]:
    """95 % interval of a share of ``count`` (Wilson 1927), of use also where the share is 0 or 1."""
    square = NORMAL**2
    middle = (share + square / (2 * count)) / (1 + square / count)
    half = NORMAL / (1 + square / count) * np.sqrt(share * (1 - share) / count + square / (4 * count**2))
    return float(middle - half), float(middle + half)
