"""What several kinds of place share: open water, distant towns, occasional guests."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from . import houses, land, movers, plants, structures, towers
from .canvas import Canvas, Point
from .concepts import tag
from .palette import h, mix, shade

WATER = land.WATER
QUAY = tag("", "", "stone")
HEADLAND = tag("hill", "", "grass")
FIELD = tag("", "", "crop")
FIELD_EARTH = tag("", "", "earth")

# What stands on the ground, each with the height of its foot: it is painted from far to near.
Items = list[tuple[float, Callable[..., None]]]


def paint(items: Items) -> None:
    """Paint far things first."""
    for _, draw in sorted(items, key=lambda item: item[0]):
        draw()


def _guest(c: Canvas, what: str, x: float, b: float) -> None:
    """Draw one guest with its foot at ``(x, b)``, larger the nearer it stands."""
    r = c.rng
    near = 0.6 + 0.6 * (b - 50) / 46
    if what == "boulder":
        land.boulder(c, x, b, r.uniform(2, 5) * near)
    elif what == "bush":
        plants.bush(c, x, b, r.uniform(2.4, 4.5) * near)
    elif what == "cactus":
        plants.cactus(c, x, b, r.uniform(10, 17) * near)
    elif what == "palm":
        plants.palm(c, x, b, r.uniform(24, 34) * near)
    elif what == "tent":
        movers.tent(c, x, b, r.uniform(5, 7.5) * near)
    elif what == "parasol":
        movers.parasol(c, x, b, r.uniform(4.5, 7) * near)
    elif what == "fence":
        structures.fence(c, b, r.uniform(-4, 20), r.uniform(40, 98))
    elif what == "lamp":
        structures.lamp_post(c, x, b, r.uniform(18, 24) * near)
    elif what == "car":
        movers.car(c, x - 8, b, r.uniform(16, 22) * near, h("5a6048"), land.EARTH)
    elif what == "tractor":
        movers.tractor(c, x, b, r.uniform(14, 19) * near)
    elif what == "bale":
        land.hay_bale(c, x, b, r.uniform(2.6, 4) * near)
    elif what == "person":
        movers.person(c, x, b, r.uniform(7, 10) * near)
    elif what == "windmill":
        towers.windmill(c, x, b, r.uniform(18, 26) * near)
    else:
        movers.animal(c, x, b, r.uniform(6, 9) * near, what)


def scatter(
    c: Canvas,
    items: Items,
    y0: float,
    y1: float,
    chances: dict[str, float],
    spot: Callable[[], Point] | None = None,
) -> None:
    """Add the occasional guest, so that no thing belongs to one kind of place alone; ``spot`` draws its (x, y)."""
    r = c.rng
    for what, chance in chances.items():
        if r.random() < chance:
            x, b = spot() if spot else (r.uniform(8, 88), r.uniform(y0, y1))
            items.append((b, partial(_guest, c, what, x, b)))


def water(c: Canvas, y0: float, y1: float = 97) -> None:
    """Open water between two heights, with glints that grow towards the viewer."""
    r, light = c.rng, c.light
    c.band(y0, y1, (light.far, mix(light.far, light.near, 0.6), light.near), WATER, raw=True)
    for _ in range(22):
        t = r.random()
        y = y0 + (y1 - y0) * t * t + 0.6
        c.rect(
            r.uniform(-6, 94),
            y,
            r.uniform(2, 8) * (0.4 + t),
            0.34 + 0.3 * t,
            mix(mix(light.far, light.near, t), light.low, r.uniform(0.12, 0.4)),
            WATER,
            raw=True,
        )


def far_town(c: Canvas, base: float, tall: bool, x0: float, x1: float) -> None:
    """Small distant skyline: towers or a row of houses."""
    r = c.rng
    c.haze = 0.28
    x = x0
    while x < x1:
        w = r.uniform(4, 7) if tall else r.uniform(5.5, 8.5)
        if tall:
            towers.skyscraper(c, x, base + 0.6, w, r.uniform(8, 19), 0.35)
        else:
            houses.house(c, x, base + 0.6, w, r.uniform(4, 6))
        x += w + r.uniform(-0.2, 3)
    c.haze = 0.0


def headland(c: Canvas, base: float, left: bool, width: float, hgt: float) -> float:
    """Grassy point reaching into the water; returns the x of a good spot on it."""
    r = c.rng
    tone = r.choice(c.season.grass)
    edge = (0 if left else 96, base + 1)
    d = 1 if left else -1
    pts: list[Point] = [edge, (edge[0], base - hgt)]
    for k in range(1, 7):
        t = k / 6
        pts.append((edge[0] + d * width * t, base - hgt * (1 - t**1.8) + r.uniform(-0.4, 0.4)))
    c.haze = 0.12
    c.poly([*pts, (edge[0] + d * width, base + 1)], tone, land.SNOW if c.snowy else HEADLAND)
    c.poly(
        [
            (edge[0], base + 1),
            (edge[0], base - 1.2),
            (edge[0] + d * width * 0.6, base - 1),
            (edge[0] + d * width * 1.04, base + 1),
        ],
        h("8a8378"),
        QUAY,
    )
    c.haze = 0.0
    return edge[0] + d * width * 0.4


def stream(c: Canvas, y: float) -> None:
    """Narrow brook across the meadow with a small bridge over it."""
    r = c.rng
    x0, x1 = r.uniform(20, 50), r.uniform(40, 80)
    mid = mix(c.light.far, c.light.near, 0.5)
    c.poly([(x0 - 0.6, y), (x0 + 0.6, y), (x1 + 9, 98), (x1 - 9, 98)], shade(mid, 0.75), land.WATER, raw=True)
    c.poly([(x0 - 0.3, y), (x0 + 0.3, y), (x1 + 7.4, 98), (x1 - 7.4, 98)], mid, land.WATER, raw=True)
    if r.random() < 0.8:
        t = r.uniform(0.45, 0.7)
        bx, by = x0 + (x1 - x0) * t, y + (98 - y) * t
        structures.arched_bridge(c, bx - 9 * t - 5, bx + 9 * t + 5, by - 3, by + 2, 1)
