"""Exemplars of a unit as one picture: cropped around the peak, outlined where the map exceeds the threshold."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from microtome.api.browse.atlas import AtlasState, facts
from microtome.api.browse.columns import Columns, LayerColumns
from microtome.api.browse.detail import threshold_at
from microtome.api.desk import Desk
from microtome.api.pictures import image_set, webp
from microtome.core.errors import NotFound
from microtome.core.geometry import Geometry

YELLOW = np.array([0xFF, 0xD6, 0x0A], np.float32)
CASING = np.array([20, 20, 24], np.float32)
DIM = 0.7
GAP = 2
Floats = npt.NDArray[np.float32]


def strip(
    desk: Desk,
    found: AtlasState,
    layer_name: str,
    unit: int,
    *,
    count: int,
    size: int,
    scale: int,
    quantile: float | None,
    band: str,
) -> bytes:
    """WebP of up to ``count`` exemplars, each ``size`` x ``scale`` pixels square, ``GAP`` x ``scale`` apart."""
    columns = desk.browse.columns(found.keys)
    columns.row(layer_name, unit)
    layer = columns.by_name[layer_name]
    key = ("strip", layer.key, unit, count, size, scale, quantile, band, found.probe_hash)
    return desk.browse.remember(
        key, lambda: webp(_strip(desk, found, columns, layer, unit, count, size * scale, scale, quantile, band)), cap=8192
    )


def _strip(
    desk: Desk, found: AtlasState, columns: Columns, layer: LayerColumns, unit: int, count: int, side: int, scale: int,
    quantile: float | None, band: str,
) -> Image.Image:  # fmt: skip
    document = layer.documents.get("exemplars")
    if document is None:
        raise NotFound(f"Exemplars of {layer.name} were not imported, so there are no pictures to show.", field="layer")
    bands = document["bands"]
    if band not in bands:
        raise NotFound(f"There is no band '{band}'. Bands: {', '.join(dict.fromkeys(bands))}.", field="band")
    example = np.asarray(columns.array(layer, "exemplars", "example")[unit])
    slots = [s for s, name in enumerate(bands) if name == band and example[s] >= 0][:count]
    about = desk.browse.remember(("facts", found.keys), lambda: facts(desk, found))
    threshold, _, _ = threshold_at(columns, layer, unit, quantile if quantile is not None else about["quantile"])
    maps = np.asarray(columns.array(layer, "exemplars", "maps")[unit]) if columns.has(layer, "exemplars", "maps") else None
    sites = np.asarray(columns.array(layer, "exemplars", "site")[unit])
    gap = GAP * scale
    sheet = Image.new("RGBA", (max(1, count * side + (count - 1) * gap), side), (0, 0, 0, 0))
    for place, slot in enumerate(slots):
        image = seen_image(desk, found, int(example[slot]), document["input_size"])
        if maps is None or threshold is None:  # imported without what tells the region: the whole picture
            tile = np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC))
        else:
            tile = outlined(image, maps[slot], tuple(sites[slot].tolist()), threshold, side, 1.5 * scale / 2)
        sheet.paste(Image.fromarray(tile), (place * (side + gap), 0))
    return sheet


def seen_image(desk: Desk, found: AtlasState, index: int, input_size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """The example as the model saw it: resized and cropped, which is what the maps cover."""
    probe = image_set(desk.engine.reader.probe(found.probe_source))

    def view() -> npt.NDArray[np.uint8]:
        image = probe.image(index)
        if found.geometry is not None:
            return Geometry.from_dict(found.geometry).view(image)
        return np.asarray(Image.fromarray(image).resize((input_size[1], input_size[0]), Image.Resampling.BILINEAR))

    return desk.browse.remember(("seen", probe.hash, index, str(found.geometry)), view, cap=2000)


def bilinear(values: Floats, rows: Floats, columns: Floats) -> Floats:
    """``values`` [h, w] at positions in units of its cells, half-pixel centres, edges repeated."""
    height, width = values.shape
    y, x = np.clip(rows - 0.5, 0, height - 1), np.clip(columns - 0.5, 0, width - 1)
    y0, x0 = np.floor(y).astype(int), np.floor(x).astype(int)
    y1, x1 = np.minimum(y0 + 1, height - 1), np.minimum(x0 + 1, width - 1)
    fy, fx = (y - y0)[:, None], (x - x0)[None, :]
    top = values[np.ix_(y0, x0)] * (1 - fx) + values[np.ix_(y0, x1)] * fx
    bottom = values[np.ix_(y1, x0)] * (1 - fx) + values[np.ix_(y1, x1)] * fx
    return (top * (1 - fy) + bottom * fy).astype(np.float32)


def crop_box(above: npt.NDArray[np.bool_], site: tuple[int, int], shape: tuple[int, int]) -> tuple[float, float, float]:
    """Top, left and side, in shares of the image: a square around the peak, 1.3 to 2.1 times smaller than the image.

    A large active region is shown nearly whole, a small one closer.
    """
    share = float(above.mean())
    zoom = float(np.clip(2.1 - 1.6 * np.sqrt(share), 1.3, 2.1))
    side = 1 / zoom
    centre_y, centre_x = (site[0] + 0.5) / shape[0], (site[1] + 0.5) / shape[1]
    return (
        float(np.clip(centre_y - side / 2, 0, 1 - side)),
        float(np.clip(centre_x - side / 2, 0, 1 - side)),
        side,
    )


def outlined(
    image: npt.NDArray[np.uint8], values: Floats, site: tuple[int, int], threshold: float, side: int, stroke: float
) -> npt.NDArray[np.uint8]:
    """One tile of ``side`` pixels: outside the region dimmed, its edge in yellow on a dark casing."""
    height, width = image.shape[:2]
    whole = values > threshold
    top, left, share = crop_box(whole, (max(site[0], 0), max(site[1], 0)), values.shape)  # type: ignore[arg-type]
    # the square covers the same share of both axes only if the image is square; take pixels from the shorter axis
    short = min(height, width)
    box_h, box_w = share * short / height, share * short / width
    centre_y, centre_x = top + share / 2, left + share / 2
    top, left = float(np.clip(centre_y - box_h / 2, 0, 1 - box_h)), float(np.clip(centre_x - box_w / 2, 0, 1 - box_w))
    box = (left * width, top * height, (left + box_w) * width, (top + box_h) * height)
    tile = np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC, box=box), np.float32)
    steps = (np.arange(side, dtype=np.float32) + 0.5) / side
    upsampled = bilinear(values, (top + steps * box_h) * values.shape[0], (left + steps * box_w) * values.shape[1])
    inside = upsampled > threshold
    if not inside.any():
        return (tile * DIM).astype(np.uint8)
    tile = np.where(inside[..., None], tile, tile * DIM)
    if not inside.all():
        distance = edge_distance(inside, stroke + 2.5)
        casing = np.clip(stroke + 1.6 - distance, 0, 1)[..., None] * 0.75
        line = np.clip(stroke + 0.5 - distance, 0, 1)[..., None]
        tile = tile * (1 - casing) + CASING * casing
        tile = tile * (1 - line) + YELLOW * line
    return np.clip(tile, 0, 255).astype(np.uint8)


def edge_distance(inside: npt.NDArray[np.bool_], reach: float) -> Floats:
    """Distance of every pixel to the edge of the region, up to ``reach``; the edge lies between pixels."""
    edge = np.full(inside.shape, np.inf, np.float32)
    steps = int(np.ceil(reach))
    padded = np.pad(inside, steps, mode="edge")
    height, width = inside.shape
    for dy in range(-steps, steps + 1):
        for dx in range(-steps, steps + 1):
            if dy == dx == 0:
                continue
            other = padded[steps + dy : steps + dy + height, steps + dx : steps + dx + width]
            np.minimum(edge, np.where(other != inside, np.float32(np.hypot(dy, dx) - 0.5), np.inf), out=edge)
    return edge
