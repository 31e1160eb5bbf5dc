/** The points of the unit map as columns, put together from the chunks of the server. */
import type { UnitMap } from "./types";

const STEPS = 65535,
  NONE = 65535,
  RARE = 65534;

/** Columns of all points. A point whose chunk has not come yet has NaN for x: it is neither drawn nor found. */
export class MapPoints {
  readonly n: number;
  x: Float32Array;
  y: Float32Array;
  iou: Float32Array;
  density: Float32Array;
  layer: Uint16Array;
  concept: Uint16Array;
  unit: Uint32Array;
  /** Categories of the concepts, and per concept its place among them. */
  readonly categories: string[];
  private readonly kinds: Uint16Array;
  private rows: Int32Array[] | null = null;

  constructor(
    readonly head: UnitMap,
    public loaded = 0,
  ) {
    this.n = head.count;
    [this.x, this.y, this.iou, this.density] = [0, 1, 2, 3].map(() => new Float32Array(this.n));
    this.x.fill(NaN);
    this.layer = new Uint16Array(this.n);
    this.concept = new Uint16Array(this.n).fill(NONE);
    this.unit = new Uint32Array(this.n);
    const of = head.concepts.map((c) => c.split(":", 1)[0]);
    this.categories = [...new Set(of)];
    this.kinds = Uint16Array.from(of, (c) => this.categories.indexOf(c));
  }
  get key(): string | null {
    return this.head.key;
  }
  get whole(): boolean {
    return this.loaded >= this.n;
  }
  has(i: number): boolean {
    return this.x[i] === this.x[i];
  }
  conceptOf(i: number): string | null {
    const c = this.concept[i];
    return c === NONE ? null : c === RARE ? "a rarer concept" : this.head.concepts[c];
  }
  /** Place of the category of a point's concept; -1 for none. */
  kind(i: number): number {
    return this.concept[i] < RARE ? this.kinds[this.concept[i]] : -1;
  }
  categoryOf(i: number): string | null {
    return this.categories[this.kind(i)] ?? null;
  }
  layerOf(i: number): string {
    return this.head.layers[this.layer[i]];
  }
  /** The point of a unit; -1 when it is not on the map or has not come yet. */
  find(layer: string, unit: number): number {
    this.rows ??= this.index();
    return this.rows[this.head.layers.indexOf(layer)]?.[unit] ?? -1;
  }
  private index(): Int32Array[] {
    const top = new Array<number>(this.head.layers.length).fill(-1);
    for (let i = 0; i < this.n; i++) if (this.has(i)) top[this.layer[i]] = Math.max(top[this.layer[i]], this.unit[i]);
    const rows = top.map((t) => new Int32Array(t + 1).fill(-1));
    for (let i = 0; i < this.n; i++) if (this.has(i)) rows[this.layer[i]][this.unit[i]] = i;
    return rows;
  }
  /** The same columns with one more chunk; a new object, so that what is derived from the points is derived anew. */
  with(chunk: number, bytes: ArrayBuffer): MapPoints {
    const { head, n } = this,
      size = Math.ceil((n - chunk) / head.chunks),
      next = Object.assign(Object.create(MapPoints.prototype) as MapPoints, this, {
        rows: null,
        loaded: this.loaded + size,
      });
    if (bytes.byteLength !== size * 16)
      throw new Error(`Chunk ${chunk} of the map has ${bytes.byteLength} bytes, not ${size * 16}.`);
    const shorts = [0, 1, 2, 3, 4, 5].map((k) => new Uint16Array(bytes, k * size * 2, size)),
      units = new Uint32Array(bytes.slice(12 * size)),
      [x0, x1] = head.x,
      [y0, y1] = head.y,
      [xs, ys, layers, concepts, ious, densities] = shorts;
    for (let k = 0, i = chunk; k < size; k++, i += head.chunks) {
      this.x[i] = x0 + (xs[k] / STEPS) * (x1 - x0);
      this.y[i] = y0 + (ys[k] / STEPS) * (y1 - y0);
      this.layer[i] = layers[k];
      this.concept[i] = concepts[k];
      this.iou[i] = ious[k] / STEPS;
      this.density[i] = densities[k] / STEPS;
      this.unit[i] = units[k];
    }
    return next;
  }
}
