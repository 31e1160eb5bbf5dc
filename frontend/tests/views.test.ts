import { describe, expect, it } from "vitest";
import { fitted, groupsOf, meanMap } from "../src/views/mapset";
import { type CardScore, comparable } from "../src/views/scores";
import { children, cut, regions, splitsOf } from "../src/views/tree";

describe("a set of maps", () => {
  it("lists the members of a group by value, leaves out empty groups and puts what has none last", () => {
    const found = groupsOf(["best", "empty", "worst"], [2, 0, -1, 0, 2], [0.1, 0.5, 9, 0.7, 0.1]);
    expect(found.map((g) => [g.name, g.members])).toEqual([
      ["best", [3, 1]],
      ["worst", [0, 4]],
      ["in no group", [2]],
    ]);
  });
  it("averages maps of any size on one scale", () => {
    const mean = meanMap(Float32Array.from([100, 0, 0, -2, 7, 7]), 2, [0, 1]);
    expect([...mean]).toEqual([0.5, -0.5]);
    expect([...meanMap(new Float32Array(2), 2, [0])]).toEqual([0, 0]);
  });
  it("fits points with one scale for both axes", () => {
    expect(fitted([0, 0, 10, 5], 0)).toEqual([
      [0, 0.75],
      [1, 0.25],
    ]);
    expect(fitted([3, 3], 0)[0].every(Number.isFinite)).toBe(true);
  });
});

describe("a hierarchy of regions", () => {
  const parent = [-1, 0, 0, 1, 1];
  it("parts what was joined last first", () => {
    expect(children(parent)).toEqual([[1, 2], [3, 4], [], [], []]);
    expect(splitsOf(parent)).toBe(2);
    expect([0, 1, 2, 9].map((n) => cut(parent, n))).toEqual([[0], [1, 2], [2, 3, 4], [2, 3, 4]]);
  });
  it("covers every pixel with the node shown above its leaf", () => {
    const leaves = [3, 4, 2, 2];
    expect([...regions(leaves, parent, [0])]).toEqual([0, 0, 0, 0]);
    expect([...regions(leaves, parent, [1, 2])]).toEqual([0, 0, 1, 1]);
    expect([...regions(leaves, parent, [2, 3, 4])]).toEqual([1, 2, 0, 0]);
  });
});

describe("a scorecard", () => {
  const score = (group: string, name: string): CardScore => ({
    group,
    name,
    value: 1,
    unit: "",
    low: null,
    high: null,
    chance: null,
    chance_low: null,
    chance_high: null,
    draws: null,
  });
  it("is a table where groups answer the same questions", () => {
    expect(comparable([score("a", "x"), score("b", "x")])).toBe(true);
    expect(comparable([score("all", "gap"), score("a", "size"), score("b", "size")])).toBe(true);
    expect(comparable([score("total", "all"), score("class", "farm")])).toBe(false);
    expect(comparable([score("a", "x"), score("a", "y")])).toBe(false);
    expect(comparable([])).toBe(false);
  });
});
