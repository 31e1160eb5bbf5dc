/** Which colour each point of the unit map has: by category for units that detect something, else on the sequential scale. */
import type { Colour, UnitMap } from "~/lib/api/types";
import { categoryVar, css, orderCategories, parseHex, resolve, sequential, token } from "~/lib/colour";

export type Palette = { of: Uint16Array; colours: string[] };
const STEPS = 24;

export function paletteOf(map: UnitMap, by: Colour, categories: string[] | undefined, least: number): Palette {
  const n = map.x.length,
    of = new Uint16Array(n),
    colours: string[] = [];
  if (by === "category") {
    const cats = orderCategories(categories ?? map.category.filter((c) => c !== null));
    colours.push(...cats.map((c) => resolve(categoryVar(c, cats))), css(parseHex(token("line-3")), 0.7));
    for (let i = 0; i < n; i++) {
      const c = map.category[i];
      const at = c && map.iou[i] > least ? cats.indexOf(c) : -1;
      of[i] = at < 0 ? cats.length : at;
    }
    return { of, colours };
  }
  const q = sequential();
  for (let k = 0; k < STEPS; k++) colours.push(css(q(0.22 + (0.78 * k) / (STEPS - 1))));
  const v = by === "layer" ? map.layer : by === "iou" ? map.iou : map.density.map((d) => Math.log10(Math.max(1e-4, d)));
  let lo = Infinity,
    hi = -Infinity;
  for (const t of v) {
    if (t < lo) lo = t;
    if (t > hi) hi = t;
  }
  for (let i = 0; i < n; i++) of[i] = Math.round(((v[i] - lo) / (hi - lo || 1)) * (STEPS - 1));
  return { of, colours };
}
