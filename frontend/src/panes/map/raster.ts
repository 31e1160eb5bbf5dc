/**
 * Paints the unit map where marks would lie on top of each other: as a picture in which a pixel's opacity grows with the number
 * of points that fall on it, on a logarithmic scale, and its colour is their mean. Neither the order of the points nor their
 * number hides anything: a single point stays visible, and a crowd of a thousand is darker than one of ten.
 */
import type { MapPoints } from "~/lib/api/points";
import type { Base, Frame } from "./geometry";

/** From here on the map is a picture of densities instead of marks. */
export const MARKS = 20_000;
export type Field = {
  map: MapPoints;
  base: Base;
  frame: Frame;
  width: number;
  height: number;
  ratio: number;
  /** r, g, b of every colour. */
  colours: [number, number, number][];
  colourOf: Uint8Array;
  plain: number;
  ctx: [number, number, number];
  inFilter: Uint8Array;
  brushed: Uint8Array;
  brushing: boolean;
};
type Sums = { r: Float32Array; g: Float32Array; b: Float32Array; n: Float32Array };
let kept: { size: number; sums: Sums[]; around: Float32Array } | null = null;
/** Room for sums of the points in the filter, of the brushed ones, and the count of those outside; kept between frames. */
function room(size: number): NonNullable<typeof kept> {
  if (kept?.size !== size) {
    const one = (): Float32Array => new Float32Array(size);
    kept = { size, sums: [0, 1].map(() => ({ r: one(), g: one(), b: one(), n: one() })), around: one() };
  } else {
    for (const s of kept.sums) for (const a of Object.values(s)) a.fill(0);
    kept.around.fill(0);
  }
  return kept;
}
/** Opacity per count: a lone point at `low`, the fullest two in a thousand pixels at 1. */
function tone(n: Float32Array, low: number): (v: number) => number {
  const some: number[] = [];
  const step = Math.max(1, Math.floor(n.length / 200_000));
  for (let i = 0; i < n.length; i += step) if (n[i] > 0) some.push(n[i]);
  some.sort((a, b) => a - b);
  const top = Math.log1p(some[Math.floor(some.length * 0.998)] ?? 1);
  return (v) => Math.min(1, low + ((1 - low) * Math.log1p(v)) / Math.max(top, 0.7));
}
/** Points on the screen decide how large each is: sparse ones get a few pixels, crowds one. */
function side(visible: number, pixels: number, ratio: number): number {
  const each = pixels / Math.max(1, visible);
  return Math.max(1, Math.round(ratio * (each > 24 ? 3.4 : each > 6 ? 2.2 : 1.2)));
}
export function rasterise(f: Field): ImageData {
  const W = Math.round(f.width * f.ratio),
    H = Math.round(f.height * f.ratio),
    { map, base, frame, ratio, inFilter, brushed, colours, colourOf } = f,
    { sums, around } = room(W * H);
  const kx = base.sx * frame.k * ratio,
    ky = base.sy * frame.k * ratio,
    ox = (base.ox * frame.k + frame.x) * ratio,
    oy = (base.oy * frame.k + frame.y) * ratio;
  let visible = 0;
  for (let i = 0; i < map.n; i += 8) {
    const px = map.x[i] * kx + ox,
      py = map.y[i] * ky + oy;
    if (px >= 0 && py >= 0 && px < W && py < H) visible += 8;
  }
  const s = side(visible, W * H, ratio),
    half = (s - 1) / 2;
  for (let i = 0; i < map.n; i++) {
    const px = Math.round(map.x[i] * kx + ox - half),
      py = Math.round(map.y[i] * ky + oy - half);
    if (!(px >= 0 && py >= 0 && px < W - s && py < H - s)) continue;
    const start = py * W + px;
    if (!inFilter[i]) {
      for (let y = 0; y < s; y++) for (let x = 0, p = start + y * W; x < s; x++, p++) around[p] += 1;
      continue;
    }
    const c = colourOf[i],
      [r, g, b] = colours[c],
      to = sums[f.brushing && brushed[i] ? 1 : 0],
      // what detects nothing steps back: ten of them weigh as much as one detector
      w = c === f.plain ? 0.1 : 1;
    for (let y = 0; y < s; y++)
      for (let x = 0, p = start + y * W; x < s; x++, p++) {
        to.r[p] += w * r;
        to.g[p] += w * g;
        to.b[p] += w * b;
        to.n[p] += w;
      }
  }
  const out = new ImageData(W, H),
    d = out.data,
    [rest, chosen] = sums,
    outside = tone(around, 0.25),
    dim = tone(rest.n, 0.2),
    full = tone(chosen.n, 0.6);
  for (let p = 0, q = 0; p < W * H; p++, q += 4) {
    if (!(around[p] + rest.n[p] + chosen.n[p])) continue;
    let a = 0,
      r = 0,
      g = 0,
      b = 0;
    if (around[p]) {
      a = 0.7 * outside(around[p]);
      [r, g, b] = f.ctx;
    }
    for (const [of, alpha] of [
      [rest, rest.n[p] ? dim(rest.n[p]) * (f.brushing ? 0.35 : 1) : 0],
      [chosen, chosen.n[p] ? full(chosen.n[p]) : 0],
    ] as const)
      if (alpha) {
        const sum = alpha + a * (1 - alpha),
          t = alpha / sum;
        r += (of.r[p] / of.n[p] - r) * t;
        g += (of.g[p] / of.n[p] - g) * t;
        b += (of.b[p] / of.n[p] - b) * t;
        a = sum;
      }
    d[q] = r;
    d[q + 1] = g;
    d[q + 2] = b;
    d[q + 3] = 255 * a;
  }
  return out;
}
