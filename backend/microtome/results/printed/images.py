"""Maps over images, exemplars with their regions, sets of maps. Each fills one subfigure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from microtome.results.kinds import ImageMap, MapSet
from microtome.results.printed.style import CASING, REGION, SIGNED

Picture = npt.NDArray[np.uint8]
#: The image of an example of the probe set, uint8 [height, width, 3], as the model sees it; None where it cannot be had.
Images = Callable[[int], Picture | None]
TARGETS, GROUPS, EACH = 6, 4, 6


def image_map(result: ImageMap, sub: Any, picture: Picture | None) -> str:
    """Signed maps over the grey image, one scale for all, clipped at the 99.5 percentile."""
    maps = result.arrays["maps"][:TARGETS]
    limit = float(np.percentile(np.abs(maps), 99.5)) or 1.0
    axes = np.atleast_1d(sub.subplots(1, len(maps)))
    for place, ax in enumerate(axes):
        overlay(ax, maps[place], limit, picture)
        ax.set_title(result.targets[place], fontsize=7)
    more = len(result.arrays["maps"]) - len(maps)
    note = f"Colour saturates at ±{limit:.3g} {result.quantity}."
    return f"{note} {more} more targets are in the data." if more > 0 else note


def overlay(ax: Any, values: npt.NDArray[Any], limit: float, picture: Picture | None) -> None:
    height, width = values.shape
    extent = (0, width, height, 0)
    if picture is not None:
        grey = picture.astype(np.float32).mean(-1)
        ax.imshow(128 + grey / 2, cmap="gray", vmin=0, vmax=255, extent=extent, interpolation="bilinear")
    strength = np.clip(np.abs(values) / limit, 0, 1) ** 0.62
    alpha = strength if picture is not None else None
    ax.imshow(values, cmap=SIGNED, vmin=-limit, vmax=limit, alpha=alpha, extent=extent, interpolation="bilinear")
    ax.axis("off")


def exemplars(numbers: list[int], maps: npt.NDArray[Any] | None, threshold: float | None, images: Images, sub: Any) -> str:
    """The images that drive a unit hardest, in rows of three, with the region above the threshold outlined.

    Args:
        maps: float32 [images, h, w], the native maps; None where they were not kept.
    """
    columns = 3
    rows = max(1, -(-len(numbers) // columns))
    axes = np.atleast_1d(sub.subplots(rows, columns)).ravel()
    missing = 0
    for place, ax in enumerate(axes):
        ax.axis("off")
        if place >= len(numbers):
            continue
        picture = images(numbers[place])
        if picture is None:
            missing += 1
            continue
        height, width = picture.shape[:2]
        ax.imshow(picture, extent=(0, width, height, 0))
        if maps is not None and threshold is not None:
            field = np.asarray(Image.fromarray(maps[place].astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR))
            if field.max() > threshold > field.min():
                at = np.arange(width) + 0.5, np.arange(height) + 0.5
                ax.contour(*at, field, levels=[threshold], colors=[CASING], linewidths=1.7)
                ax.contour(*at, field, levels=[threshold], colors=[REGION], linewidths=0.9)
    return f"{missing} images could not be read." if missing else ""


def map_set(result: MapSet, images: Images, sub: Any) -> str:
    """Some maps of every group, in its order."""
    groups = result.groups[:GROUPS]
    axes = np.atleast_2d(sub.subplots(max(1, len(groups)), EACH, squeeze=False))
    limit = float(np.percentile(np.abs(result.arrays["maps"]), 99.5)) if len(result.arrays["maps"]) else 1.0
    for row, name in enumerate(groups):
        own = np.flatnonzero(result.arrays["group"] == row)[:EACH]
        for column in range(EACH):
            axes[row, column].axis("off")
            if column < len(own):
                picture = images(int(result.arrays["example"][own[column]]))
                overlay(axes[row, column], result.arrays["maps"][own[column]], limit or 1.0, picture)
        axes[row, 0].set_title(name, fontsize=7)
    return f"The first {EACH} maps of {len(groups)} of {len(result.groups)} groups; the data hold {len(result.arrays['maps'])}."
