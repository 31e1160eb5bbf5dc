"""Houses and barns, with their windows, doors, roofs and chimneys."""

from __future__ import annotations

from typing import NamedTuple

from .canvas import Canvas
from .concepts import tag
from .palette import RGB, h, hs, mix, shade

ROOF_SNOW = tag("house", "roof", "snow")
DOOR = tag("house", "door", "wood")
FRAME = tag("house", "window", "wood")
GLASS = tag("house", "window", "glass")
CHIMNEY = tag("house", "chimney", "brick")
ROOF = tag("house", "roof", "tile")
AWNING = tag("house", "awning", "cloth")
BARN_WALL = tag("barn", "wall", "wood")
BARN_ROOF = tag("barn", "roof", "metal")
BARN_SNOW = tag("barn", "roof", "snow")
BARN_DOOR = tag("barn", "door", "wood")
BARN_GLASS = tag("barn", "window", "glass")
SILO = tag("barn", "", "metal")

_WALL_TAGS = {m: tag("house", "wall", m) for m in ("brick", "plaster", "wood", "stone")}
WALLS: tuple[tuple[RGB, str], ...] = tuple(
    (h(code), material)
    for code, material in (
        ("a9523f", "brick"),
        ("b96b4c", "brick"),
        ("9a5a48", "brick"),
        ("e6dcc6", "plaster"),
        ("efe9dd", "plaster"),
        ("d9b36a", "plaster"),
        ("e0a890", "plaster"),
        ("a8c0b0", "plaster"),
        ("8fb0bd", "wood"),
        ("9b6f4a", "wood"),
        ("c9d0c4", "wood"),
        ("b5503f", "wood"),
        ("6f8fa8", "wood"),
        ("a09a90", "stone"),
        ("8e8a84", "stone"),
    )
)
ROOFS = hs("8d3f31 a24f38 5b5f69 6d4a3c 47525c b2603f 7a4a44")
_DOORS = hs("7a2e2a 2f5d62 3f4f7a 6b4a2c 35523a a2702c 8a3a52")
_WARM = hs("ffd37a ffc766 ffe09a f8b85a")
_PANES = hs("3f5870 4b667e 587590 6a8496")


class Style(NamedTuple):
    """What a row of houses has in common; None draws."""

    wall: tuple[RGB, str] | None = None
    roof: RGB | None = None
    gable: bool | None = None
    awning: float = 0.0
    chimney: float = 0.65
    door: bool = True


PLAIN = Style()


def window(c: Canvas, x: float, y: float, w: float, hgt: float, frame: RGB, lit: float = 0.62) -> None:
    """Framed window with glazing bars; lamp-lit with probability ``lit`` when the hour calls for lamps."""
    r = c.rng
    c.rect(x - 0.45, y - 0.45, w + 0.9, hgt + 0.9, frame, FRAME)
    if c.light.lamps and r.random() < lit:
        c.rect(x, y, w, hgt, r.choice(_WARM), GLASS, raw=True)
        c.glow(x + w / 2, y + hgt / 2, w * 1.7 + 1.5, h("ffb85a"), 0.34)
    else:
        pane = r.choice(_PANES)
        c.rect(x, y, w, hgt, pane, GLASS)
        c.poly([(x, y), (x + w * 0.7, y), (x, y + hgt * 0.7)], mix(pane, c.light.mid, 0.42), GLASS)
    if w > 1.6:
        c.rect(x + w / 2 - 0.17, y, 0.34, hgt, frame, FRAME)
        c.rect(x, y + hgt * 0.45, w, 0.34, frame, FRAME)


def _texture(c: Canvas, x: float, top: float, w: float, b: float, wall: RGB, material: str) -> None:
    t = _WALL_TAGS[material]
    if material == "brick":
        y, k = top + 1.1, 0
        while y < b - 0.5:
            c.rect(x, y, w, 0.34, shade(wall, 0.84), t)
            for i in range(int(w / 3.4)):
                c.rect(x + 1 + i * 3.4 + (k % 2) * 1.7, y - 1, 0.34, 1, shade(wall, 0.87), t)
            y, k = y + 1.5, k + 1
    elif material == "wood":
        y = top + 1.3
        while y < b - 0.5:
            c.rect(x, y, w, 0.34, shade(wall, 0.85), t)
            y += 1.7
    elif material == "stone":
        r = c.rng
        for _ in range(int(w * (b - top) / 16)):
            c.rect(
                x + r.uniform(0, w - 2),
                r.uniform(top, b - 1.2),
                r.uniform(1, 2),
                0.9,
                shade(wall, r.choice((0.86, 0.9, 1.14))),
                t,
            )


def house(c: Canvas, x: float, b: float, w: float, hgt: float, style: Style = PLAIN) -> None:
    """House front with its lower left corner at ``(x, b)``, walls ``w`` x ``hgt``."""
    r = c.rng
    wall, material = style.wall or r.choice(WALLS)
    roof = style.roof or r.choice(ROOFS)
    t = _WALL_TAGS[material]
    frame = h("f6f3ea") if r.random() < 0.85 else h("4a3a30")
    top, rise = b - hgt, min(hgt, w) * r.uniform(0.42, 0.62)
    gable = (r.random() < 0.55 or w < 13) if style.gable is None else style.gable
    if r.random() < style.chimney:
        cx = x + w * r.choice((r.uniform(0.14, 0.26), r.uniform(0.66, 0.8)))
        cw = max(1.2, w * 0.1)
        c.rect(cx, top - rise * 0.96, cw, rise * 0.96, h("8e4a3b"), CHIMNEY)
        c.rect(cx + cw * 0.6, top - rise * 0.96, cw * 0.4, rise * 0.96, h("74392e"), CHIMNEY)
        c.rect(cx - 0.3, top - rise * 0.96 - 0.7, cw + 0.6, 0.9, h("5a4640") if not c.snowy else h("eef2f6"), CHIMNEY)
    c.rect(x, top, w, hgt, wall, t)
    if gable:
        c.poly([(x, top), (x + w / 2, top - rise * 0.92), (x + w, top)], wall, t)
    _texture(c, x, top, w, b, wall, material)
    c.rect(x + w * 0.86, top, w * 0.14, hgt, shade(wall, 0.84), t)
    c.rect(x, b - 0.8, w, 0.8, shade(wall, 0.66), t)
    _roof(c, x, top, w, rise, roof, gable)
    _openings(c, x, b, w, hgt, top, frame, style)
    if gable and w > 9 and rise > 4:
        s = min(2.2, w * 0.12)
        window(c, x + w / 2 - s / 2, top - rise * 0.36, s, s, frame)


def _roof(c: Canvas, x: float, top: float, w: float, rise: float, roof: RGB, gable: bool) -> None:
    dark, light = shade(roof, 0.74), shade(roof, 1.12)
    over = w * 0.08
    if gable:
        apex, th = (x + w / 2, top - rise), max(1.1, rise * 0.24)
        c.poly(
            [(x - over, top + 0.7), apex, (x + w / 2, top - rise + th * 1.3), (x - over + th * 0.5, top + 1.2)],
            light,
            ROOF,
        )
        c.poly(
            [(x + w + over, top + 0.7), apex, (x + w / 2, top - rise + th * 1.3), (x + w + over - th * 0.5, top + 1.2)],
            dark,
            ROOF,
        )
        if c.snowy:
            c.poly(
                [
                    (x - over, top + 0.4),
                    apex,
                    (x + w + over, top + 0.4),
                    (x + w + over - 0.4, top - 0.6),
                    (x + w / 2, top - rise - 1.1),
                    (x - over + 0.4, top - 0.6),
                ],
                h("f3f6fa"),
                ROOF_SNOW,
            )
        return
    high, inset = top - rise * 0.82, w * 0.12
    c.poly([(x - over, top + 0.7), (x + inset, high), (x + w - inset, high), (x + w + over, top + 0.7)], roof, ROOF)
    for k in range(1, 4):
        y, ins = top + 0.7 - (rise * 0.82 + 0.7) * k / 4, (inset + over) * k / 4
        c.rect(x - over + ins, y, w + 2 * over - 2 * ins, 0.34, shade(roof, 0.84), ROOF)
    c.rect(x - over, top + 0.4, w + 2 * over, 0.6, dark, ROOF)
    if c.snowy:
        c.poly(
            [
                (x - over * 0.4, top - rise * 0.2),
                (x + inset, high - 0.6),
                (x + w - inset, high - 0.6),
                (x + w + over * 0.4, top - rise * 0.2),
                (x + w * 0.7, top - rise * 0.08),
                (x + w * 0.45, top - rise * 0.24),
                (x + w * 0.2, top - rise * 0.06),
            ],
            h("f3f6fa"),
            ROOF_SNOW,
        )
    elif rise > 5 and w > 14 and c.rng.random() < 0.4:
        s = rise * 0.34
        mx = x + w * 0.5
        c.poly(
            [
                (mx - s * 0.9, top - rise * 0.18),
                (mx - s * 0.9, top - rise * 0.45),
                (mx, top - rise * 0.74),
                (mx + s * 0.9, top - rise * 0.45),
                (mx + s * 0.9, top - rise * 0.18),
            ],
            dark,
            ROOF,
        )
        window(c, mx - s * 0.4, top - rise * 0.46, s * 0.8, s * 0.7, h("f6f3ea"))


def _openings(c: Canvas, x: float, b: float, w: float, hgt: float, top: float, frame: RGB, style: Style) -> None:
    r = c.rng
    cols = max(1, round(w / 6.6))
    rows = max(1, round(hgt / 9.5))
    ww, row_h = min(3.6, w / cols * 0.46), hgt / rows
    wh = min(4.6, row_h * 0.46)
    door_col = r.randrange(cols) if style.door else -1
    shutters = r.choice(_DOORS) if r.random() < 0.25 and w / cols > 5 else None
    for row in range(rows):
        for col in range(cols):
            cx = x + w * (col + 0.5) / cols
            y = top + row_h * (row + 0.24)
            if row == rows - 1 and col == door_col:
                dh, dw = min(row_h * 0.68, 7.2), min(3.2, w / cols * 0.46)
                tone = r.choice(_DOORS)
                c.rect(cx - dw / 2 - 0.4, b - dh - 0.4, dw + 0.8, dh + 0.4, frame, DOOR)
                c.rect(cx - dw / 2, b - dh, dw, dh, tone, DOOR)
                c.rect(cx - dw / 2 + 0.4, b - dh + 0.5, dw - 0.8, dh * 0.3, shade(tone, 1.25), DOOR)
                c.oval(cx + dw * 0.3, b - dh * 0.42, 0.3, 0.3, h("f1dfa6"), DOOR)
                if r.random() < style.awning:
                    _awning(c, cx - dw, b - dh - 0.6, dw * 2)
                continue
            window(c, cx - ww / 2, y, ww, wh, frame)
            if shutters:
                c.rect(cx - ww / 2 - 1.35, y - 0.3, 0.95, wh + 0.6, shutters, FRAME)
                c.rect(cx + ww / 2 + 0.4, y - 0.3, 0.95, wh + 0.6, shutters, FRAME)
            if row == rows - 1 and r.random() < style.awning:
                _awning(c, cx - ww * 0.8, y - 0.3, ww * 1.6)


def _awning(c: Canvas, x: float, y: float, w: float) -> None:
    r = c.rng
    a, b = r.choice((hs("c4453a f4ecdc"), hs("2f6f5f f2ead6"), hs("33588c f4efe2"), hs("d89a35 fbf3dc")))
    n = max(3, round(w / 1.3))
    for i in range(n):
        x0, x1 = x + w * i / n, x + w * (i + 1) / n
        spread0, spread1 = (i / n - 0.5) * 1.2, ((i + 1) / n - 0.5) * 1.2
        c.poly([(x0, y), (x1, y), (x1 + spread1, y + 1.7), (x0 + spread0, y + 1.7)], a if i % 2 == 0 else b, AWNING)


def barn(c: Canvas, x: float, b: float, w: float, hgt: float, silo: bool) -> None:
    """Gambrel-roofed barn, optionally with a silo."""
    r = c.rng
    wall = r.choice(hs("a8443a 9a3f36 8a6a4a b0aca2 6f7f86 a8443a"))
    roof = r.choice(hs("5b5f69 4a4f58 7a5a4a 8a8f94"))
    top = b - hgt
    if silo:
        sx, sw, sh = x + w * r.choice((-0.2, 1.06)), w * 0.2, hgt * 1.75
        c.rect(sx, b - sh, sw, sh, h("b9bfc2"), SILO)
        c.rect(sx + sw * 0.6, b - sh, sw * 0.4, sh, h("8f979c"), SILO)
        c.half(sx + sw / 2, b - sh + 0.3, sw / 2, sw * 0.5, h("8f5a4c") if not c.snowy else h("eef2f6"), SILO)
        for k in range(1, 5):
            c.rect(sx, b - sh * k / 5, sw, 0.34, h("9aa2a6"), SILO)
    rise = w * 0.42
    outline = [
        (x, b),
        (x, top),
        (x + w * 0.16, top - rise * 0.62),
        (x + w * 0.5, top - rise),
        (x + w * 0.84, top - rise * 0.62),
        (x + w, top),
        (x + w, b),
    ]
    c.poly(outline, wall, BARN_WALL)
    for k in range(1, 9):
        c.rect(x + w * k / 9, top - rise * 0.5, 0.34, hgt + rise * 0.5, shade(wall, 0.82), BARN_WALL)
    edge = [(x - 0.9, top + 0.8), *outline[2:5], (x + w + 0.9, top + 0.8)]
    c.line(edge, max(1.2, w * 0.07), roof, BARN_ROOF)
    if c.snowy:
        c.line([(px, py - 0.9) for px, py in edge], 1.1, h("f2f5f9"), BARN_SNOW)
    dw, dh = w * 0.38, hgt * 0.8
    dx = x + w / 2 - dw / 2
    trim = h("f1ece0")
    c.rect(dx - 0.5, b - dh - 0.5, dw + 1, dh + 0.5, trim, BARN_DOOR)
    c.rect(dx, b - dh, dw, dh, shade(wall, 0.8), BARN_DOOR)
    for side in (0, 1):
        x0 = dx + side * dw / 2
        c.line([(x0, b), (x0 + dw / 2, b - dh)], 0.4, trim, BARN_DOOR)
        c.line([(x0 + dw / 2, b), (x0, b - dh)], 0.4, trim, BARN_DOOR)
    s = w * 0.15
    c.rect(x + w / 2 - s / 2 - 0.4, top - rise * 0.6 - 0.4, s + 0.8, s + 0.8, trim, BARN_WALL)
    if c.light.lamps and r.random() < 0.6:
        c.rect(x + w / 2 - s / 2, top - rise * 0.6, s, s, h("ffd37a"), BARN_GLASS, raw=True)
        c.glow(x + w / 2, top - rise * 0.6 + s / 2, s * 2.5, h("ffb85a"), 0.35)
    else:
        c.rect(x + w / 2 - s / 2, top - rise * 0.6, s, s, h("4b5a66"), BARN_GLASS)
