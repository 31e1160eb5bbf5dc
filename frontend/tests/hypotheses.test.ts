import { describe, expect, it } from "vitest";
import { ablation, another, draftOf } from "../src/routes/hypotheses/cards";
import { aside, LOOK, number, params, sentence, span, STATES, subjects, value } from "../src/routes/hypotheses/words";
import { KIND, size, stateOf } from "../src/routes/studies/words";
import type { Hypothesis, HypothesisSide, Study } from "../src/lib/api/types";

const unit = (index: number, layer = "stage4"): Record<string, unknown> => ({
  model: "m",
  probe: "p",
  units: { layer, indices: [index] },
});
const measured = (m: object = {}): HypothesisSide =>
  ({
    verdict: "passes",
    problem: null,
    measured: {
      value: -3.2,
      unit: "points",
      low: -4,
      high: -2.5,
      chance: null,
      chance_low: -1,
      chance_high: 0.5,
      draws: 20,
      ...m,
    },
  }) as unknown as HypothesisSide;

describe("a card", () => {
  it("says what tells test and control apart, and nothing else", () => {
    expect(subjects(unit(42), unit(7))).toBe("unit 42");
    expect(subjects(unit(42), unit(7, "stage3"))).toBe("stage4 / 42");
    expect(subjects(unit(42), unit(42))).toBe("");
    expect(subjects({ units: { layer: "a", indices: [1, 2, 3, 4, 5] } }, { units: { layer: "a", indices: [9] } })).toBe(
      "units 1, 2, 3, 4 …",
    );
    expect(params({ draws_of: 3, seed: 1 }, { seed: 1 })).toBe("draws of 3");
    expect(params({}, { draws_of: 3 })).toBe("draws of as usual");
    const reference = { item: "units", row: 3, column: "best_iou" };
    const h = {
      reference,
      test: { subjects: unit(3), params: {} },
      control: { subjects: unit(3), params: {}, reference: { ...reference, row: 9 } },
    } as unknown as Hypothesis;
    expect([aside(h, "test"), aside(h, "control")]).toEqual(["unit 3, best IoU", "unit 9, best IoU"]);
  });
  it("names the number that is meant", () => {
    const r = { part: "", item: "effect", name: "all classes", group: "total", row: null, column: null };
    expect(number(r)).toBe("all classes");
    expect(number({ ...r, group: "class", name: "street" })).toBe("class, street");
    expect(number({ ...r, item: "matrix", name: null, group: null, row: 0, column: "a" })).toBe("row 0, a");
  });
  it("is read out with the interval, chance and verdict of both sides", () => {
    expect(value(measured())).toBe("\u22123.2 points");
    expect(sentence("Test", measured())).toBe(
      "Test: \u22123.2 points, 95 % interval \u22124 to \u22122.5, chance \u22121 to 0.5 in 20 draws; passes.",
    );
    expect(sentence("Test", { ...measured({ chance_low: null, chance: 0.25 }), verdict: "fails" })).toContain(
      "chance 0.25; does not pass.",
    );
    const none = { verdict: null, measured: null, problem: null } as unknown as HypothesisSide;
    expect([value(none), sentence("Control", none)]).toEqual(["", "Control: not measured yet."]);
    expect(sentence("Control", { ...none, problem: "It was cancelled." })).toBe(
      "Control: no number. It was cancelled.",
    );
    expect(span(0.1, null)).toBe("");
  });
  it("has a word for every state", () => {
    expect(STATES.map((s) => LOOK[s].word)).not.toContain("");
    expect(new Set(STATES.map((s) => LOOK[s].icon)).size).toBe(STATES.length);
  });
});

describe("a new card", () => {
  it("draws a control that is another unit of the layer, any of them", () => {
    const seen = new Set(Array.from({ length: 400 }, () => another(6, 2)));
    expect([...seen].sort()).toEqual([0, 1, 3, 4, 5]);
    expect(another(1, 0)).toBe(0);
  });
  it("predicts that only the test lowers accuracy", () => {
    const d = ablation("m", "p", "stage4", "stage4", 42, 64, "sea");
    expect(d.statement).toBe("Unit stage4 / 42 carries sea.");
    expect(d.test.units).toEqual({ layer: "stage4", indices: [42] });
    expect(d.control.units?.layer).toBe("stage4");
    expect(d.control.units?.indices).not.toEqual([42]);
    expect([d.comparison, d.threshold, d.interval]).toEqual(["below", -1, true]);
    expect(ablation("m", "p", "a", "a", 0, 2, "").statement).not.toMatch(/carries/);
  });
  it("keeps other parameters of a control apart, and only those", () => {
    const card = {
      statement: "s",
      prediction: "p",
      test: { method: "m", subjects: unit(1), params: { a: 1 } },
      control: { subjects: unit(2), params: { a: 1 } },
      reference: {},
      comparison: "above",
      threshold: 0,
      interval: false,
    } as unknown as Hypothesis;
    expect(draftOf(card).controlParams).toBeNull();
    expect(draftOf({ ...card, control: { subjects: unit(2), params: { a: 2 } } }).controlParams).toEqual({ a: 2 });
    expect(draftOf(card).controlReference).toBeNull();
  });
});

describe("a study", () => {
  const study = (s: object): Study =>
    ({ state: "draft", preparation: null, places: 13, conditions: ["with", "without"], ...s }) as unknown as Study;
  it("says in words how far it is", () => {
    const step = (name: string): string => stateOf(study({ preparation: { step: name } }));
    expect(stateOf(study({}))).toBe("draft");
    expect(["measuring", "explaining", "ready", "failed"].map(step)).toEqual([
      "being prepared",
      "being prepared",
      "ready to open",
      "cannot be prepared",
    ]);
    expect(stateOf(study({ state: "open", preparation: { step: "ready" } }))).toBe("open");
  });
  it("says how much it asks for", () => {
    expect(size(study({}))).toBe("13 tasks each, 2 conditions: with, without");
    expect(size(study({ places: 1 }))).toMatch(/^1 task each/);
    expect(Object.values(KIND).every((k) => k.title && k.says.endsWith("."))).toBe(true);
  });
});
