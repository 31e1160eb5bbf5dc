"""DiffROAR: networks that are trained on what a map marks, against networks that are trained on what it does not."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field

from microtome.core.classes import match_classes
from microtome.core.context import RunContext
from microtome.core.errors import InvalidInput
from microtome.methods.attribution.explain import Call
from microtome.methods.attribution.target import Target, check_finite
from microtome.methods.benchmarks.contest import MethodsParams, Quiet
from microtome.methods.benchmarks.retraining import kept, learnt, masked
from microtome.methods.contract import Cost, method
from microtome.methods.faithfulness.order import Floats
from microtome.methods.interventions.ablate_units import spread
from microtome.models.image import ImageModel
from microtome.probes import ImageSet
from microtome.results import Scorecard

_ROWS, _RESAMPLES = 8, 1000
_NULL = "block:null"
RANDOM = "Random map"
Right = npt.NDArray[np.bool_]


class Params(MethodsParams):
    examples: int = Field(360, ge=12, le=20_000, description="Images, spread evenly over the probe set; a third of them is held out.")
    share: float = Field(0.1, gt=0, lt=0.5, description="Share of the pixels of an image that is kept.")
    networks: int = Field(3, ge=1, le=20, description="Networks that are trained on every set of masked images.")
    epochs: int = Field(20, ge=1, le=200, description="Times that a network sees its images.")


#: Not validated here: the methods that it names are known once all of them are imported.
EXAMPLE = Params.model_construct(methods=["saliency", "grad-cam"], examples=12, networks=1, epochs=1)


def held_out(labels: npt.NDArray[np.int64], seed: int) -> Right:
    """bool [n]: a third of every class, by lot; none of a class with a single image."""
    generator = np.random.default_rng(seed)
    held = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        own = generator.permutation(np.flatnonzero(labels == label))
        held[own[: max(1, round(len(own) / 3)) if len(own) > 1 else 0]] = True
    return held


def difference(top: Right, bottom: Right, seed: int) -> tuple[float, float, float]:
    """Accuracy on the top minus accuracy on the bottom of right answers [networks, images], with its 95 % bootstrap interval.

    Networks and images are both drawn anew: either could have been others.
    """
    both = top.astype(float) - bottom.astype(float)
    generator = np.random.default_rng(seed)
    networks, images = both.shape
    drawn = [both[generator.integers(0, networks, networks)][:, generator.integers(0, images, images)].mean() for _ in range(_RESAMPLES)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(both.mean()), float(low), float(high)


@method(
    "diffroar",
    title="DiffROAR",
    question="Can a network learn more from the pixels that a map marks than from those it does not?",
    subjects=("model", "probe"),
    returns=(Scorecard,),
    params=Params,
    example_params=EXAMPLE,
    cite="Shah, Jain, Netrapalli 2021, arXiv:2102.12781, equation 2",
    cost=Cost(passes=600.0, per_probe=True, maps=1.0),
)
def diffroar(*, model: ImageModel, probe: ImageSet, params: Params, run: RunContext):  # type: ignore[no-untyped-def]
    """Accuracy of networks trained on the highest pixels of every map alone, minus that of networks trained on the lowest alone.

    Of every image the pixels with the largest absolute values are kept, or those with the smallest, the rest in the mean colour. Small
    convolutional networks are trained anew on either, and tested on held-out images that were masked in the same way. All methods have
    networks with the same seeds. A random map is the control: it must be at 0. Where masks say which block of an image knows nothing of
    its class (`builtin:blocks`), the share of the absolute map in it stands beside.

    Formula:
        `DiffROAR = power(top) - power(bottom)`, power(mask) = accuracy on held-out masked images of networks trained on masked images,
        mean over networks. Interval: 95 % of a bootstrap over networks and held-out images.

    Known failures:
        The shape of what is kept can itself be learnt from, whatever it shows: a map that writes the class into the outline of its
        highest pixels scores high. The networks are small; what they cannot learn another might. Scores depend on the share that is kept.

    Of a set without labels, networks learn what the model says of its images.

    Raises:
        InvalidInput: there are no two classes with two images each, or no method has maps of all images.
    """
    run.check()
    chosen = spread(len(probe), params.examples, len(probe.classes))
    given = [probe.label(i) for i in chosen]
    labelled = any(y is not None for y in given)
    indices = [i for i, y in zip(chosen, given, strict=True) if y is not None or not labelled]
    images, predicted = _seen(model, probe, indices, run)
    mapping = match_classes(probe.classes, model.classes)
    known = [y for y in given if y is not None] if labelled else predicted
    names, labels = np.unique(known, return_inverse=True)
    held = held_out(labels, params.seed)
    if len(names) < 2 or not held.any():
        raise InvalidInput(
            "Networks are trained to tell classes apart: this needs two with two images each"
            + (", and the labels of this set have fewer." if labelled else "; the set has no labels, and the model gives all images one."),
            field="probe" if labelled else "model",
        )
    explained = [mapping.get(y, guess) for y, guess in zip(known, predicted, strict=True)] if labelled else predicted
    targets = [Target(model.classes[k], None, ((k, 1.0),)) for k in explained]
    everything: dict[str, Floats] = {}
    facts: dict[str, str | int | float | bool | None] = {}
    contestants = params.contestants()
    seeds = [params.seed + n for n in range(params.networks)]
    stages = len(contestants) * len(indices) + 2 * (len(contestants) + 1) * len(seeds) * params.epochs
    for turn, one in enumerate(contestants):
        maps = []
        for start in range(0, len(indices), _ROWS):
            run.progress(turn * len(indices) + start, stages, "maps")
            rows = slice(start, start + _ROWS)
            others = torch.cat([images[:start], images[start + _ROWS :]])
            near = partial(_first, others, model.device) if len(others) else None
            call = Call(model, images[rows].to(model.device), targets[rows], Quiet(run), params.seed, near)
            maps.append(one.explain(call))
            if maps[-1] is None:
                break
        found = [m for m in maps if m is not None]
        if len(found) == len(maps):
            everything[one.spec.title] = np.concatenate(found)
        else:
            facts[f"refused: {one.spec.title}"] = "; ".join(one.reasons)
    if not everything:
        raise InvalidInput(f"No method has maps of all images. {'; '.join(f'{k}: {v}' for k, v in facts.items())}"[:2000], field="model")
    everything[RANDOM] = np.random.default_rng(params.seed).standard_normal((len(indices), *images.shape[2:]))
    null = _null_regions(model, probe, indices)
    scores: list[Scorecard.Score] = []
    answers = torch.from_numpy(labels)
    done = len(contestants) * len(indices)
    for title, maps_of in everything.items():
        right: dict[bool, Right] = {}
        for top in (True, False):
            pictures = masked(images, kept(maps_of, params.share, top, params.seed))
            rows_of = []
            for seed in seeds:
                run.progress(done, stages, "networks")
                rows_of.append(learnt(pictures, answers, held, len(names), epochs=params.epochs, seed=seed, check=run.check))
                done += params.epochs
            right[top] = np.stack(rows_of)
        value, low, high = difference(right[True], right[False], params.seed)
        scores.append(Scorecard.Score(name="diffroar", value=value, unit="share", low=low, high=high, chance=0.0, group=title))
        scores += [
            Scorecard.Score(name=name, value=float(right[top].mean()), unit="share", chance=1 / len(names), group=title)
            for name, top in (("power-top", True), ("power-bottom", False))
        ]
        scores += _null_share(maps_of, null, title)
    return {
        "scores": Scorecard(
            title=f"DiffROAR, {params.share:.0%} of the pixels kept",
            note="Difference of accuracies on held-out masked images; 0 is what a map that knows nothing gets. Interval: bootstrap over "
            "networks and held-out images.",
            scores=scores,
            facts={
                "images": len(indices), "held out": int(held.sum()), "classes": len(names), "networks": params.networks,
                "epochs": params.epochs, "share kept": params.share, "seed": params.seed, "order": "absolute values, ties by lot",
                "classes by": "labels of the probe set" if labelled else "predictions of the model",
                **{f"version: {one.spec.title}": one.spec.version for one in contestants}, **facts,
            },
        )
    }  # fmt: skip


def _first(images: torch.Tensor, device: torch.device, count: int) -> torch.Tensor:
    return images[:count].to(device)


def _seen(model: ImageModel, probe: ImageSet, indices: Sequence[int], run: RunContext) -> tuple[torch.Tensor, list[int]]:
    """What the model sees of the images, [n, 3, H, W] on the CPU, and the class that it gives each."""
    parts: list[torch.Tensor] = []
    predicted: list[int] = []
    for start in range(0, len(indices), _ROWS):
        run.check()
        parts.append(model.inputs([probe.image(i) for i in indices[start : start + _ROWS]]))
        with torch.inference_mode():
            predicted += check_finite(model.forward(parts[-1])).argmax(1).tolist()
        parts[-1] = parts[-1].cpu()
    return torch.cat(parts), predicted


def _null_regions(model: ImageModel, probe: ImageSet, indices: Sequence[int]) -> Right | None:
    """bool [n, H, W]: what knows nothing of the class, as the model sees it; None if no concept of the set is that."""
    value = next((c.index + 1 for c in probe.concepts if c.key == _NULL), None)
    if value is None:
        return None
    size, out = model.preprocess.size, []
    for index in indices:
        maps = probe.labels(index)
        assert maps is not None
        out.append(model.preprocess.geometry.labels((maps == value).any(0), size))
    return np.stack(out)


def _null_share(maps: Floats, null: Right | None, group: str) -> list[Scorecard.Score]:
    if null is None or maps.shape != null.shape:
        return []
    mass = np.abs(maps)
    total = mass.sum((1, 2))
    if not (total > 0).any():
        return []
    shares = ((mass * null).sum((1, 2)) / np.where(total > 0, total, 1))[total > 0]
    return [Scorecard.Score(name="null-block", value=float(shares.mean()), unit="share", chance=float(null.mean()), group=group)]
