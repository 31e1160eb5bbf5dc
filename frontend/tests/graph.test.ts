import { describe, expect, it } from "vitest";
import { type Node, before, beside, layout, strong } from "../src/views/graph";

const node = (kind: string, row: number, column: number): Node => ({
  name: `${kind} ${row} ${column}`,
  kind,
  row,
  column,
  value: null,
  words: [],
  unit: "",
});
/** Two tokens, one block: two embeddings, a head and a neuron, a state. */
const nodes = [
  node("embedding", 0, 0),
  node("embedding", 0, 1),
  node("head", 1, 1),
  node("neuron", 1, 1),
  node("residual", 2, 1),
];
const edges = [
  { s: 0, t: 2, w: 0.3 },
  { s: 2, t: 4, w: 0.3 },
  { s: 1, t: 3, w: -0.1 },
  { s: 3, t: 4, w: -0.1 },
  { s: 1, t: 4, w: 0.8 },
];

describe("graphs", () => {
  it("hides weak edges, by size, and nodes without any", () => {
    const found = strong(nodes, edges, 0.2);
    expect(found.edges.map((e) => e.w)).toEqual([0.3, 0.3, 0.8]);
    expect([...found.nodes].sort()).toEqual([0, 1, 2, 4]);
    expect(strong(nodes, [], 0.2).nodes.size).toBe(5);
  });
  it("finds all that leads to a node", () => {
    expect([...before(4, edges)].sort()).toEqual([0, 1, 2, 3, 4]);
    expect([...before(2, edges)].sort()).toEqual([0, 2]);
    expect([...before(0, edges)]).toEqual([0]);
  });
  it("stacks rows from below, columns from the left, and keeps nodes of a cell apart", () => {
    const { at, width, height } = layout(nodes, new Set(nodes.keys()), 3, 2, 400);
    expect(at[0][1]).toBeGreaterThan(at[2][1]);
    expect(at[2][1]).toBeGreaterThan(at[4][1]);
    expect(at[0][0]).toBeLessThan(at[1][0]);
    expect(at[3][0] - at[2][0]).toBeGreaterThanOrEqual(12);
    for (const [x, y] of at) {
      expect(x).toBeLessThan(width);
      expect(y).toBeLessThan(height);
    }
  });
  it("grows beyond the room it is given rather than overlap", () => {
    const many = Array.from({ length: 30 }, (_, c) => node("embedding", 0, c));
    const { at, width } = layout(many, new Set(many.keys()), 1, 30, 300);
    expect(width).toBeGreaterThan(300);
    expect(at[1][0] - at[0][0]).toBeGreaterThanOrEqual(70);
  });
  it("goes from node to node by arrows", () => {
    const all = new Set(nodes.keys()),
      { at } = layout(nodes, all, 3, 2, 400);
    expect(beside(0, "ArrowRight", at, all)).toBe(1);
    expect(beside(1, "ArrowLeft", at, all)).toBe(0);
    expect([2, 3]).toContain(beside(1, "ArrowUp", at, all));
    expect(beside(2, "ArrowRight", at, all)).toBe(3);
    expect(beside(4, "ArrowUp", at, all)).toBe(4);
  });
});
