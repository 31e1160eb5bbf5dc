"""Pictures of tasks, drawn on the server: neither their address nor their bytes name the example, the unit, the model or the class."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from microtome.api.browse.strips import CASING, DIM, YELLOW, bilinear, edge_distance
from microtome.api.desk import Desk
from microtome.api.examples import checked
from microtome.api.pictures import geometry_of, scaled, webp
from microtome.collab.studies.taking import Turn
from microtome.core.errors import NotFound
from microtome.results import Gallery, ImageMap

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
#: The diverging scale of the design language, negative to positive.
STOPS = np.array(
    [[18, 75, 128], [42, 108, 166], [95, 150, 198], [157, 192, 221], [211, 226, 237], [244, 243, 241], [248, 221, 203], [241, 180, 143],
     [224, 131, 90], [194, 85, 44], [142, 51, 15]], np.float32,
)  # fmt: skip
CLIP = 0.995


def check_number(turn: Turn, number: int) -> None:
    """
    Raises:
        NotFound: the task has no picture, or passage, of this number.
    """
    if number >= len(turn.pictures):
        raise NotFound(f"This task has {len(turn.pictures)} pictures, numbered from 0; there is no {number}.", field="number")


def draw(desk: Desk, turn: Turn, number: int, size: int) -> bytes:
    """
    Raises:
        NotFound: the task has no picture of this number, or shows passages.
    """
    if turn.reads:
        raise NotFound("This task is about passages of text: GET /api/v1/studies/{id}/tasks/{place}/passages/{number}.", field="number")
    check_number(turn, number)
    key = ("study-picture", turn.study.id, turn.step.task, turn.step.condition, tuple(turn.shown) if number else 0, number, size)
    return desk.browse.remember(key, lambda: webp(_picture(desk, turn, number, size)), cap=2000)


def _picture(desk: Desk, turn: Turn, number: int, size: int) -> Image.Image:
    content, design = turn.task.content, turn.design
    if design.kind == "guess-label":
        show = turn.condition.show
        example = content["random" if show == "random" else "examples"][number]
        image = np.asarray(scaled(seen(desk, design.probe, example, design.model), size))
        return Image.fromarray(_region(desk, content, number, image) if show == "regions" else image)
    models = content.get("models") or [content["model"]]
    if number == 0:
        return scaled(seen(desk, design.probe, content["example"], models[0] if len(models) == 1 else None), size)
    model = turn.shown[number - 1] if len(models) > 1 else 0
    values = _map(desk, content["maps"][str(turn.step.condition)][model])
    image = np.asarray(scaled(seen(desk, design.probe, content["example"], models[model]), size))
    return Image.fromarray(overlay(image, values))


def seen(desk: Desk, probe: str, example: int, model: str | None) -> Pixels:
    """The example as the model sees it; as it is without one."""
    _, opened = checked(desk, probe, example)
    geometry = geometry_of(desk, model)
    return geometry.view(opened.image(example)) if geometry else opened.image(example)


def _region(desk: Desk, content: dict[str, Any], number: int, image: Pixels) -> Pixels:
    """The picture with what lies outside of the active region dimmed, and its edge drawn."""
    row = desk.engine.results.item(content["key"], "exemplars")
    gallery = desk.engine.results.result_of(row)
    assert isinstance(gallery, Gallery)
    if "maps" not in gallery.arrays:
        return image
    values = np.asarray(gallery.arrays["maps"][content["unit"], content["slots"][number]])
    return outlined(image, values, content["threshold"])


def outlined(image: Pixels, values: Floats, threshold: float) -> Pixels:
    """The whole picture; where ``values``, upsampled, lie above the threshold it keeps its light."""
    height, width = image.shape[:2]
    rows = (np.arange(height, dtype=np.float32) + 0.5) / height * values.shape[0]
    columns = (np.arange(width, dtype=np.float32) + 0.5) / width * values.shape[1]
    inside = bilinear(values, rows, columns) > threshold
    pixels = image.astype(np.float32)
    if not inside.any():
        return (pixels * DIM).astype(np.uint8)
    pixels = np.where(inside[..., None], pixels, pixels * DIM)
    if not inside.all():
        distance = edge_distance(inside, 4.0)
        casing, line = np.clip(3.1 - distance, 0, 1)[..., None] * 0.75, np.clip(2.0 - distance, 0, 1)[..., None]
        pixels = pixels * (1 - casing) + CASING * casing
        pixels = pixels * (1 - line) + YELLOW * line
    return np.clip(pixels, 0, 255).astype(np.uint8)


def _map(desk: Desk, key: str) -> Floats:
    """The map of the first target."""
    for row in desk.engine.results.items(key):
        if row.kind == "image-map":
            result = desk.engine.results.result_of(row)
            assert isinstance(result, ImageMap)
            return np.asarray(result.arrays["maps"][0])
    raise NotFound("The map of this task is gone. Tell whoever made the study.", field="number")


def overlay(image: Pixels, values: Floats) -> Pixels:
    """A signed map over the picture in light grey, as the Explain screen draws it: opacity rises with the value."""
    height, width = image.shape[:2]
    rows = (np.arange(height, dtype=np.float32) + 0.5) / height * values.shape[0]
    columns = (np.arange(width, dtype=np.float32) + 0.5) / width * values.shape[1]
    scale = float(np.quantile(np.abs(values), CLIP)) or 1.0
    v = np.clip(bilinear(values, rows, columns) / scale, -1, 1)
    size = np.abs(v)
    alpha = (0.9 * size**0.62 * np.minimum(1, size / 0.05))[..., None]
    base = (146 + (image[..., :3].astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)) * 0.38)[..., None]
    place = (v + 1) / 2 * (len(STOPS) - 1)
    low = np.minimum(place.astype(int), len(STOPS) - 2)
    colour = STOPS[low] + (STOPS[low + 1] - STOPS[low]) * (place - low)[..., None]
    return np.clip(base + (colour - base) * alpha, 0, 255).astype(np.uint8)
