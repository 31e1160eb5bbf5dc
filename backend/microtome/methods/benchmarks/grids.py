"""Grids of images: which images lie in them, which cells are explained, where a cell is in a map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from microtome.capture.taken import captured
from microtome.core.classes import match_classes
from microtome.core.context import RunContext
from microtome.core.errors import InvalidInput
from microtome.methods.faithfulness.localisation import Mask
from microtome.models.image import ImageModel
from microtome.probes import ImageSet


@dataclass(frozen=True, slots=True)
class Pools:
    """Images that the model is sure about.

    Attributes:
        images: class of the model -> indices in the probe set, at least one each.
        looked: images that were looked at.
        truth: what a class was compared with: the labels of the set, or the model's own prediction where it has none that match.
    """

    images: dict[int, list[int]]
    looked: int
    truth: str


@dataclass(frozen=True, slots=True)
class Grid:
    """Images in cells, row by row.

    Attributes:
        examples, classes: index in the probe set and class of the model, of every cell.
        explained: the cells whose class is explained; no other cell has that class, where only one head reads the whole grid.
    """

    examples: tuple[int, ...]
    classes: tuple[int, ...]
    explained: tuple[int, ...]


def sure_images(model: ImageModel, probe: ImageSet, examples: int, confidence: float, run: RunContext) -> Pools:
    """Images of the first ``examples`` that the model gives their class with at least this probability.

    Raises:
        InvalidInput: there are none.
    """
    run.check()
    looked = min(examples, len(probe))
    with captured(model, probe, [], looked, run) as taken:
        chances = model.probabilities(torch.from_numpy(np.array(taken.logits())))
    said, sure = chances.argmax(1).tolist(), chances.amax(1).tolist()
    mapping = match_classes(probe.classes, model.classes)
    labels = [probe.label(i) for i in range(looked)]
    matched = any(label in mapping for label in labels if label is not None)
    found: dict[int, list[int]] = {}
    for index, (predicted, chance, label) in enumerate(zip(said, sure, labels, strict=True)):
        wanted = predicted if not matched else None if label is None else mapping.get(label)
        if wanted == predicted and chance >= confidence:
            found.setdefault(predicted, []).append(index)
    if not found:
        what = "classifies correctly" if matched else "classifies"
        raise InvalidInput(
            f"Of {looked} images there is none that {model.source} {what} with a probability of {confidence:g} or more; the largest is "
            f"{max(sure, default=0.0):.3g}. Lower the confidence, or look at more examples.",
            field="params.confidence",
        )
    truth = "labels of the probe set" if matched else "the model's own predictions, since the probe set has no classes of the model"
    return Pools(dict(sorted(found.items())), looked, truth)


def draw_grids(
    pools: Pools, cells: int, count: int, explained: int, seed: int, *, alone: bool, source: str, place: int | None = None
) -> list[Grid]:
    """``count`` grids of ``cells`` x ``cells`` images of distinct classes, drawn by the seed; grid i is the same however many are drawn.

    With fewer classes than cells, classes that are not explained repeat. Explained cells take turns over the places.

    Args:
        alone: an explained class must not occur in another cell.
        place: the cell that is explained in every grid, alone, instead of turns.

    Raises:
        InvalidInput: the model is sure about one class only, and explained classes must be alone.
    """
    known, places = list(pools.images), cells * cells
    if alone and len(known) < 2:
        raise InvalidInput(
            f"{source} is sure about images of one class only, so no grid has a cell that differs from the others. Lower the confidence, "
            "look at more examples, or use difull, whose cells have heads of their own.",
            field="model",
        )
    room = places if len(known) >= places or not alone else len(known) - 1
    grids = []
    for number in range(count):
        draw = np.random.default_rng([seed, number, 0x621D])
        order = [known[i] for i in draw.permutation(len(known))]
        wanted = min(explained, room) if place is None else 1
        # Every place has its turn, so that neither corners nor the middle weigh more.
        chosen = [(number * wanted + k) % places for k in range(wanted)] if place is None else [place]
        others = order[wanted:] or order
        classes = [others[i % len(others)] for i in range(places)]
        rest = iter(others[i % len(others)] for i in range(places))
        for cell in range(places):
            classes[cell] = order[chosen.index(cell) % len(order)] if cell in chosen else next(rest)
        examples = [pools.images[c][int(draw.integers(len(pools.images[c])))] for c in classes]
        grids.append(Grid(tuple(examples), tuple(classes), tuple(sorted(chosen))))
    return grids


def edges(size: int, cells: int) -> list[int]:
    """First pixels of the cells along an axis, and the end; a pixel belongs to the cell that its centre lies in."""
    return [-(-(2 * size * i - cells) // (2 * cells)) for i in range(cells)] + [size]


def cell_region(size: tuple[int, int], cells: int, cell: int) -> Mask:
    """bool [H, W]: the pixels of a cell."""
    region = np.zeros(size, bool)
    ys, xs = edges(size[0], cells), edges(size[1], cells)
    row, column = divmod(cell, cells)
    region[ys[row] : ys[row + 1], xs[column] : xs[column + 1]] = True
    return region


def stitched(parts: Tensor, cells: int) -> Tensor:
    """[B * cells * cells, C, h, w], the cells of an image one after the other, as [B, C, cells * h, cells * w]."""
    count, channels, height, width = parts.shape
    table = parts.reshape(count // cells**2, cells, cells, channels, height, width)
    return table.permute(0, 3, 1, 4, 2, 5).reshape(-1, channels, cells * height, cells * width)


def unstitched(images: Tensor, cells: int) -> Tensor:
    """The inverse of :func:`stitched`; height and width must be multiples of ``cells``."""
    count, channels, height, width = images.shape
    table = images.reshape(count, channels, cells, height // cells, cells, width // cells)
    return table.permute(0, 2, 4, 1, 3, 5).reshape(-1, channels, height // cells, width // cells)


def shrunk(parts: Tensor, cells: int, size: tuple[int, int]) -> Tensor:
    """[1, C, H, W] of cells [cells * cells, C, h, w], each brought to its place in a picture of ``size``: smoothed bilinear, no mixing."""
    ys, xs = edges(size[0], cells), edges(size[1], cells)
    out = parts.new_empty(1, parts.shape[1], *size)
    for cell, part in enumerate(parts):
        row, column = divmod(cell, cells)
        place = (ys[row + 1] - ys[row], xs[column + 1] - xs[column])
        small = torch.nn.functional.interpolate(part[None], place, mode="bilinear", align_corners=False, antialias=True)
        out[:, :, ys[row] : ys[row + 1], xs[column] : xs[column + 1]] = small
    return out


def images_of(model: ImageModel, probe: ImageSet, examples: Sequence[int]) -> Tensor:
    """Inputs [n, 3, H, W] of examples."""
    return model.inputs([probe.image(index) for index in examples])
