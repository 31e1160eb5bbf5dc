import { describe, expect, it } from "vitest";
import { type Change, changes } from "../src/routes/findings/diff";
import { byChance, chance, groupWord, interval, number, scaleOf, STATES } from "../src/routes/findings/words";
import type { Evidence } from "../src/lib/api/types";

const side = (list: Change[], leave: Change["kind"]): string =>
  list
    .filter((c) => c.kind !== leave)
    .map((c) => c.text)
    .join("");
const row = (r: Partial<Evidence>): Evidence =>
  ({
    value: 0.2,
    low: null,
    high: null,
    chance: null,
    chance_low: null,
    chance_high: null,
    unit: "",
    ...r,
  }) as Evidence;

describe("what changed between two texts", () => {
  it("is told by word", () => {
    expect(changes("It responds to cars.", "It responds to roads.")).toEqual([
      { kind: "same", text: "It responds to " },
      { kind: "out", text: "cars." },
      { kind: "in", text: "roads." },
    ]);
    expect(changes("", "new")).toEqual([{ kind: "in", text: "new" }]);
    expect(changes("old", "")).toEqual([{ kind: "out", text: "old" }]);
    expect(changes("as it was", "as it was")).toEqual([{ kind: "same", text: "as it was" }]);
    expect(changes("", "")).toEqual([]);
  });
  it("keeps as many words as can be kept", () => {
    const kept = changes("a b c d e", "a c d x e").filter((c) => c.kind === "same");
    expect(kept.map((c) => c.text.trim()).join(" ")).toBe("a c d e");
  });
  it("holds both texts, whatever they are", () => {
    let seed = 7;
    const draw = (n: number): number => (seed = (seed * 16807) % 2147483647) % n;
    const text = (words: number): string =>
      Array.from({ length: words }, () => ["a", "b", "\n", "  ", "é", "c\n", "<b>"][draw(7)]).join(draw(2) ? " " : "");
    for (let i = 0; i < 300; i++) {
      const a = text(draw(30)),
        b = text(draw(30)),
        found = changes(a, b);
      expect(side(found, "in")).toBe(a);
      expect(side(found, "out")).toBe(b);
      expect(found.every((c, k) => c.kind !== found[k - 1]?.kind && c.text)).toBe(true);
    }
  });
  it("is told by line where texts are long, and at once where they are endless", () => {
    const lines = Array.from({ length: 900 }, (_, i) => `line ${i} of a text\n`);
    const other = lines.with(450, "another line\n");
    const found = changes(lines.join(""), other.join(""));
    expect(found.filter((c) => c.kind !== "same")).toEqual([
      { kind: "out", text: "line 450 of a text\n" },
      { kind: "in", text: "another line\n" },
    ]);
    expect(changes("x\n".repeat(2000), "y\n".repeat(2000)).map((c) => c.kind)).toEqual(["out", "in"]);
  });
});

describe("numbers of the evidence", () => {
  it("have a sign where they are changes, three decimals else", () => {
    expect(number({ unit: "points" }, -3.24)).toBe("\u22123.2");
    expect(number({ unit: "points" }, 3.26)).toBe("+3.3");
    expect(number({ unit: "" }, 0.2140001)).toBe("0.214");
    expect(number({ unit: "" }, 240)).toBe("240");
    expect(number({ unit: "" }, 0)).toBe("0.000");
    expect(number({ unit: "" }, null)).toBe("\u2013");
    expect(Number(number({ unit: "" }, 0.00012))).toBeCloseTo(0.00012, 6);
  });
  it("stand beside their interval and chance, or a dash", () => {
    expect(interval(row({ low: 0.1, high: 0.3 }))).toBe("0.100 to 0.300");
    expect(interval(row({ low: 0.1 }))).toBe("\u2013");
    expect(chance(row({ chance: 0.05, chance_low: 0.01, chance_high: 0.09 }))).toBe("0.010 to 0.090");
    expect(chance(row({ chance: 0.05 }))).toBe("0.050");
    expect(chance(row({}))).toBe("\u2013");
  });
  it("share a scale with those of their unit, zero included", () => {
    const rows = [
      row({ unit: "points", value: -8, low: -10, high: -6 }),
      row({ unit: "points", value: 1, chance_high: 2 }),
      row({ unit: "", value: 90 }),
    ];
    expect(scaleOf(rows, "points")).toEqual([-10, 2]);
    expect(scaleOf(rows, "")).toEqual([0, 90]);
    expect(scaleOf([row({ value: 0 })], "")).toEqual([0, 1]);
  });
  it("are by chance only within a band that is known", () => {
    expect(byChance(row({ value: 0.2, chance_low: 0.1, chance_high: 0.3 }))).toBe(true);
    expect(byChance(row({ value: 0.4, chance_low: 0.1, chance_high: 0.3 }))).toBe(false);
    expect(byChance(row({ value: 0.2, chance: 0.2 }))).toBe(false);
  });
  it("have words for every state and group", () => {
    expect(groupWord("control")).toBe("Control");
    for (const s of Object.values(STATES)) expect(s.word && s.says.endsWith(".")).toBe(true);
  });
});
