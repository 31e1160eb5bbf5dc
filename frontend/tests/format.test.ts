import { describe, expect, it } from "vitest";
import * as f from "../src/lib/format";

describe("numbers", () => {
  it("group, round and use a true minus", () => {
    expect(f.count(1472)).toBe("1,472");
    expect(f.fixed(0.2140001)).toBe("0.214");
    expect(f.fixed(-0.0001)).toBe("0.000");
    expect(f.signed(-18.2)).toBe("\u221218.2");
    expect(f.signed(0.3)).toBe("+0.3");
    expect(f.percent(0.0312)).toBe("3.1 %");
    expect(f.fixed(NaN)).toBe("\u2013");
    expect(f.tidy(0.00123)).toBe("0.00123");
    expect(f.quantile(0.9999)).toBe("0.9999");
    expect(f.bytes(5_600_000)).toBe("5.6\u00a0MB");
    expect(f.plural(1, "unit")).toBe("1 unit");
  });
  it("are short where there is little room", () => {
    expect(f.short(960)).toBe("960");
    expect(f.short(9_999)).toBe("9,999");
    expect(f.short(37_612)).toBe("37.6k");
    expect(f.short(999_499)).toBe("999k");
    expect(f.short(1_250_000)).toBe("1.25M");
  });
  it("say times coarsely", () => {
    expect(f.seconds(0.04)).toBe("0.04 s");
    expect(f.seconds(41)).toBe("41 s");
    expect(f.seconds(180)).toBe("3 min");
    expect(f.ago("2026-01-01T10:00:00Z", Date.parse("2026-01-01T12:00:00Z"))).toBe("2 h ago");
  });
  it("name things", () => {
    expect(f.hash("9c1e4b7aaaa")).toBe("9c1e4b7");
    expect(f.conceptName("part:window")).toBe("window");
    expect(f.range({ min: 0.04, max: null })).toBe("\u2265 0.04");
    expect(f.range({ min: 0.1, max: 0.2 })).toBe("0.1 to 0.2");
  });
});
