import { describe, expect, it } from "vitest";
import {
  type Score,
  extent,
  previewValues,
  difference,
  rankCorrelation,
  topOverlap,
  readEvidence,
  standing,
} from "../src/routes/explain/evidence";
import type { ResultSet } from "../src/lib/api/types";

const score = (s: Partial<Score>): Score => ({
  name: "deletion",
  value: 0.2,
  unit: "probability",
  chance: 0.4,
  low: 0.3,
  high: 0.5,
  draws: 200,
  ...s,
});

describe("scores against chance", () => {
  it("say which side of the band is better", () => {
    expect(standing(score({}))).toBe("better");
    expect(standing(score({ value: 0.6 }))).toBe("worse");
    expect(standing(score({ value: 0.4 }))).toBe("chance");
    expect(standing(score({ name: "insertion", value: 0.6 }))).toBe("better");
    expect(standing(score({ low: null, high: null }))).toBe("unknown");
  });
  it("stand on a rule that holds value and band", () => {
    expect(extent(score({}))).toEqual([0, 1]);
    const [low, high] = extent(score({ value: 12, low: 3, high: 7, unit: "logits\u00b2" }));
    expect(low).toBe(0);
    expect(high).toBeGreaterThan(12);
    expect(extent(score({ name: "randomisation", value: -0.1, unit: "rank correlation" }))).toEqual([-1, 1]);
  });
});

describe("rank correlation", () => {
  it("is one for the same order, minus one for the reverse, and knows ties", () => {
    expect(rankCorrelation([1, 2, 3, 4], [10, 20, 40, 80])).toBeCloseTo(1);
    expect(rankCorrelation([1, 2, 3, 4], [4, 3, 2, 1])).toBeCloseTo(-1);
    // scipy.stats.spearmanr([1, 2, 2, 3], [1, 3, 2, 4]) = 0.9486832980505138
    expect(rankCorrelation([1, 2, 2, 3], [1, 3, 2, 4])).toBeCloseTo(0.9486832980505138);
    expect(rankCorrelation([1, 1, 1], [1, 2, 3])).toBeNull();
    expect(rankCorrelation([1, 2], [1, 2, 3])).toBeNull();
  });
});

it("reads a preview of 8-bit values", () => {
  const maps = btoa(String.fromCharCode(127, 0, 129, 255));
  const values = previewValues({ maps, shape: [1, 2, 2], scale: 2, targets: ["a"], signed: true });
  expect(Array.from(values, (v) => +v.toFixed(4))).toEqual([2, 0, -2, -0.0157]);
});

it("groups scores by target and reads the verdict", () => {
  const set = {
    results: [
      {
        name: "evidence",
        kind: "scorecard",
        document: {
          scores: [
            { name: "deletion", value: 0.1, unit: "probability", group: "village", chance: 0.3 },
            { name: "infidelity", value: null, unit: "", group: "village" },
          ],
          facts: { "randomisation: village": "passes; fails from 0.5 on", map_seconds: 0.25, warnings: "Careful." },
        },
      },
    ],
  } as unknown as ResultSet;
  const found = readEvidence(set);
  expect(found?.scores.get("village")?.map((s) => s.name)).toEqual(["deletion"]);
  expect(found?.verdicts.get("village")?.passes).toBe(true);
  expect(found?.mapSeconds).toBe(0.25);
  expect(readEvidence({ results: [] } as unknown as ResultSet)).toBeNull();
});

describe("two maps", () => {
  it("subtracts each over its own unit", () => {
    expect([...difference([2, 4], [30, 10], 2, 10)]).toEqual([-2, 1]);
  });
  it("shares its highest pixels fully with itself and not at all with its negative", () => {
    const map = Array.from({ length: 200 }, (_, i) => (i * 37) % 200);
    expect(topOverlap(map, map)).toBe(1);
    expect(
      topOverlap(
        map,
        map.map((v) => -v),
      ),
    ).toBe(0);
    expect(topOverlap([3, 2, 1, 0], [3, 0, 2, 1], 0.5)).toBe(0.5);
  });
});
