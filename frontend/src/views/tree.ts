/** A hierarchy of regions as plain arithmetic. Node 0 is the root; every other node stands after its parent. */
export function children(parent: ArrayLike<number>): number[][] {
  const out: number[][] = Array.from({ length: parent.length }, () => []);
  for (let i = 1; i < parent.length; i++) out[parent[i]].push(i);
  return out;
}
/** The nodes that stand side by side after `splits` splits, latest merges first: what was joined last is parted first. */
export function cut(parent: ArrayLike<number>, splits: number): number[] {
  const below = children(parent),
    shown = new Set([0]);
  // Parents stand before their children, so the smallest index that can be split was joined last.
  for (let i = 0, done = 0; i < parent.length && done < splits; i++)
    if (shown.has(i) && below[i].length) {
      shown.delete(i);
      below[i].forEach((c) => shown.add(c));
      done++;
    }
  return [...shown].sort((a, b) => a - b);
}
export const splitsOf = (parent: ArrayLike<number>): number => children(parent).filter((c) => c.length).length;
/** For every pixel the place in `nodes` of the node that covers it. */
export function regions(leaves: ArrayLike<number>, parent: ArrayLike<number>, nodes: number[]): Int32Array {
  const place = new Int32Array(parent.length).fill(-1);
  nodes.forEach((n, k) => (place[n] = k));
  for (let i = 1; i < parent.length; i++) if (place[i] < 0) place[i] = place[parent[i]];
  return Int32Array.from(leaves, (leaf) => place[leaf]);
}
