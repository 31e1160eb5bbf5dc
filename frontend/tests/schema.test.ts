import { describe, expect, it } from "vitest";
import { fields, read, written } from "../src/lib/ui/schema";

describe("the form of a method", () => {
  it("reads what pydantic writes", () => {
    const f = fields({
      properties: {
        steps: {
          type: "integer",
          default: 32,
          minimum: 2,
          maximum: 2048,
          title: "Steps",
          description: "Steps to begin with.",
        },
        layer: {
          anyOf: [{ type: "string", maxLength: 200 }, { type: "null" }],
          default: null,
          format: "layer",
          title: "Layer",
        },
        baseline: { $ref: "#/$defs/Baseline", default: "black" },
        relu: { type: "boolean", default: true },
        box: { type: "array", default: [1, 2] },
      },
      $defs: { Baseline: { enum: ["black", "white"], type: "string" } },
    });
    expect(f.map((x) => [x.name, x.kind, x.nullable])).toEqual([
      ["steps", "integer", false],
      ["layer", "text", true],
      ["baseline", "enum", false],
      ["relu", "boolean", false],
      ["box", "json", false],
    ]);
    expect(f[0]).toMatchObject({ title: "Steps", min: 2, max: 2048, initial: 32 });
    expect(f[1].layer).toBe(true);
    expect(f[2].options).toEqual(["black", "white"]);
  });
  it("knows lists of methods and lists of words", () => {
    const f = fields({
      properties: {
        method: { type: "string", format: "method", default: "grad-cam" },
        methods: { type: "array", items: { type: "string", format: "method" }, default: ["lrp"] },
        metrics: { type: "array", items: { enum: ["deletion", "insertion"], type: "string" }, default: ["deletion"] },
        sizes: { type: "array", items: { type: "integer" }, default: [1] },
      },
    });
    expect(f.map((x) => [x.method, x.choices])).toEqual([
      ["one", undefined],
      ["several", undefined],
      [undefined, ["deletion", "insertion"]],
      [undefined, undefined],
    ]);
  });
  it("writes a list of texts a line each, and reads it back", () => {
    const [texts, sizes, pairs] = fields({
      properties: {
        texts: { type: "array", items: { type: "string" }, default: [] },
        sizes: { anyOf: [{ type: "array", items: { type: "integer" } }, { type: "null" }], default: null },
        pairs: { type: "array", items: { type: "array", items: { type: "number" } }, default: [] },
      },
    });
    expect([texts.kind, sizes.kind, pairs.kind]).toEqual(["lines", "numbers", "json"]);
    const value = ["def f():\n    return", " the", "a\\nb", "C:\\"];
    expect(written("lines", value).split("\n")).toHaveLength(4);
    expect(read(texts, written("lines", value))).toEqual(value);
    expect(read(texts, "one\n\n two\n")).toEqual(["one", " two"]);
    expect(read(texts, " ")).toEqual([]);
    expect(written("numbers", [0.05, 0.1])).toBe("0.05, 0.1");
    expect(read(sizes, "3, 4 5;6")).toEqual([3, 4, 5, 6]);
    expect(read(sizes, "")).toBeNull();
    // What is no number goes to the server, which says so.
    expect(read(sizes, "3, x")).toEqual([3, "x"]);
    expect(read(pairs, "[[1, 2]]")).toEqual([[1, 2]]);
  });
});
