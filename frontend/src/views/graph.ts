/** Where the nodes of a graph stand, and what leads to what. */
export type Node = {
  name: string;
  kind: string;
  row: number;
  column: number;
  value: number | null;
  words: string[];
  unit: string;
};
export type Edge = { s: number; t: number; w: number };

/** Edges whose weight is at least `least`, and the nodes that they touch; all nodes where there is no edge at all. */
export function strong(nodes: Node[], edges: Edge[], least: number): { edges: Edge[]; nodes: Set<number> } {
  const kept = edges.filter((e) => Math.abs(e.w) >= least);
  return { edges: kept, nodes: new Set(edges.length ? kept.flatMap((e) => [e.s, e.t]) : nodes.keys()) };
}

/** Everything from which a node can be reached along edges, itself included. */
export function before(node: number, edges: Edge[]): Set<number> {
  const into = new Map<number, number[]>();
  for (const e of edges) into.set(e.t, [...(into.get(e.t) ?? []), e.s]);
  const found = new Set([node]),
    open = [node];
  while (open.length)
    for (const s of into.get(open.pop()!) ?? [])
      if (!found.has(s)) {
        found.add(s);
        open.push(s);
      }
  return found;
}

export const isState = (n: Node): boolean => ["residual", "embedding", "output"].includes(n.kind);
export type Layout = {
  /** Centre of every node. */
  at: [number, number][];
  /** Middle and width of every column. */
  columns: [number, number][];
  width: number;
  height: number;
  /** Baseline of every row. */
  rows: number[];
};
const LEFT = 4,
  TOP = 26,
  FOOT = 26,
  STATE = 72,
  PART = 15;

/** Rows from below; columns as wide as what stands side by side in them; spread over `least` pixels if they need less. */
export function layout(nodes: Node[], shown: Set<number>, rows: number, columns: number, least: number): Layout {
  const cells = new Map<string, number[]>();
  const count = Math.max(1, columns),
    need = Array<number>(count).fill(columns ? STATE : 40);
  const states = Array<boolean>(rows).fill(false);
  for (const i of shown) {
    const n = nodes[i],
      c = columns ? n.column : 0,
      key = `${n.row}/${c}`;
    if (isState(n)) states[n.row] = true;
    const cell = [...(cells.get(key) ?? []), i];
    cells.set(key, cell);
    need[c] = Math.max(need[c], (cell.length + 1) * PART + 6);
  }
  const total = need.reduce((a, b) => a + b, 0),
    spare = Math.max(1, (least - 2 * LEFT) / total);
  const wide = need.map((n) => n * Math.min(spare, columns ? 2 : 1e9));
  const middles: [number, number][] = [];
  wide.reduce((x, w) => {
    middles.push([x + w / 2, w]);
    return x + w;
  }, LEFT);
  const baseline = Array<number>(rows);
  let y = TOP;
  for (let r = rows - 1; r >= 0; r--) {
    baseline[r] = y;
    y += states[r] && r > 0 && states[r - 1] ? 44 : 38;
  }
  const at: [number, number][] = [];
  for (const [key, cell] of cells) {
    const [row, column] = key.split("/").map(Number);
    const [middle, width] = middles[column];
    // Parts leave the middle to the edge between the states above and below them.
    const beside = columns > 0 && !isState(nodes[cell[0]]),
      slots = cell.length + (beside ? 1 : 0);
    cell.forEach((i, k) => {
      const slot = beside && k >= slots >> 1 ? k + 1 : k;
      at[i] = [middle + width * ((slot + 0.5) / slots - 0.5), baseline[row]];
    });
  }
  return {
    at,
    columns: middles,
    width: Math.max(least, LEFT + wide.reduce((a, b) => a + b, 0) + LEFT),
    height: y - 14 + (columns ? FOOT : 0),
    rows: baseline,
  };
}

/** The nearest node in a direction, for arrow keys. */
export function beside(from: number, key: string, at: [number, number][], shown: Set<number>): number {
  const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key] ?? [0, 0];
  let best = from,
    nearest = Infinity;
  for (const i of shown) {
    const x = at[i][0] - at[from][0],
      y = at[i][1] - at[from][1],
      along = x * dx + y * dy,
      aside = Math.abs(x * dy) + Math.abs(y * dx),
      // Sideways stay in the row; up and down go to the next row, whatever stands there.
      away = dy ? 2 * along + aside : along + 3 * aside;
    if (along > 1 && away < nearest) {
      nearest = away;
      best = i;
    }
  }
  return best;
}
