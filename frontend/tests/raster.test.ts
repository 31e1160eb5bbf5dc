import { describe, expect, it } from "vitest";
import { contour, mask, upsample } from "../src/lib/raster/upsample";

describe("upsampling", () => {
  it("keeps a map at its own size", () => expect([...upsample([1, 2, 3, 4], 2, 2, 2, 2)]).toEqual([1, 2, 3, 4]));
  it("has half-pixel centres, like align_corners=False", () => {
    // torch.nn.functional.interpolate(tensor([[0., 1.]]), size=4, mode="linear", align_corners=False)
    expect([...upsample([0, 1], 1, 2, 1, 4)]).toEqual([0, 0.25, 0.75, 1]);
    const a = upsample([0, 1, 2, 3], 2, 2, 3, 3);
    expect([...a].map((x) => Number(x.toFixed(4)))).toEqual([0, 0.5, 1, 1, 1.5, 2, 2, 2.5, 3]);
  });
  it("shrinks too", () => expect([...upsample([0, 1, 2, 3], 1, 4, 1, 2)]).toEqual([0.5, 2.5]));
});
describe("masks", () => {
  it("are strict", () => expect([...mask(new Float32Array([1, 2, 3]), 2)]).toEqual([0, 0, 1]));
  it("have closed outlines", () => {
    const field = [0, 0, 0, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 0];
    const s = contour(field, 4, 4, 0.5),
      ends = new Map<string, number>();
    for (let i = 0; i < s.length; i += 2) {
      const k = `${s[i].toFixed(3)} ${s[i + 1].toFixed(3)}`;
      ends.set(k, (ends.get(k) ?? 0) + 1);
    }
    expect(s.length).toBe(8 * 4);
    expect([...ends.values()].every((n) => n === 2)).toBe(true);
  });
  it("close at the border", () => expect(contour([1], 1, 1, 0.5).length).toBe(16));
});
