/** Tokens as people read them, and the colour of what a unit gives at each. */
import { type Rgb, css, diverging, inkOn, sequential } from "./colour";

/** A token in one line: line breaks and tabs become visible signs, indentation after a break is left out. */
export const inline = (token: string): string =>
  token
    .replace(/\r?\n[ \t]*/g, "\u21b5")
    .replace(/\t/g, "\u21e5")
    .replace(/ {3,}/g, (s) => `\u2423${s.length}`);
/** A token by itself, where white space is all there is of it: a space as an open box. */
export const alone = (token: string): string => {
  const text = token.replace(/\r?\n/g, "\u21b5").replace(/\t/g, "\u21e5");
  return text.replace(
    /^ +| +$/g,
    (s) => "\u2423".repeat(Math.min(s.length, 3)) + (s.length > 3 ? String(s.length) : ""),
  );
};

export type Ink = { background: string; color: string };
/** Fill and ink of a value between -most and most. Magnitudes on the sequential scale, what is below zero on the cool side of the diverging
 * one; values that speak for and against (`signed`) on the diverging scale. */
export function heat(most: number, signed = false): (value: number) => Ink | null {
  const up = sequential(),
    both = diverging();
  const fill = (v: number): Rgb => (v >= 0 && !signed ? up(v) : both(0.5 + v / 2));
  return (value) => {
    const share = most > 0 ? Math.max(-1, Math.min(1, value / most)) : 0;
    // Many activation functions end a little below zero: that is no response.
    if (!Number.isFinite(value) || (share < 0.06 && share > (signed ? -0.06 : -0.25))) return null;
    const colour = fill(share);
    return { background: css(colour), color: inkOn(colour) };
  };
}
