import { describe, expect, it } from "vitest";
import { bits, clusters, fit, inside, place, toData, toScreen, towards } from "../src/panes/map/geometry";

const map = {
  key: "k",
  projection: "",
  layers: ["a"],
  x: [0, 1, 2, 10],
  y: [0, 0, 1, 5],
  layer: [0, 0, 0, 0],
  unit: [0, 1, 2, 3],
  category: ["object", "object", "object", null],
  concept: ["object:tree", "object:tree", "object:tree", null],
  iou: [0.1, 0.2, 0.3, 0.01],
  density: [0, 0, 0, 0],
};

describe("the unit map", () => {
  it("goes to the screen and back", () => {
    const base = fit(map, 400, 300),
      frame = { k: 2, x: 13, y: -7 },
      [px, py] = toScreen(base, frame, 3, 4),
      [x, y] = toData(base, frame, px, py);
    expect(x).toBeCloseTo(3);
    expect(y).toBeCloseTo(4);
  });
  it("unpacks members lowest bit first", () =>
    expect([...bits(btoa(String.fromCharCode(0b00000101, 0b1)), 9)]).toEqual([1, 0, 1, 0, 0, 0, 0, 0, 1]));
  it("knows what a lasso holds", () => {
    const square: [number, number][] = [
      [0, 0],
      [2, 0],
      [2, 2],
      [0, 2],
    ];
    expect(inside(square, 1, 1)).toBe(true);
    expect(inside(square, 3, 1)).toBe(false);
  });
  it("names clusters and drops labels that meet", () => {
    const labels = clusters(map, 0.04);
    expect(labels).toMatchObject([{ text: "tree", size: 3 }]);
    expect(
      place(
        [labels[0], { ...labels[0], concept: "b", x: labels[0].x + 0.01 }, { ...labels[0], concept: "c" }],
        (x, y) => [200 + x, 150 + y],
        400,
        300,
      ).length,
    ).toBe(2);
  });
  it("walks with arrows", () => {
    const xs = new Float32Array([0, 10, 30, 12]),
      ys = new Float32Array([0, 1, 0, 40]);
    expect(towards(xs, ys, 0, 1, 0, () => true)).toBe(1);
    expect(towards(xs, ys, 0, 0, 1, () => true)).toBe(3);
    expect(towards(xs, ys, 0, -1, 0, () => true)).toBe(-1);
  });
});
