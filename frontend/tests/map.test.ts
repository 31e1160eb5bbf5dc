import { describe, expect, it, vi } from "vitest";
import { MapPoints } from "../src/lib/api/points";
import { rasterise } from "../src/panes/map/raster";
import { Grid, bits, clusters, fit, inside, place, toData, toScreen, towards } from "../src/panes/map/geometry";

/** Points as the server sends them: two chunks, each every other point. */
function points(): MapPoints {
  const x = [0, 1, 2, 10],
    y = [0, 0, 1, 5],
    concept = [0, 0, 0, 65535],
    iou = [0.1, 0.2, 0.3, 0.01];
  let map = new MapPoints({
    key: "k",
    version: "v",
    projection: "",
    count: 4,
    chunks: 2,
    layers: ["a"],
    concepts: ["object:tree"],
    x: [0, 10],
    y: [0, 5],
  });
  for (const c of [0, 1]) {
    const at = [c, c + 2],
      shorts = Uint16Array.from([
        ...at.map((i) => (x[i] / 10) * 65535),
        ...at.map((i) => (y[i] / 5) * 65535),
        ...[0, 0],
        ...at.map((i) => concept[i]),
        ...at.map((i) => Math.round(iou[i] * 65535)),
        ...[0, 0],
      ]),
      bytes = new Uint8Array(32);
    bytes.set(new Uint8Array(shorts.buffer));
    bytes.set(new Uint8Array(Uint32Array.from(at).buffer), 24);
    map = map.with(c, bytes.buffer);
  }
  return map;
}
const map = points();

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
    const at = { x: new Float32Array([0, 10, 30, 12]), y: new Float32Array([0, 1, 0, 40]), sx: 1, sy: 1 };
    expect(towards(at, 0, 1, 0, () => true)).toBe(1);
    expect(towards(at, 0, 0, 1, () => true)).toBe(3);
    expect(towards(at, 0, -1, 0, () => true)).toBe(-1);
  });
  it("puts the chunks of the server together", () => {
    expect(map.whole).toBe(true);
    expect([...map.x]).toEqual([0, 1, 2, 10].map((v) => expect.closeTo(v, 3)));
    expect([...map.unit]).toEqual([0, 1, 2, 3]);
    expect([map.conceptOf(1), map.categoryOf(1), map.conceptOf(3)]).toEqual(["object:tree", "object", null]);
    expect([map.find("a", 2), map.find("a", 9), map.find("b", 0)]).toEqual([2, -1, -1]);
  });
  it("does not find what has not come yet", () => {
    const part = new MapPoints(map.head);
    expect([part.has(0), part.find("a", 0), part.whole]).toEqual([false, -1, false]);
    expect(() => part.with(0, new ArrayBuffer(31))).toThrow("31 bytes");
  });
  it("asks only the cells near the pointer", () => {
    const grid = new Grid(map),
      asked: number[] = [];
    const far = (i: number): number => (asked.push(i), Math.hypot(map.x[i] - 1.9, map.y[i] - 0.9));
    expect(grid.nearest(1.9, 0.9, 0.5, 0.5, far)).toBe(2);
    expect(asked).toEqual([2]);
  });
  it("shows a lone point and a crowd, in their colours", () => {
    const n = 5000,
      many = new MapPoints({ ...map.head, count: n, chunks: 1, x: [0, 100], y: [0, 100] });
    many.x.fill(50);
    many.y.fill(50);
    many.x[0] = many.y[0] = 10;
    const pixel = rasterised(many, 0),
      at = (x: number, y: number): number[] => [...pixel.slice((y * 100 + x) * 4, (y * 100 + x) * 4 + 4)];
    expect(at(50, 50)).toEqual([200, 10, 10, 255]);
    expect(at(10, 10)[0]).toBe(200);
    expect(at(10, 10)[3]).toBeGreaterThan(40);
    expect(at(10, 10)[3]).toBeLessThan(255);
    expect(at(80, 80)[3]).toBe(0);
    expect(rasterised(many, 1).slice((50 * 100 + 50) * 4, (50 * 100 + 50) * 4 + 3)).toEqual(
      new Uint8ClampedArray([1, 2, 3]),
    );
  });
});
function rasterised(many: MapPoints, outside: number): Uint8ClampedArray {
  vi.stubGlobal(
    "ImageData",
    class {
      data: Uint8ClampedArray;
      constructor(
        public width: number,
        public height: number,
      ) {
        this.data = new Uint8ClampedArray(width * height * 4);
      }
    },
  );
  return rasterise({
    map: many,
    base: { sx: 1, sy: 1, ox: 0, oy: 0 },
    frame: { k: 1, x: 0, y: 0 },
    width: 100,
    height: 100,
    ratio: 1,
    colours: [[200, 10, 10]],
    colourOf: new Uint8Array(many.n),
    plain: -1,
    ctx: [1, 2, 3],
    inFilter: new Uint8Array(many.n).fill(outside ? 0 : 1),
    brushed: new Uint8Array(many.n),
    brushing: false,
  }).data;
}
