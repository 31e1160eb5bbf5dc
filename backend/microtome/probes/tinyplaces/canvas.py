"""The raster a scene is drawn on: colour and shape identity in one pass.

Drawing happens once, on a canvas supersampled by ``SS`` = 3 in a four-band mode: red, green, blue and a shape id.
Averaging 3 x 3 blocks gives the picture; the centre sample of each block is the id of the topmost shape that covers
the centre of the pixel, which makes the masks exact.
"""

from __future__ import annotations

from random import Random
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from .concepts import COLOUR_VALUES, Tag
from .palette import RGB, Light, Season, colour_index, mix

SIZE = 96
SS = 3
_FULL = SIZE * SS

Point = tuple[float, float]


class Glow(NamedTuple):
    """Light added to the finished picture: centre and radius in pixels, colour, strength 0..1."""

    x: float
    y: float
    radius: float
    rgb: RGB
    strength: float


class Canvas:
    """Painter's algorithm over tagged shapes. Coordinates are pixels of the 96 x 96 picture, y down."""

    def __init__(self, light: Light, season: Season, rng: Random) -> None:
        self.light = light
        self.season = season
        self.rng = rng
        # Four opaque bands; "RGBA" would be premultiplied when it is reduced, and the id must not weigh the colour.
        self.im = Image.new("CMYK", (_FULL, _FULL))
        self.draw = ImageDraw.Draw(self.im)
        self.haze = 0.0  # aerial perspective of what is drawn next, 0 = near
        self.glows: list[Glow] = []
        self.ids: dict[tuple[Tag, int], int] = {}
        self._lit: dict[tuple[RGB, float], RGB] = {}

    @property
    def snowy(self) -> bool:
        """Whether snow lies on the ground."""
        return self.season.snow

    def lit(self, rgb: RGB) -> RGB:
        """A surface colour under the light of the scene and the current haze."""
        key = (rgb, self.haze)
        out = self._lit.get(key)
        if out is None:
            light = self.light
            m = light.mul
            out = mix((min(255, int(rgb[0] * m[0])), min(255, int(rgb[1] * m[1])), min(255, int(rgb[2] * m[2]))),
                      light.amb, light.k)  # fmt: skip
            if self.haze:
                out = mix(out, light.low, min(0.86, self.haze * light.haze))
            self._lit[key] = out
        return out

    def ink(self, rgb: RGB, tag: Tag, raw: bool = False) -> tuple[int, int, int, int]:
        """Four-band ink; ``raw`` colours shine by themselves and take no light."""
        r, g, b = rgb if raw else self.lit(rgb)
        return r, g, b, self._identity(tag, colour_index(r, g, b))

    def _identity(self, tag: Tag, colour: int) -> int:
        """Shape id 1..255 of a tag in a colour; scenes use about a hundred."""
        ident = self.ids.get((tag, colour))
        if ident is None:
            ident = self.ids[tag, colour] = len(self.ids) + 1
        return ident

    def poly(self, pts: list[Point], rgb: RGB, tag: Tag, raw: bool = False) -> None:
        """Filled polygon."""
        self.draw.polygon([v * 3 for p in pts for v in p], fill=self.ink(rgb, tag, raw))

    def rect(self, x: float, y: float, w: float, hgt: float, rgb: RGB, tag: Tag, raw: bool = False) -> None:
        """Filled rectangle, at least one sample wide and high."""
        x0, y0 = round(x * 3), round(y * 3)
        x1, y1 = max(x0, round((x + w) * 3) - 1), max(y0, round((y + hgt) * 3) - 1)
        self.draw.rectangle((x0, y0, x1, y1), fill=self.ink(rgb, tag, raw))

    def oval(self, x: float, y: float, rx: float, ry: float, rgb: RGB, tag: Tag, raw: bool = False) -> None:
        """Filled ellipse around ``(x, y)``."""
        self.draw.ellipse(((x - rx) * 3, (y - ry) * 3, (x + rx) * 3, (y + ry) * 3), fill=self.ink(rgb, tag, raw))

    def line(self, pts: list[Point], width: float, rgb: RGB, tag: Tag, raw: bool = False) -> None:
        """Polyline, ``width`` in pixels, at least one sample."""
        self.draw.line([v * 3 for p in pts for v in p], fill=self.ink(rgb, tag, raw), width=max(1, round(width * 3)))

    def half(self, x: float, y: float, rx: float, ry: float, rgb: RGB, tag: Tag) -> None:
        """Upper half of an ellipse, flat side at ``y``."""
        self.draw.pieslice(((x - rx) * 3, (y - ry) * 3, (x + rx) * 3, (y + ry) * 3), 180, 360, fill=self.ink(rgb, tag))

    def _column(self, y0: float, y1: float, stops: tuple[RGB, ...], tag: Tag, raw: bool) -> Image.Image:
        """One-sample-wide vertical gradient; each row is named by its own colour."""
        n = max(1, round(y1 * 3) - round(y0 * 3))
        colours = np.array([c if raw else self.lit(c) for c in stops], np.float64)
        at = np.linspace(0, len(stops) - 1, n)
        low = np.minimum(at.astype(int), len(stops) - 2)
        rows = colours[low] + (colours[low + 1] - colours[low]) * (at - low)[:, None]
        column = np.empty((n, 1, 4), np.uint8)
        column[:, 0, :3] = rows
        last, ident = -1, 0
        for i, (r, g, b) in enumerate(column[:, 0, :3].tolist()):
            name = colour_index(r, g, b)
            if name != last:
                last, ident = name, self._identity(tag, name)
            column[i, 0, 3] = ident
        return Image.fromarray(column, "CMYK")

    def band(self, y0: float, y1: float, stops: tuple[RGB, ...], tag: Tag, raw: bool = False) -> None:
        """Full-width vertical gradient between two heights."""
        column = self._column(y0, y1, stops, tag, raw)
        self.im.paste(column.resize((_FULL, column.height), Image.Resampling.NEAREST), (0, round(y0 * 3)))

    def gradient(self, pts: list[Point], stops: tuple[RGB, ...], tag: Tag, raw: bool = False) -> None:
        """Polygon filled with a vertical gradient over its own height."""
        ys = [p[1] for p in pts]
        y0, y1 = max(-4.0, min(ys)), min(SIZE + 4.0, max(ys))
        column = self._column(y0, y1, stops, tag, raw)
        mask = Image.new("1", (_FULL, column.height))
        top = round(y0 * 3)
        ImageDraw.Draw(mask).polygon([(x * 3, y * 3 - top) for x, y in pts], fill=1)
        self.im.paste(column.resize((_FULL, column.height), Image.Resampling.NEAREST), (0, top), mask)

    def mirror(self, y: float, depth: float, strength: float, tag: Tag, ripple: float = 0.7) -> None:
        """Blend the mirror image of what stands above ``y`` into the water below it, down to ``y + depth``."""
        top, n = round(y * 3), min(round(depth * 3), round(y * 3), _FULL - round(y * 3))
        if n < 2:
            return
        above = np.asarray(self.im.crop((0, top - n, _FULL, top)))[::-1, :, :3]
        rows = np.arange(n)
        # Ripples: rows slide sideways, more so near the viewer.
        slide = np.rint(np.sin(rows * 0.9 + y) * ripple * (0.5 + rows / n) * 3).astype(int)
        above = above[rows[:, None], (np.arange(_FULL)[None, :] + slide[:, None]) % _FULL]
        here = np.array(self.im.crop((0, top, _FULL, top + n)))
        fade = (strength * (1 - 0.75 * rows / n)).astype(np.float32)[:, None, None]
        here[..., :3] = here[..., :3] * (1 - fade) + above * fade
        self.im.paste(Image.fromarray(here, "CMYK"), (0, top))

    def glow(self, x: float, y: float, radius: float, rgb: RGB, strength: float) -> None:
        """Bloom around a source of light, added after everything is drawn."""
        self.glows.append(Glow(x, y, radius, rgb, strength))

    def resolve(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Picture float32[96, 96, 3] in 0..255, ids uint8[96, 96], and values uint8[4, n_ids + 1] per category."""
        rgb = np.asarray(self.im.reduce(SS))[..., :3].astype(np.float32)
        ids = np.asarray(self.im)[1::SS, 1::SS, 3]
        table = np.zeros((4, len(self.ids) + 1), np.uint8)
        for (tag, colour), ident in self.ids.items():
            table[:, ident] = (tag.object, tag.part, tag.material, COLOUR_VALUES[colour])
        return rgb, ids, table
