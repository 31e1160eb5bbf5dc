"""flowers: generated flowers that differ between classes in exactly one part, with exact masks of all parts.

After the an8Flower data of Oramas, Wang, Tuytelaars 2019 (arXiv:1712.06302): what a map should point at is known, because nothing
else tells two classes apart. Petals, centre, stem and leaves of every flower have colours that all classes share, but for the one
part that bears the colour of its class. Pebbles in the colours of all classes lie about in every class alike, so a colour alone
gives nothing away. Every picture is drawn from (split, index); nothing is stored and nothing is downloaded.
"""

from __future__ import annotations

import math
from random import Random

import numpy as np
from PIL import Image, ImageDraw

from microtome.probes.base import Concept, Drawn

SIZE, VERSION = 64, "1"
SPLITS: dict[str, int] = {"train": 0, "val": 1, "test": 2}
_SS = 4  # samples along a pixel's side

RGB = tuple[int, int, int]
Point = tuple[float, float]
#: Class -> the part that defines it, and its colour there.
MARKS: dict[str, tuple[str, RGB]] = {
    "crimson petals": ("petals", (176, 24, 56)), "violet petals": ("petals", (112, 58, 180)),
    "black centre": ("centre", (34, 30, 38)), "blue centre": ("centre", (44, 98, 200)),
    "red stem": ("stem", (190, 52, 36)), "white stem": ("stem", (232, 230, 216)),
    "purple leaves": ("leaves", (110, 48, 120)), "yellow leaves": ("leaves", (216, 190, 40)),
}  # fmt: skip
CLASSES = tuple(MARKS)
#: Colours that every class may have where its mark is not.
SHARED: dict[str, tuple[RGB, ...]] = {
    "petals": ((240, 236, 228), (246, 206, 60), (240, 142, 50), (238, 160, 190)),
    "centre": ((122, 84, 40), (190, 138, 44), (150, 110, 60)),
    "stem": ((62, 128, 52), (88, 144, 60), (50, 108, 60)),
    "leaves": ((70, 142, 58), (98, 156, 70), (52, 116, 66)),
}
PARTS = tuple(SHARED)
CONCEPTS = tuple(
    Concept(name, category, i)
    for i, (name, category) in enumerate(
        [*((part, "part") for part in PARTS), ("flower", "object"), ("pebble", "object")],
    )
)
DEFINED_BY = {name: (f"part:{part}",) for name, (part, _) in MARKS.items()}


class _Sheet:
    """A picture and, beside it, which concept every sample belongs to. Coordinates are pixels, y down."""

    def __init__(self, ground: np.ndarray) -> None:
        side = SIZE * _SS
        self.colours = Image.fromarray(ground.repeat(_SS, 0).repeat(_SS, 1))
        self.places = Image.new("L", (side, side))
        self._pens = ImageDraw.Draw(self.colours), ImageDraw.Draw(self.places)

    def polygon(self, corners: list[Point], colour: RGB, place: int) -> None:
        samples = [(x * _SS, y * _SS) for x, y in corners]
        self._pens[0].polygon(samples, fill=colour)
        self._pens[1].polygon(samples, fill=place)

    def oval(self, x: float, y: float, along: float, across: float, turn: float, colour: RGB, place: int) -> None:
        """An ellipse around (x, y), its long half axis in the direction ``turn`` (radians)."""
        circle = [k / 40 * 2 * math.pi for k in range(40)]
        c, s = math.cos(turn), math.sin(turn)
        rim = [(along * math.cos(a), across * math.sin(a)) for a in circle]
        self.polygon([(x + u * c - v * s, y + u * s + v * c) for u, v in rim], colour, place)

    def finished(self) -> tuple[np.ndarray, np.ndarray]:
        """Picture uint8 [SIZE, SIZE, 3], samples averaged; concept uint8 [SIZE, SIZE], of the sample at the pixel's centre."""
        samples = np.asarray(self.colours, np.float32).reshape(SIZE, _SS, SIZE, _SS, 3).mean((1, 3))
        return samples.round().astype(np.uint8), np.asarray(self.places)[_SS // 2 :: _SS, _SS // 2 :: _SS].copy()


def _ground(rng: Random) -> np.ndarray:
    """Sky over earth with soft noise, uint8 [SIZE, SIZE, 3]."""
    noise = np.random.default_rng(rng.getrandbits(32)).normal(0, 1, (SIZE, SIZE))
    for axis in (0, 1):
        noise = (np.roll(noise, 1, axis) + noise + np.roll(noise, -1, axis)) / 3
    sky, earth = [
        np.array([rng.randint(low, high) for low, high in bounds], np.float32)
        for bounds in (((150, 215), (180, 225), (205, 250)), ((110, 165), (120, 150), (70, 115)))
    ]
    share = 1 / (1 + np.exp(-(np.arange(SIZE) - rng.uniform(38, 50)) / rng.uniform(1.5, 6)))
    field = sky + (earth - sky) * share[:, None, None] + 12 * noise[..., None]
    return np.asarray(field.clip(0, 255).astype(np.uint8))


def _varied(colour: RGB, rng: Random) -> RGB:
    light = rng.uniform(0.88, 1.1)
    return tuple(max(0, min(255, round(v * light + rng.uniform(-6, 6)))) for v in colour)  # type: ignore[return-value]


def render(split: str, index: int) -> Drawn:
    """The picture of an index: labels uint8 [2, SIZE, SIZE], parts and objects."""
    rng = Random(f"flowers {VERSION} {split} {index}")
    label = index % len(CLASSES)
    marked, special = MARKS[CLASSES[label]]
    colour = {part: _varied(special if part == marked else rng.choice(SHARED[part]), rng) for part in PARTS}
    value = {concept.name: concept.index + 1 for concept in CONCEPTS}
    sheet = _Sheet(_ground(rng))
    for _, own in rng.sample(list(MARKS.values()), rng.randint(2, 4)):
        x, y = rng.uniform(4, SIZE - 4), rng.uniform(SIZE * 0.78, SIZE - 3)
        sheet.oval(x, y, rng.uniform(2, 4.2), rng.uniform(1.6, 3), rng.uniform(0, 3), _varied(own, rng), value["pebble"])
    # The stem bends from the ground to the head; leaves grow from it.
    foot, head = (rng.uniform(22, 42), SIZE + 2.0), (rng.uniform(20, 44), rng.uniform(17, 27))
    bend = rng.uniform(-7, 7)
    curve = [
        (foot[0] + (head[0] - foot[0]) * t + bend * math.sin(math.pi * t), foot[1] + (head[1] - foot[1]) * t)
        for t in (k / 24 for k in range(25))
    ]
    width = rng.uniform(1.2, 1.9)
    sheet.polygon([(x - width, y) for x, y in curve] + [(x + width, y) for x, y in reversed(curve)], colour["stem"], value["stem"])
    for side in (-1, 1):
        x, y = curve[rng.randint(7, 12)]
        size, rise = rng.uniform(6, 9), rng.uniform(0.1, 0.7)
        turn = -rise if side > 0 else math.pi + rise
        middle = (x + size * math.cos(turn), y + size * math.sin(turn))
        sheet.oval(*middle, size, size * rng.uniform(0.3, 0.42), turn, colour["leaves"], value["leaves"])
    count, start, length = rng.randint(5, 9), rng.uniform(0, 2), rng.uniform(6.5, 9)
    for k in range(count):
        turn = start + 2 * math.pi * k / count
        petal = (head[0] + length * math.cos(turn), head[1] + length * math.sin(turn))
        sheet.oval(*petal, length * 0.72, min(4.4, length * 2.6 / count), turn, colour["petals"], value["petals"])
    sheet.oval(*head, rng.uniform(4, 5.5), rng.uniform(4, 5.5), 0, colour["centre"], value["centre"])
    image, parts = sheet.finished()
    objects = np.where((parts > 0) & (parts <= len(PARTS)), value["flower"], np.where(parts == value["pebble"], parts, 0))
    labels = np.stack([np.where(parts <= len(PARTS), parts, 0), objects]).astype(np.uint8)
    return Drawn(image, labels, label)
