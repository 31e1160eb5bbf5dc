/** Numbers, times and names as the design language writes them (section 9): true minus, grouped thousands, spaces before %. */
const group = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 0 });
const MINUS = "\u2212";
const bad = (x: number | null | undefined): x is null | undefined =>
  x === null || x === undefined || !Number.isFinite(x);

export const count = (n: number): string => group.format(n);
/** For tight places, at most four figures: 960, 4,812, 37.6k, 1.25M. The whole number belongs beside it, in a title. */
export function short(n: number): string {
  if (n < 10_000) return count(n);
  const [size, letter] = n < 999_500 ? [1e3, "k"] : [1e6, "M"];
  return `${tidy(n / size)}${letter}`;
}
export const plural = (n: number, one: string, many = one + "s"): string => `${count(n)} ${n === 1 ? one : many}`;
/** What an example of a set is called: an image or a text. */
export const exampleWord = (modality: "image" | "text" | undefined): string => (modality === "text" ? "text" : "image");
export function fixed(x: number | null | undefined, digits = 3): string {
  if (bad(x)) return "\u2013";
  const text = Math.abs(x).toFixed(digits);
  return x < 0 && Number(text) !== 0 ? MINUS + text : text;
}
export const iou = (x: number | null | undefined): string => fixed(x, 3);
export const signed = (x: number | null | undefined, digits = 1): string =>
  bad(x) ? "\u2013" : (x > 0 ? "+" : "") + fixed(x, digits);
export function percent(share: number | null | undefined, digits = 1): string {
  return bad(share) ? "\u2013" : `${fixed(share * 100, digits)} %`;
}
/** A few significant digits, never 0.2140001. */
export function tidy(x: number | null | undefined, digits = 3): string {
  if (bad(x)) return "\u2013";
  if (x === 0) return "0";
  const size = Math.floor(Math.log10(Math.abs(x)));
  if (size < -4 || size > 6) return x.toExponential(1).replace("-", MINUS).replace("e+", "e");
  const text = fixed(x, Math.max(0, Math.min(6, digits - 1 - size)));
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}
/** Quantiles keep their nines: 0.995, 0.9999. */
export const quantile = (q: number): string => String(Number(q.toFixed(6)));
export function bytes(n: number | null | undefined): string {
  if (bad(n)) return "\u2013";
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let k = 0;
  while (n >= 1000 && k < units.length - 1) {
    n /= 1000;
    k += 1;
  }
  return k === 0 ? `${n}\u00a0bytes` : `${n >= 100 ? n.toFixed(0) : n.toFixed(1)}\u00a0${units[k]}`;
}
/** How long something takes, coarse enough to be honest. */
export function seconds(s: number | null | undefined): string {
  if (bad(s)) return "unknown time";
  if (s < 1) return `${Math.max(0.01, s).toFixed(2)} s`;
  if (s < 10) return `${s.toFixed(1)} s`;
  if (s < 90) return `${Math.round(s)} s`;
  if (s < 5400) return `${Math.round(s / 60)} min`;
  return `${(s / 3600).toFixed(1)} h`;
}
export function ago(iso: string | null | undefined, now = Date.now()): string {
  if (!iso) return "\u2013";
  const s = (now - Date.parse(iso)) / 1000;
  if (!Number.isFinite(s)) return "\u2013";
  if (s < 45) return "just now";
  if (s < 3600) return `${Math.max(1, Math.round(s / 60))} min ago`;
  if (s < 86400) return `${Math.round(s / 3600)} h ago`;
  if (s < 2 * 86400) return "yesterday";
  return new Date(iso).toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric" });
}
export const clock = (at: number | string): string =>
  new Date(at).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
export const when = (iso: string | null): string =>
  iso
    ? new Date(iso).toLocaleString("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" })
    : "\u2013";
/** Seven characters of a hash; the full one stands in provenance. */
export const hash = (h: string | null | undefined): string => (h ? h.replace(/^sha256:/, "").slice(0, 7) : "\u2013");
/** Concepts travel as category:name; people read the name. */
export const conceptName = (id: string | null | undefined): string => (id ? id.slice(id.indexOf(":") + 1) : "none");
/** Parameter names are made of words; some of them are written in their own way. */
const SPELLING: Record<string, string> = { iou: "IoU", relu: "ReLU", pacmap: "PaCMAP", pca: "PCA", tsne: "t-SNE" };
export const spell = (text: string): string => text.replace(/\b[a-z]+\b/g, (w) => SPELLING[w] ?? w);
export const capital = (s: string): string => (s ? s[0].toUpperCase() + s.slice(1) : s);
export function range(
  r: { min?: number | null; max?: number | null },
  show: (x: number) => string = (x) => tidy(x, 2),
): string {
  const low = r.min ?? null,
    high = r.max ?? null;
  if (low !== null && high !== null) return `${show(low)} to ${show(high)}`;
  return low !== null ? `\u2265 ${show(low)}` : high !== null ? `\u2264 ${show(high)}` : "any";
}
