/** What a set of maps shows, as plain arithmetic: groups in order, their mean maps, their best examples. */
export type MapGroup = { index: number; name: string; members: number[] };

/** Groups with their members, largest value first; what belongs to none comes last. Empty groups are left out. */
export function groupsOf(names: string[], group: ArrayLike<number>, value: ArrayLike<number>): MapGroup[] {
  const all = [...names.keys(), -1].map((index) => ({
    index,
    name: index < 0 ? "in no group" : names[index],
    members: [] as number[],
  }));
  const place = new Map(all.map((g) => [g.index, g]));
  for (let i = 0; i < group.length; i++) place.get(group[i])?.members.push(i);
  for (const g of all) g.members.sort((a, b) => value[b] - value[a] || a - b);
  return all.filter((g) => g.members.length);
}
/** The mean of some maps [n, size], each over its largest absolute value, so that no single one decides. */
export function meanMap(maps: Float32Array, size: number, members: number[]): Float32Array {
  const out = new Float32Array(size);
  for (const m of members) {
    let most = 0;
    for (let i = 0; i < size; i++) most = Math.max(most, Math.abs(maps[m * size + i]));
    if (most) for (let i = 0; i < size; i++) out[i] += maps[m * size + i] / most / members.length;
  }
  return out;
}
/** Points [n, 2] fitted into the unit square with a margin; one direction up, as on a chart. */
export function fitted(points: ArrayLike<number>, margin = 0.04): [number, number][] {
  const n = points.length / 2,
    ends = [0, 1].map((k) => {
      let lo = Infinity,
        hi = -Infinity;
      for (let i = 0; i < n; i++) {
        lo = Math.min(lo, points[2 * i + k]);
        hi = Math.max(hi, points[2 * i + k]);
      }
      return [lo, hi];
    }),
    size = Math.max(ends[0][1] - ends[0][0], ends[1][1] - ends[1][0]) || 1;
  return Array.from({ length: n }, (_, i) => {
    const at = (k: number): number =>
      margin +
      (1 - 2 * margin) * ((points[2 * i + k] - ends[k][0]) / size + (1 - (ends[k][1] - ends[k][0]) / size) / 2);
    return [at(0), 1 - at(1)];
  });
}
