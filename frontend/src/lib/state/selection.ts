/** The selection and the view as plain data: the defaults, the URL form, and the small edits the views make. No runes here, so that it can be tested. */
import type { ExplainState, LanguageState, Range, Selection, UnitRef, ViewState } from "../api/types";

export const emptySelection = (): Selection => ({
  layers: [],
  concepts: [],
  not_concepts: [],
  categories: [],
  iou: null,
  density: null,
  detector: null,
  labelled: null,
  text: null,
  brush: null,
});
export const emptyExplain = (): ExplainState => ({
  example: null,
  methods: ["grad-cam", "integrated-gradients", "occlusion"],
  targets: [],
  against: null,
  unit: null,
  like: null,
  compare: [],
  polygon: null,
  benchmark: null,
  opacity: 0.8,
  clip: 99.5,
  scale: "shared",
  params: {},
  subset: "all",
  true_class: null,
});
export const emptyLanguage = (): LanguageState => ({
  prompt: null,
  position: null,
  lens: "final",
  action: "none",
  strength: 4,
  seed: 0,
  temperature: 0.7,
});
export const emptyView = (): ViewState => ({
  version: 1,
  screen: "home",
  model: null,
  probe: null,
  selection: emptySelection(),
  selected: null,
  pinned: [],
  quantile: 0.995,
  sort: "iou",
  descending: true,
  table: "filter",
  colour: "category",
  band: "top",
  explain: emptyExplain(),
  language: emptyLanguage(),
});

export type Route =
  | { name: "home" | "browse" | "explain" | "language" | "runs" | "labels" }
  | { name: "sign-in" | "join" | "account" | "team" }
  | { name: "label-set"; id: string }
  | { name: "findings" | "hypotheses" | "studies" }
  | { name: "study" | "take"; id: string }
  | { name: "embed"; id: string }
  | { name: "finding"; id: string; revision?: number }
  | { name: "unit"; model: string; layer: string; unit: number }
  | { name: "result"; key: string }
  | { name: "shared"; id: string }
  | { name: "unknown"; path: string };

/** Screens that a link can be shared of; every other one is Home to whoever opens it. */
export function screenOf(route: Route): ViewState["screen"] {
  const shared = ["browse", "unit", "explain", "language", "runs"] as const;
  return shared.find((s) => s === route.name) ?? "home";
}
/** Filters without the brush: what "in filter" means. */
export const isEmpty = (s: Selection): boolean => clauses(s) === 0 && s.brush === null;
export const clauses = (s: Selection): number =>
  s.layers.length +
  s.concepts.length +
  s.not_concepts.length +
  s.categories.length +
  [s.iou, s.density, s.detector, s.labelled, s.text].filter((x) => x !== null).length;
export const sameUnit = (a: UnitRef | null | undefined, b: UnitRef | null | undefined): boolean =>
  !!a && !!b && a.layer === b.layer && a.unit === b.unit;
export const unitKey = (u: UnitRef): string => `${u.layer}/${u.unit}`;
export function parseUnit(text: string | null): UnitRef | null {
  const at = text ? text.lastIndexOf("/") : -1;
  const unit = Number(text?.slice(at + 1));
  return text && at > 0 && Number.isInteger(unit) && unit >= 0 ? { layer: text.slice(0, at), unit } : null;
}
export const toggle = (list: string[], value: string): string[] =>
  list.includes(value) ? list.filter((x) => x !== value) : [...list, value];

/** Fewer corners for a lasso (Douglas-Peucker), so that a brush fits in an address. */
export function simplify(points: [number, number][], limit = 48): [number, number][] {
  let tolerance = 0;
  const xs = points.map((p) => p[0]),
    ys = points.map((p) => p[1]);
  const size = Math.max(Math.max(...xs) - Math.min(...xs), Math.max(...ys) - Math.min(...ys)) || 1;
  let out = points;
  while (out.length > limit) {
    tolerance += size / 400;
    out = reduce(points, tolerance);
  }
  const digits = Math.max(0, 3 - Math.floor(Math.log10(size)));
  return out.map(([x, y]) => [round(x, digits), round(y, digits)]);
}
const round = (x: number, digits: number): number => Number(x.toFixed(Math.min(12, digits)));
function reduce(p: [number, number][], tolerance: number): [number, number][] {
  if (p.length < 3) return p;
  const [ax, ay] = p[0],
    [bx, by] = p[p.length - 1];
  const length = Math.hypot(bx - ax, by - ay);
  let worst = 0,
    at = 0;
  for (let i = 1; i < p.length - 1; i++) {
    const d = length
      ? Math.abs((by - ay) * p[i][0] - (bx - ax) * p[i][1] + bx * ay - by * ax) / length
      : Math.hypot(p[i][0] - ax, p[i][1] - ay);
    if (d > worst) {
      worst = d;
      at = i;
    }
  }
  if (worst <= tolerance) return [p[0], p[p.length - 1]];
  return [...reduce(p.slice(0, at + 1), tolerance), ...reduce(p.slice(at), tolerance).slice(1)];
}

/** A clause in words, for chips and for the live region. */
export function mergeRange(a: Range | null, patch: Range): Range | null {
  const merged = {
    min: patch.min !== undefined ? patch.min : (a?.min ?? null),
    max: patch.max !== undefined ? patch.max : (a?.max ?? null),
  };
  return merged.min === null && merged.max === null ? null : merged;
}
