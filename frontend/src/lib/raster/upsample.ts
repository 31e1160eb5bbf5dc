/** Bilinear with half-pixel centres (align_corners = False), edges clamped: the definition of a unit's mask (DESIGN section 13). */
export function upsample(map: ArrayLike<number>, h: number, w: number, height: number, width: number): Float32Array {
  const out = new Float32Array(height * width);
  const xs = taps(w, width),
    ys = taps(h, height);
  for (let y = 0; y < height; y++) {
    const r0 = ys.low[y] * w,
      r1 = ys.high[y] * w,
      fy = ys.weight[y];
    for (let x = 0; x < width; x++) {
      const a = xs.low[x],
        b = xs.high[x],
        fx = xs.weight[x];
      const top = map[r0 + a] * (1 - fx) + map[r0 + b] * fx;
      const bottom = map[r1 + a] * (1 - fx) + map[r1 + b] * fx;
      out[y * width + x] = top * (1 - fy) + bottom * fy;
    }
  }
  return out;
}
function taps(n: number, size: number): { low: Int32Array; high: Int32Array; weight: Float32Array } {
  const low = new Int32Array(size),
    high = new Int32Array(size),
    weight = new Float32Array(size);
  for (let i = 0; i < size; i++) {
    const source = Math.max(0, ((i + 0.5) * n) / size - 0.5);
    low[i] = Math.min(n - 1, Math.floor(source));
    high[i] = Math.min(n - 1, low[i] + 1);
    weight[i] = source - Math.floor(source);
  }
  return { low, high, weight };
}
/** Strictly above the threshold, everywhere. */
export function mask(values: Float32Array, threshold: number): Uint8Array {
  const out = new Uint8Array(values.length);
  for (let i = 0; i < values.length; i++) out[i] = values[i] > threshold ? 1 : 0;
  return out;
}
/** Segments of the line where a field crosses a level (marching squares), in pixel-centre coordinates of the field. The border counts as outside. */
export function contour(field: ArrayLike<number>, height: number, width: number, level: number): number[] {
  const at = (y: number, x: number): number =>
    y < 0 || x < 0 || y >= height || x >= width ? -Infinity : field[y * width + x];
  const cut = (p: number, q: number): number => (p === -Infinity || q === -Infinity ? 0.5 : (level - p) / (q - p));
  const out: number[] = [];
  for (let y = -1; y < height; y++)
    for (let x = -1; x < width; x++) {
      const a = at(y, x),
        b = at(y, x + 1),
        c = at(y + 1, x + 1),
        d = at(y + 1, x);
      const code = (a > level ? 8 : 0) | (b > level ? 4 : 0) | (c > level ? 2 : 0) | (d > level ? 1 : 0);
      if (code === 0 || code === 15) continue;
      const north = (): [number, number] => [x + cut(a, b), y],
        east = (): [number, number] => [x + 1, y + cut(b, c)];
      const south = (): [number, number] => [x + cut(d, c), y + 1],
        west = (): [number, number] => [x, y + cut(a, d)];
      const add = (p: [number, number], q: [number, number]): void => {
        out.push(p[0], p[1], q[0], q[1]);
      };
      if (code === 5) {
        add(north(), east());
        add(south(), west());
        continue;
      }
      if (code === 10) {
        add(north(), west());
        add(south(), east());
        continue;
      }
      const ends = [
        (code & 8) !== (code & 4) << 1 && north,
        (code & 4) >> 1 !== (code & 2) && east,
        (code & 2) >> 1 !== (code & 1) && south,
        (code & 8) >> 3 !== (code & 1) && west,
      ].filter(Boolean) as (() => [number, number])[];
      if (ends.length === 2) add(ends[0](), ends[1]());
    }
  return out;
}
