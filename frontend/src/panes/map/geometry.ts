/** Where points are on the screen, which are inside a polygon, which label goes where. Pure, so that it can be tested. */
import type { MapPoints } from "~/lib/api/points";
import { conceptName } from "~/lib/format";

export type Frame = { k: number; x: number; y: number };
export type Base = { sx: number; sy: number; ox: number; oy: number };

/** The transform that fits all points into a box with room for labels; the same scale on both axes would waste a wide pane, so axes scale apart. */
export function fit(map: MapPoints, width: number, height: number, bottom = 40): Base {
  const wide = ([a, b]: number[]): [number, number] => (a < b ? [a, b] : [a - 1, a + 1]);
  const [x0, x1] = wide(map.head.x),
    [y0, y1] = wide(map.head.y),
    pad = 30;
  const sx = (width - 2 * pad) / (x1 - x0),
    sy = (height - pad - bottom - 8) / (y1 - y0);
  return { sx, sy: -sy, ox: pad - x0 * sx, oy: pad + y1 * sy };
}
export const toScreen = (b: Base, f: Frame, x: number, y: number): [number, number] => [
  (x * b.sx + b.ox) * f.k + f.x,
  (y * b.sy + b.oy) * f.k + f.y,
];
export const toData = (b: Base, f: Frame, px: number, py: number): [number, number] => [
  ((px - f.x) / f.k - b.ox) / b.sx,
  ((py - f.y) / f.k - b.oy) / b.sy,
];

/** Lowest bit first, as the server packs them. */
export function bits(text: string | undefined, n: number): Uint8Array {
  const out = new Uint8Array(n);
  if (!text) return out;
  const raw = atob(text);
  for (let i = 0; i < n; i++) out[i] = (raw.charCodeAt(i >> 3) >> (i & 7)) & 1;
  return out;
}
export function inside(polygon: [number, number][], x: number, y: number): boolean {
  let odd = false;
  for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i++) {
    const [xi, yi] = polygon[i],
      [xj, yj] = polygon[j];
    if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) odd = !odd;
  }
  return odd;
}
export type Label = {
  text: string;
  x: number;
  y: number;
  size: number;
  concept: string;
  /** The members that lie near the middle one: the label stands above or below them. */
  around: [number, number][];
};
const SAMPLE = 300;
/** The member with the least distance to all others: unlike a mean or a median it always lies on the cluster. */
function middle(map: MapPoints, members: number[]): { at: number; around: [number, number][] } {
  const step = Math.ceil(members.length / SAMPLE),
    some = members.filter((_, k) => k % step === 0);
  const away = (a: number, b: number): number => Math.hypot(map.x[a] - map.x[b], map.y[a] - map.y[b]);
  let at = some[0],
    least = Infinity;
  for (const a of some) {
    let sum = 0;
    for (const b of some) sum += away(a, b);
    if (sum < least) [least, at] = [sum, a];
  }
  const far = some.map((b) => away(at, b)).sort((a, b) => a - b),
    reach = far[far.length >> 1] * 2;
  return { at, around: some.filter((b) => away(at, b) <= reach).map((b) => [map.x[b], map.y[b]]) };
}
/** One label per concept cluster, at its middle unit. */
export function clusters(map: MapPoints, least: number, floor = 3): Label[] {
  const by = new Map<string, number[]>(),
    of = map.head.concepts.map((): number[] => []);
  for (let i = 0; i < map.n; i++) if (map.has(i) && map.iou[i] >= least) of[map.concept[i]]?.push(i);
  of.forEach((members, c) => members.length && by.set(map.head.concepts[c], members));
  return [...by]
    .filter(([, at]) => at.length >= floor)
    .map(([concept, members]) => {
      const { at, around } = middle(map, members);
      return { concept, text: conceptName(concept), size: members.length, x: map.x[at], y: map.y[at], around };
    })
    .sort((a, b) => b.size - a.size);
}
export type Placed = Label & { px: number; py: number };
/** Greedy by cluster size: a label whose box meets an earlier one is dropped. */
export function place(
  labels: Label[],
  at: (x: number, y: number) => [number, number],
  width: number,
  height: number,
): Placed[] {
  const boxes: [number, number, number, number][] = [],
    out: Placed[] = [];
  for (const l of labels) {
    const [cx, cy] = at(l.x, l.y),
      half = l.text.length * 3.5 + 5;
    if (cx < -20 || cx > width + 20 || cy < 0 || cy > height) continue;
    const px = Math.max(half + 4, Math.min(width - half - 4, cx)),
      near = l.around
        .map(([x, y]) => at(x, y))
        .filter(([x, y]) => Math.abs(x - px) < half + 4 && Math.abs(y - cy) < 48),
      top = Math.min(cy, ...near.map((p) => p[1])),
      low = Math.max(cy, ...near.map((p) => p[1]));
    for (const py of [top - 8, low + 17]) {
      const box: [number, number, number, number] = [px - half, py - 12, px + half, py + 5];
      if (
        py < 12 ||
        py > height - 30 ||
        boxes.some((q) => box[0] < q[2] && box[2] > q[0] && box[1] < q[3] && box[3] > q[1])
      )
        continue;
      boxes.push(box);
      out.push({ ...l, px, py });
      break;
    }
  }
  return out;
}
/** The nearest point in a direction: what an arrow key means on a scatter. `sx` and `sy` are pixels per unit of the columns. */
export function towards(
  { x: xs, y: ys, sx, sy }: { x: Float32Array; y: Float32Array; sx: number; sy: number },
  from: number,
  dx: number,
  dy: number,
  allowed: (i: number) => boolean,
): number {
  let best = -1,
    cost = Infinity;
  for (let i = 0; i < xs.length; i++) {
    if (i === from || !allowed(i)) continue;
    const vx = (xs[i] - xs[from]) * sx,
      vy = (ys[i] - ys[from]) * sy,
      along = vx * dx + vy * dy,
      across = Math.abs(vx * dy - vy * dx);
    if (!(along > 0.5) || across > along * 1.7) continue;
    const c = along + 2 * across;
    if (c < cost) {
      cost = c;
      best = i;
    }
  }
  return best;
}

const CELLS = 256;
/** Points by cell of an even grid, so that a pointer asks only those near it. */
export class Grid {
  private readonly starts = new Uint32Array(CELLS * CELLS + 1);
  private readonly at: Uint32Array;
  private readonly low: [number, number];
  private readonly per: [number, number];
  constructor(map: MapPoints) {
    const [x0, x1] = map.head.x,
      [y0, y1] = map.head.y;
    this.low = [x0, y0];
    this.per = [CELLS / (x1 - x0 || 1), CELLS / (y1 - y0 || 1)];
    const of = new Int32Array(map.n).fill(-1);
    for (let i = 0; i < map.n; i++)
      if (map.has(i)) {
        of[i] = this.cell(map.x[i], 0) + CELLS * this.cell(map.y[i], 1);
        this.starts[of[i] + 1]++;
      }
    for (let c = 0; c < CELLS * CELLS; c++) this.starts[c + 1] += this.starts[c];
    this.at = new Uint32Array(this.starts[CELLS * CELLS]);
    const next = this.starts.slice();
    for (let i = 0; i < map.n; i++) if (of[i] >= 0) this.at[next[of[i]]++] = i;
  }
  private cell(v: number, axis: 0 | 1): number {
    return Math.max(0, Math.min(CELLS - 1, Math.floor((v - this.low[axis]) * this.per[axis])));
  }
  /** The point with the least cost within a box around a place; -1 when every cost is infinite. */
  nearest(x: number, y: number, rx: number, ry: number, cost: (i: number) => number): number {
    let best = -1,
      least = Infinity;
    const [c0, c1, r0, r1] = [this.cell(x - rx, 0), this.cell(x + rx, 0), this.cell(y - ry, 1), this.cell(y + ry, 1)];
    for (let r = r0; r <= r1; r++)
      for (let k = this.starts[r * CELLS + c0]; k < this.starts[r * CELLS + c1 + 1]; k++) {
        const c = cost(this.at[k]);
        if (c < least) {
          least = c;
          best = this.at[k];
        }
      }
    return best;
  }
}
