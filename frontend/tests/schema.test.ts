import { describe, expect, it } from "vitest";
import { fields } from "../src/lib/ui/schema";

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
});
