/** Scales, read from the design tokens of the current theme. */
/** Categories with a colour of their own: of masks in images, of tokens in texts. A set has the one or the other. */
export const FAMILIES = {
  images: ["object", "part", "material", "colour", "scene"],
  texts: ["lexical", "syntactic", "scope", "position", "content"],
};
const KNOWN: string[] = [...FAMILIES.images, ...FAMILIES.texts];
const place = (category: string): number => KNOWN.indexOf(category === "color" ? "colour" : category);

export const categoryVar = (category: string | null | undefined, all: readonly string[] = []): string => {
  if (!category) return "var(--ctx)";
  const fixed = place(category);
  if (fixed >= 0) return `var(--c${(fixed % 5) + 1})`;
  const extra = all.filter((c) => place(c) < 0).indexOf(category);
  return extra >= 0 && extra < 5 ? `var(--c${6 + extra})` : "var(--ctx)";
};
/** Categories in their fixed order, then others by name. */
export const orderCategories = (names: Iterable<string>): string[] => {
  const rank = (c: string): number => {
    const i = place(c);
    return i < 0 ? 99 : i;
  };
  return [...new Set(names)].sort((a, b) => rank(a) - rank(b) || a.localeCompare(b));
};
/** Methods on Explain take 1 to 5, then 10 down to 6. */
export const methodVar = (index: number): string => `var(--c${index < 5 ? index + 1 : Math.max(6, 15 - index)})`;

export type Rgb = [number, number, number];
export const token = (name: string): string =>
  getComputedStyle(document.documentElement)
    .getPropertyValue("--" + name)
    .trim();
export function resolve(css: string): string {
  const match = /^var\(--([\w-]+)\)$/.exec(css);
  return match ? token(match[1]) : css;
}
export const parseHex = (hex: string): Rgb => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16)) as Rgb;
/** Linear between stops in sRGB, as the design language asks. */
export function ramp(stops: Rgb[]): (t: number) => Rgb {
  return (t) => {
    const x = Math.max(0, Math.min(1, t)) * (stops.length - 1),
      i = Math.min(stops.length - 2, Math.floor(x)),
      f = x - i;
    return stops[i].map((v, k) => Math.round(v + (stops[i + 1][k] - v) * f)) as Rgb;
  };
}
const scale = (prefix: string, n: number): ((t: number) => Rgb) =>
  ramp(Array.from({ length: n }, (_, i) => parseHex(token(prefix + i))));
export const sequential = (): ((t: number) => Rgb) => scale("q", 9);
export const diverging = (): ((t: number) => Rgb) => scale("d", 11);
export const css = (c: Rgb, alpha = 1): string => (alpha === 1 ? `rgb(${c.join()})` : `rgba(${c.join()},${alpha})`);
export function inkOn(c: Rgb): string {
  const [r, g, b] = c.map((v) => {
    const s = v / 255;
    return s <= 0.03928 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4;
  });
  const l = 0.2126 * r + 0.7152 * g + 0.0722 * b;
  return l > 0.26 ? "#16191D" : l > 0.179 ? "#000000" : "#FFFFFF";
}
