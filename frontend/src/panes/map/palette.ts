/** Which colour each point of the unit map has: by category for units that detect something, else on the sequential scale. */
import type { MapPoints } from "~/lib/api/points";
import type { Colour } from "~/lib/api/types";
import { categoryVar, css, orderCategories, parseHex, resolve, sequential, token } from "~/lib/colour";

export type Palette = { of: Uint8Array; colours: string[] };
const STEPS = 24;

export function paletteOf(map: MapPoints, by: Colour, categories: string[] | undefined, least: number): Palette {
  const { n } = map,
    of = new Uint8Array(n),
    colours: string[] = [];
  if (by === "category") {
    const cats = orderCategories(categories ?? map.categories).slice(0, 254);
    colours.push(...cats.map((c) => resolve(categoryVar(c, cats))), css(parseHex(token("line-3")), 0.7));
    const place = map.categories.map((c) => (cats.includes(c) ? cats.indexOf(c) : cats.length));
    for (let i = 0; i < n; i++) of[i] = map.iou[i] > least ? (place[map.kind(i)] ?? cats.length) : cats.length;
    return { of, colours };
  }
  const q = sequential();
  for (let k = 0; k < STEPS; k++) colours.push(css(q(0.22 + (0.78 * k) / (STEPS - 1))));
  const v = by === "layer" ? map.layer : by === "iou" ? map.iou : map.density.map((d) => Math.log10(Math.max(1e-4, d)));
  let lo = Infinity,
    hi = -Infinity;
  for (let i = 0; i < n; i++)
    if (map.has(i)) {
      if (v[i] < lo) lo = v[i];
      if (v[i] > hi) hi = v[i];
    }
  for (let i = 0; i < n; i++) of[i] = Math.round(((v[i] - lo) / (hi - lo || 1)) * (STEPS - 1));
  return { of, colours };
}
