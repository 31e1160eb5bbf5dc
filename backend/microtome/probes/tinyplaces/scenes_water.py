"""Scenes by the water: beach, harbour, mountain lake, river valley."""

from __future__ import annotations

import math

from . import houses, movers, plants, sky, structures
from .canvas import Canvas, Point
from .concepts import tag
from .palette import RGB, h, hs, mix, shade

WATER = plants.WATER
QUAY = tag("", "", "stone")
FOAM = tag("", "", "water")
HEADLAND = tag("hill", "", "grass")


def water(c: Canvas, y0: float, y1: float = 97) -> None:
    """Open water between two heights, with glints that grow towards the viewer."""
    r, light = c.rng, c.light
    c.band(y0, y1, (light.far, mix(light.far, light.near, 0.6), light.near), WATER, raw=True)
    for _ in range(22):
        t = r.random()
        y = y0 + (y1 - y0) * t * t + 0.6
        c.rect(r.uniform(-6, 94), y, r.uniform(2, 8) * (0.4 + t), 0.34 + 0.3 * t, mix(mix(light.far, light.near, t), light.low, r.uniform(0.12, 0.4)), WATER, raw=True)


def far_town(c: Canvas, base: float, towers: bool, x0: float, x1: float) -> None:
    """Small distant skyline: towers or a row of houses."""
    r = c.rng
    c.haze = 0.28
    x = x0
    while x < x1:
        w = r.uniform(4, 7) if towers else r.uniform(5.5, 8.5)
        if towers:
            structures.skyscraper(c, x, base + 0.6, w, r.uniform(8, 19), 0.35)
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
    c.poly([*pts, (edge[0] + d * width, base + 1)], tone, plants.SNOW if c.snowy else HEADLAND)
    c.poly([(edge[0], base + 1), (edge[0], base - 1.2), (edge[0] + d * width * 0.6, base - 1), (edge[0] + d * width * 1.04, base + 1)], h("8a8378"), QUAY)
    c.haze = 0.0
    return edge[0] + d * width * 0.4


def beach(c: Canvas) -> None:
    """Sea, a curved line of foam and sand in the foreground."""
    r = c.rng
    hz = r.uniform(30, 48)
    sky.sky(c, hz, birds=0.4)
    p = r.random()
    if p < 0.35:
        sky.hills(c, hz + 1, 6, 1, 0.4)
    water(c, hz)
    if p > 0.8:
        far_town(c, hz, True, r.uniform(0, 30), r.uniform(40, 80))
    lh = r.random() < 0.26
    if lh or r.random() < 0.25:
        left = r.random() < 0.5
        hgt = r.uniform(4, 9)
        spot = headland(c, hz + 1.5, left, r.uniform(18, 34), hgt)
        if lh:
            structures.lighthouse(c, spot, hz - hgt + 4, r.uniform(15, 21))
        elif r.random() < 0.4:
            houses.house(c, spot - 4, hz - hgt + 4, 8, 5)
    shore = r.uniform(62, 74)
    if r.random() < 0.6:
        for _ in range(r.choice((1, 1, 2))):
            movers.boat(c, r.uniform(6, 80), r.uniform(hz + 3, shore - 8), r.uniform(6, 11))
    slope, wob = r.uniform(-8, 8), r.uniform(0, 6)
    sand = r.choice(hs("e7cf9d e3c48c f0e2c0 cfc3ac b8a284 8a8078 ddb98a"))
    if c.snowy:
        sand = mix(sand, h("eef2f6"), r.uniform(0.1, 0.75))

    def edge(off: float) -> list[Point]:
        return [(-1, 98)] + [(x, shore + off + slope * (x / 96 - 0.5) + 2.6 * math.sin(x * 0.075 + wob)) for x in range(-1, 100, 3)] + [(98, 98)]

    wave = mix(mix((255, 255, 255), c.light.amb, c.light.k * 1.5), c.light.far, 0.12)
    c.poly(edge(-4.6), mix(c.light.far, wave, 0.35), WATER, raw=True)
    c.poly(edge(-3.6), mix(c.light.far, c.light.near, 0.3), WATER, raw=True)
    c.poly(edge(-1.5), wave, FOAM, raw=True)
    c.poly(edge(0), shade(sand, 0.8), plants.SAND)
    c.gradient(edge(2.4), (sand, sand, shade(sand, 0.86)), plants.SAND)
    if r.random() < 0.17:
        structures.pier(c, r.uniform(16, 80), shore + 9, r.uniform(16, 24), r.uniform(3.4, 5))
    for _ in range(22):
        y = r.uniform(shore + 8, 96)
        c.rect(r.uniform(0, 96), y, r.uniform(0.5, 1.6), 0.4, shade(sand, r.choice((0.84, 0.9, 1.3))), plants.SAND)
    items: list[tuple[float, object]] = []
    for _ in range(r.choice((0, 0, 1, 1, 2, 3))):
        x, b = r.uniform(8, 88), r.uniform(shore + 9, 93)
        items.append((b, lambda x=x, b=b: (plants.shadow(c, x + 2, b, 4.6, sand, plants.SAND), movers.parasol(c, x, b, 4 + (b - 70) * 0.12))))
        if r.random() < 0.6:
            tone = r.choice(hs("d8584a 3f7fae f0d080 4f9a8a"))
            items.append((b + 1, lambda x=x, b=b, tone=tone: c.poly([(x + 3, b - 1), (x + 8, b - 1.6), (x + 9, b + 0.2), (x + 3.6, b + 0.9)], tone, tag("", "", "cloth"))))
    for _ in range(r.choice((0, 1, 2, 3))):
        x, b = r.uniform(6, 90), r.uniform(shore + 5, 92)
        items.append((b, lambda x=x, b=b: movers.person(c, x, b, 6 + (b - 66) * 0.1)))
    if r.random() < 0.14:
        x, b = r.uniform(12, 80), r.uniform(shore + 10, 92)
        items.append((b, lambda: movers.boat(c, x, b, r.uniform(13, 18), "row")))
    if r.random() < 0.42:
        for _ in range(r.choice((1, 2))):
            x, b = r.choice((r.uniform(4, 22), r.uniform(74, 92))), r.uniform(shore + 8, 92)
            items.append((b, lambda x=x, b=b: (plants.shadow(c, x, b, 3.5, sand, plants.SAND), plants.palm(c, x, b, r.uniform(28, 44)))))
    if r.random() < 0.2:
        x0, w = r.choice((0, 50)), r.uniform(6.5, 8.5)
        for k in range(r.randint(2, 5)):
            x, b = x0 + 3 + k * (w + 2), shore + 9.0
            items.append((b, lambda x=x, b=b: houses.house(c, x, b, w, w * 0.85, houses.Style(chimney=0, gable=True))))
    _scatter(c, items, shore + 6, 95, {"boulder": 0.3, "cactus": 0.1, "bush": 0.2, "tent": 0.06, "tractor": 0.03, "fence": 0.1, "dog": 0.14, "lamp": 0.08})
    _paint(items)


def _scatter(c: Canvas, items: list, y0: float, y1: float, chances: dict[str, float], spot=None) -> None:
    """Add the occasional guest, so that no thing belongs to one kind of place alone; ``spot`` draws its (x, y)."""
    r = c.rng
    for what, chance in chances.items():
        if r.random() >= chance:
            continue
        x, b = spot() if spot else (r.uniform(8, 88), r.uniform(y0, y1))
        near = 0.6 + 0.6 * (b - 50) / 46
        draw = {
            "boulder": lambda x=x, b=b, n=near: plants.boulder(c, x, b, r.uniform(2, 5) * n),
            "bush": lambda x=x, b=b, n=near: plants.bush(c, x, b, r.uniform(2.4, 4.5) * n),
            "cactus": lambda x=x, b=b, n=near: plants.cactus(c, x, b, r.uniform(10, 17) * n),
            "palm": lambda x=x, b=b, n=near: plants.palm(c, x, b, r.uniform(24, 34) * n),
            "tree": lambda x=x, b=b, n=near: plants.any_tree(c, x, b, r.uniform(17, 28) * n),
            "tent": lambda x=x, b=b, n=near: movers.tent(c, x, b, r.uniform(5, 7.5) * n),
            "parasol": lambda x=x, b=b, n=near: movers.parasol(c, x, b, r.uniform(4.5, 7) * n),
            "fence": lambda b=b: structures.fence(c, b, r.uniform(-4, 20), r.uniform(40, 98)),
            "lamp": lambda x=x, b=b, n=near: structures.lamp_post(c, x, b, r.uniform(18, 24) * n),
            "car": lambda x=x, b=b, n=near: movers.car(c, x - 8, b, r.uniform(16, 22) * n, h("5a6048"), plants.EARTH),
            "tractor": lambda x=x, b=b, n=near: movers.tractor(c, x, b, r.uniform(14, 19) * n),
            "bale": lambda x=x, b=b, n=near: plants.hay_bale(c, x, b, r.uniform(2.6, 4) * n),
            "person": lambda x=x, b=b, n=near: movers.person(c, x, b, r.uniform(7, 10) * n),
            "windmill": lambda x=x, b=b, n=near: structures.windmill(c, x, b, r.uniform(18, 26) * n),
        }.get(what) or (lambda x=x, b=b, n=near, what=what: movers.animal(c, x, b, r.uniform(6, 9) * n, what))
        items.append((b, draw))


def _paint(items: list) -> None:
    """Paint far things first."""
    for _, draw in sorted(items, key=lambda item: item[0]):
        draw()


def harbour(c: Canvas) -> None:
    """A row of houses on a stone quay, boats on the water in front."""
    r = c.rng
    quay = r.uniform(44, 58)
    sky.sky(c, quay - 6, birds=0.4)
    p = r.random()
    if p < 0.3:
        sky.mountains(c, quay, 2, 20, 34)
    if p < 0.75:
        sky.hills(c, quay - 2, 8, r.choice((1, 2)), 0.4)
    if p > 0.8:
        far_town(c, quay, True, 0, 92)
    if r.random() < 0.2:
        structures.church(c, r.uniform(26, 70), quay, r.uniform(18, 23))
    if r.random() < 0.06:
        structures.windmill(c, r.uniform(12, 84), quay, 28)
    for _ in range(r.choice((0, 0, 1, 2))):
        plants.any_tree(c, r.uniform(0, 96), quay + 1, r.uniform(16, 24), 0.25)
    lh = r.random() < 0.3
    style = houses.Style(awning=r.choice((0, 0, 0.5)), gable=r.choice((None, None, True)), roof=r.choice((None, *houses.ROOFS[:3])))
    x = r.uniform(-6, 6)
    skip = r.choice((0, 1)) if lh else -1
    while x < 93:
        w = r.uniform(9.5, 16)
        if not (lh and ((skip == 0 and x < 14) or (skip == 1 and x + w > 82))) and r.random() < 0.93:
            houses.house(c, x, quay + 1, w, r.uniform(10, 20), style)
        x += w + r.choice((0.2, 0.4, r.uniform(1, 5)))
    if lh:
        structures.lighthouse(c, r.uniform(5, 9) if skip == 0 else r.uniform(87, 91), quay + 1, r.uniform(22, 30))
    if r.random() < 0.24:
        plants.palm(c, r.uniform(6, 90), quay + 2, r.uniform(17, 24))
    for _ in range(r.choice((0, 1, 2))):
        movers.person(c, r.uniform(4, 92), quay + 2, r.uniform(4.4, 5.4))
    if r.random() < 0.28:
        movers.parasol(c, r.uniform(10, 86), quay + 2, r.uniform(3, 4))
    if r.random() < 0.2:
        movers.car(c, r.uniform(6, 76), quay + 2, r.uniform(9, 12), h("8a8478"), QUAY)
    for _ in range(r.choice((0, 0, 1, 2, 3))):
        structures.lamp_post(c, r.uniform(6, 90), quay + 2, r.uniform(9, 12))
    water(c, quay + 2)
    c.mirror(quay + 4, 44, 0.42, WATER)
    stone = r.choice(hs("a59b8b 8f8a84 9a8f86"))
    c.rect(-1, quay + 1.4, 98, 4.4, shade(stone, 0.86), QUAY)
    c.rect(-1, quay + 1.2, 98, 0.9, stone if not c.snowy else h("eef2f6"), QUAY)
    for k in range(9):
        c.rect(r.uniform(0, 96), quay + r.uniform(2.6, 5), r.uniform(2, 5), 0.4, shade(stone, 0.7), QUAY)
    if r.random() < 0.3:
        structures.pier(c, r.uniform(14, 82), 97, r.uniform(22, 34), r.uniform(5, 8))
    boats = []
    for _ in range(r.choice((1, 2, 2, 3, 4))):
        b = r.uniform(quay + 11, 92)
        boats.append((b, r.uniform(2, 80)))
    for b, bx in sorted(boats):
        movers.boat(c, bx, b, 8 + (b - quay) * 0.22)


def mountain_lake(c: Canvas) -> None:
    """Peaks mirrored in a still lake between conifers."""
    r = c.rng
    hz = r.uniform(46, 58)
    sky.sky(c, hz, birds=0.25)
    sky.mountains(c, hz, r.choice((2, 3, 3)), 24, hz - 8, 0.6)
    if r.random() < 0.75:
        sky.hills(c, hz, 5, 1, 0.7)
    c.haze = 0.16
    c.rect(-1, hz - 0.4, 98, 2.2, shade(r.choice(c.season.grass), 0.86), plants.SNOW if c.snowy else plants.GRASS)
    c.haze = 0.0
    if r.random() < 0.12:
        plants.patchwork(c, hz - 3, 2, 4)
    for _ in range(r.choice((0, 6, 10))):
        plants.conifer(c, r.uniform(0, 96), hz + 1, r.uniform(4, 8))
    p = r.random()
    if p < 0.26:
        x = r.uniform(10, 70)
        houses.house(c, x, hz + 1.4, r.uniform(9, 13), r.uniform(5, 7), houses.Style(wall=(h("9b6f4a"), "wood"), gable=None))
    elif p < 0.36:
        structures.church(c, r.uniform(24, 72), hz + 1.4, 9)
    elif p < 0.46:
        structures.lighthouse(c, r.uniform(12, 84), hz + 1.4, r.uniform(12, 15))
    elif p < 0.54:
        far_town(c, hz + 0.5, False, r.uniform(10, 40), r.uniform(50, 80))
    water(c, hz + 1)
    c.mirror(hz + 1, 44, 0.5, WATER, 0.5)
    if r.random() < 0.1:
        structures.arched_bridge(c, -4, r.uniform(30, 50), hz - 1, hz + 4, 3)
    for _ in range(r.choice((0, 0, 1, 1, 2))):
        b = r.uniform(hz + 6, 80)
        movers.boat(c, r.uniform(8, 78), b, 5 + (b - hz) * 0.26, r.choice(("row", "sail", "sail")))
    if r.random() < 0.3:
        structures.pier(c, r.uniform(16, 80), 97, r.uniform(14, 24), r.uniform(5, 8))
    items: list = []
    near = r.uniform(80, 92)
    if r.random() < 0.8:
        _shore(c, near)
        plants.flowers(c, near + 4, 96, count=12 if r.random() < 0.35 else 0)
        _scatter(c, items, near + 4, 96, {"boulder": 0.5, "bush": 0.25, "tent": 0.2, "deer": 0.12, "person": 0.25, "parasol": 0.15, "bale": 0.06, "cow": 0.1, "fence": 0.1, "lamp": 0.06})
    for _ in range(r.randint(1, 4)):
        x = r.choice((r.uniform(-3, 16), r.uniform(80, 99)))
        items.append((r.uniform(90, 99), lambda x=x: plants.any_tree(c, x, r.uniform(92, 99), r.uniform(28, 50), 0.8)))
    _paint(items)


def _shore(c: Canvas, y: float) -> None:
    """Uneven near bank."""
    r = c.rng
    stony = r.random() < 0.36 and not c.snowy
    sandy = stony and r.random() < 0.5
    tone = h("d8c494") if sandy else r.choice(hs("a09684 8f8a80")) if stony else r.choice(c.season.grass)
    kind = plants.SAND if sandy else QUAY if stony else plants.SNOW if c.snowy else plants.GRASS
    plants.ground(c, y, r.uniform(1, 3), tone, kind)


def river_valley(c: Canvas) -> None:
    """A river winds from the hills to the viewer through meadows."""
    r = c.rng
    hz = r.uniform(34, 48)
    sky.sky(c, hz, birds=0.3, balloons=0.12)
    if r.random() < 0.45:
        sky.mountains(c, hz, r.choice((2, 3)), 14, 26, 0.5)
    sky.hills(c, hz + 2, 9, 2, 0.45)
    arid = r.random() < 0.14
    base = plants.ground(c, hz + 2, 1.0, r.choice(hs("d0a878 c89a6a")) if arid else None, plants.SAND if arid else None)
    kind = plants.SAND if arid else plants.SNOW if c.snowy else plants.GRASS
    if r.random() < 0.42 and not arid:
        plants.patchwork(c, hz + 1, 10, 7)
    for side in (0, 1):  # valley sides
        y = hz + r.uniform(4, 14)
        w = r.uniform(20, 40)
        tone = shade(base, r.uniform(0.84, 1.06))
        x0 = 0 if side == 0 else 96
        d = 1 if side == 0 else -1
        c.poly([(x0, y - r.uniform(6, 14)), (x0 + d * w * 0.5, y - 2), (x0 + d * w, y + 8), (x0, y + 30)], tone, kind)
    end = r.uniform(30, 66)
    top = r.uniform(38, 58)
    sway, turns, ph = r.uniform(9, 18), r.uniform(1.2, 2.0), r.uniform(0, 6)
    width = r.uniform(15, 26)

    def at(t: float) -> tuple[float, float, float]:
        u = t**1.8
        x = top + (end - top) * u + sway * math.sin(ph + t * turns * math.pi * 2) * (0.25 + 0.75 * t) * (1.1 - 0.35 * t)
        return x, hz + 3 + (97 - hz - 3) * u, 0.7 + width * u

    def ribbon(extra: float, drop: float) -> list[Point]:
        pts = [at(k / 22) for k in range(23)]
        return [(x - w - extra * (0.3 + w / width), y + drop) for x, y, w in pts] + [(x + w + extra * (0.3 + w / width), y + drop) for x, y, w in reversed(pts)]

    bank_tone, bank_kind = (h("c8b48a"), plants.SAND) if r.random() < 0.4 else (shade(base, 0.66), kind if not arid else plants.EARTH)
    c.poly(ribbon(1.8, -0.3), bank_tone, bank_kind)
    c.gradient(ribbon(0, 0), (c.light.far, mix(c.light.far, c.light.near, 0.5), c.light.near), WATER, raw=True)
    for _ in range(14):
        x, y, w = at(r.uniform(0.2, 0.99))
        c.rect(x + r.uniform(-0.8, 0.4) * w, y, w * r.uniform(0.2, 0.5), 0.4, mix(c.light.far, c.light.low, 0.35), WATER, raw=True)
    items: list = []
    bridge_t = r.uniform(0.45, 0.72)
    p = r.random()
    bx, by, bw = at(bridge_t)
    if p < 0.4:
        items.append((by + 2.4, lambda: structures.arched_bridge(c, bx - bw * 1.7 - 3, bx + bw * 1.7 + 3, by - 3.4, by + 2.4, 2 if bw > 8 else 1)))
    elif p < 0.46:
        items.append((by + 2.4, lambda: structures.steel_bridge(c, bx - bw * 1.9 - 6, bx + bw * 1.9 + 6, by - 2, by + 2.4)))
    if r.random() < 0.3:
        x, y, w = at(0.8)
        items.append((y, lambda: movers.boat(c, x - 5, y, r.uniform(8, 12), r.choice(("row", "sail", "motor")))))

    def bank(t0: float, t1: float) -> tuple[float, float]:
        x, y, w = at(r.uniform(t0, t1))
        d = r.choice((-1, 1))
        return x + d * (w + r.uniform(4, 30)), y

    for _ in range(r.randint(4, 10)):
        x, b = bank(0.1, 0.9)
        s = 5 + (b - hz) * r.uniform(0.34, 0.5)
        kind_fn = r.choice((plants.poplar, plants.broad, plants.broad, plants.conifer))
        items.append((b, lambda x=x, b=b, s=s, fn=kind_fn: fn(c, x, b, s)))
    for _ in range(r.choice((0, 0, 1, 2, 3))):
        x, b = bank(0.25, 0.6)
        s = 4.4 + (b - hz) * 0.24
        items.append((b, lambda x=x, b=b, s=s: houses.house(c, x - s * 0.6, b, s * 1.3, s * 0.8)))
    if r.random() < 0.19:
        x, b = bank(0.3, 0.55)
        items.append((b, lambda x=x, b=b: structures.church(c, x, b, 6 + (b - hz) * 0.2)))
    if r.random() < 0.2:
        x, b = bank(0.35, 0.65)
        items.append((b, lambda x=x, b=b: houses.barn(c, x - 5, b, 8 + (b - hz) * 0.16, 5 + (b - hz) * 0.1, r.random() < 0.4)))
    beast = r.choice(("sheep", "cow"))
    for _ in range(r.choice((0, 0, 0, 2, 3))):
        x, b = bank(0.5, 0.9)
        items.append((b, lambda x=x, b=b: movers.animal(c, x, b, 2.5 + (b - hz) * 0.1, beast)))
    _scatter(c, items, hz + 16, 95, {"boulder": 0.25, "bush": 0.4, "tent": 0.12, "tractor": 0.12, "bale": 0.17, "parasol": 0.06, "person": 0.15, "fence": 0.12, "windmill": 0.13, "cactus": 0.6 if arid else 0.03}, lambda: bank(0.5, 0.95))
    _paint(items)
    plants.flowers(c, 70, 96, count=16 if r.random() < 0.3 and not arid else 0)
