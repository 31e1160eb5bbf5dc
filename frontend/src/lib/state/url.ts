/** The address bar holds the whole view in a compact form; defaults are left out. The inverse never throws: an odd value is dropped. */
import type { Brush, Range, Selection, ViewState } from "../api/types";
import { type Route, emptyExplain, emptyLanguage, emptyView, parseUnit, screenOf, unitKey } from "./selection";

const SORTS = ["iou", "unit", "density", "mean", "max", "concept", "notes"] as const;
const esc = (s: string): string => s.replaceAll("\\", "\\\\").replaceAll(",", "\\,");
const list = (xs: string[]): string => xs.map(esc).join(",");
function unlist(text: string | null): string[] {
  if (!text) return [];
  const out = [""];
  for (let i = 0; i < text.length; i++) {
    if (text[i] === "\\" && i + 1 < text.length) out[out.length - 1] += text[++i];
    else if (text[i] === ",") out.push("");
    else out[out.length - 1] += text[i];
  }
  return out.filter(Boolean);
}
const span = (r: Range): string => `${r.min ?? ""}~${r.max ?? ""}`;
function unspan(text: string | null): Range | null {
  if (!text || !text.includes("~")) return null;
  const [a, b] = text.split("~").map((x) => (x === "" ? null : Number(x)));
  if ((a !== null && !Number.isFinite(a)) || (b !== null && !Number.isFinite(b)) || (a === null && b === null))
    return null;
  return a !== null && b !== null && a > b ? null : { min: a, max: b };
}
const corners = (p: readonly (readonly number[])[]): string => p.map((c) => c.join(" ")).join("!");
const uncorners = (text: string): [number, number][] =>
  text.split("!").map((p) => p.split(" ").map(Number) as [number, number]);
const flag = (text: string | null): boolean | null => (text === "1" ? true : text === "0" ? false : null);

function brushText(b: Brush): string {
  const body = b.polygon
    ? "p" + corners(b.polygon)
    : b.range
      ? "r" + span(b.range)
      : "u" + list((b.units ?? []).map(unitKey));
  return [b.view, b.key ?? "", body].join("*");
}
function unbrush(text: string | null): Brush | null {
  const [view, key, ...rest] = (text ?? "").split("*");
  const body = rest.join("*");
  if (view !== "map" && view !== "histogram" && view !== "units") return null;
  const base = { view, key: key || null } as Brush;
  if (body[0] === "r") {
    const r = unspan(body.slice(1));
    return r && { ...base, range: r };
  }
  if (body[0] === "u") {
    const units = unlist(body.slice(1))
      .map(parseUnit)
      .filter((u) => u !== null);
    return units.length ? { ...base, units } : null;
  }
  const polygon = uncorners(body.slice(1));
  return body[0] === "p" &&
    key &&
    polygon.length >= 3 &&
    polygon.every((p) => p.length === 2 && p.every(Number.isFinite))
    ? { ...base, polygon }
    : null;
}

export function selectionParams(s: Selection, q = new URLSearchParams()): URLSearchParams {
  const put = (k: string, v: string | null | false | undefined): void => {
    if (v) q.set(k, v);
  };
  put("l", list(s.layers));
  put("c", list(s.concepts));
  put("x", list(s.not_concepts));
  put("g", list(s.categories));
  put("iou", s.iou && span(s.iou));
  put("den", s.density && span(s.density));
  put("t", s.text);
  put("b", s.brush && brushText(s.brush));
  if (s.detector !== null) q.set("det", s.detector ? "1" : "0");
  if (s.labelled !== null) q.set("lab", s.labelled ? "1" : "0");
  return q;
}
export function paramsSelection(q: URLSearchParams): Selection {
  return {
    layers: unlist(q.get("l")),
    concepts: unlist(q.get("c")),
    not_concepts: unlist(q.get("x")),
    categories: unlist(q.get("g")),
    iou: unspan(q.get("iou")),
    density: unspan(q.get("den")),
    detector: flag(q.get("det")),
    labelled: flag(q.get("lab")),
    text: q.get("t") || null,
    brush: unbrush(q.get("b")),
  };
}

const PLAIN = [
  "browse",
  "explain",
  "language",
  "runs",
  "labels",
  "findings",
  "hypotheses",
  "studies",
  "sign-in",
  "join",
  "account",
  "team",
] as const;
/** Screens about people rather than about a model; their addresses hold nothing else. */
const PEOPLE = new Set<Route["name"]>([
  "findings",
  "finding",
  "embed",
  "hypotheses",
  "studies",
  "study",
  "take",
  "sign-in",
  "join",
  "account",
  "team",
  "label-set",
]);

export function pathOf(route: Route): string {
  switch (route.name) {
    case "home":
      return "/";
    case "unit":
      return `/unit/${encodeURIComponent(route.model)}/${encodeURIComponent(route.layer)}/${route.unit}`;
    case "result":
      return `/results/${encodeURIComponent(route.key)}`;
    case "label-set":
      return `/labels/${encodeURIComponent(route.id)}`;
    case "finding":
      return `/findings/${encodeURIComponent(route.id)}` + (route.revision ? `/${route.revision}` : "");
    case "study":
      return `/studies/${encodeURIComponent(route.id)}`;
    case "take":
      return `/studies/${encodeURIComponent(route.id)}/take`;
    case "embed":
      return `/embed/findings/${encodeURIComponent(route.id)}`;
    case "shared":
      return `/s/${encodeURIComponent(route.id)}`;
    case "unknown":
      return route.path;
    default:
      return "/" + route.name;
  }
}
export function routeOf(path: string): Route {
  const [head, ...rest] = path
    .split("/")
    .filter(Boolean)
    .map((p) => {
      try {
        return decodeURIComponent(p);
      } catch {
        return p;
      }
    });
  if (!head) return { name: "home" };
  const plain = PLAIN.find((p) => p === head);
  if (plain && !rest.length) return { name: plain };
  if (head === "labels" && rest.length === 1) return { name: "label-set", id: rest[0] };
  if (head === "studies" && rest.length === 1) return { name: "study", id: rest[0] };
  if (head === "studies" && rest.length === 2 && rest[1] === "take") return { name: "take", id: rest[0] };
  if (head === "embed" && rest[0] === "findings" && rest.length === 2) return { name: "embed", id: rest[1] };
  if (head === "findings" && rest.length === 1) return { name: "finding", id: rest[0] };
  if (head === "findings" && rest.length === 2 && /^[1-9]\d{0,8}$/.test(rest[1]))
    return { name: "finding", id: rest[0], revision: Number(rest[1]) };
  if (head === "results" && rest.length === 1) return { name: "result", key: rest[0] };
  if (head === "s" && rest.length === 1) return { name: "shared", id: rest[0] };
  if (head === "unit" && rest.length === 3 && /^\d+$/.test(rest[2]))
    return { name: "unit", model: rest[0], layer: rest[1], unit: Number(rest[2]) };
  return { name: "unknown", path };
}

export function encode(route: Route, v: ViewState, share: string | null): string {
  const base = emptyView(),
    q = new URLSearchParams(),
    e = v.explain,
    e0 = emptyExplain();
  if (route.name === "result" || route.name === "shared" || route.name === "unknown" || PEOPLE.has(route.name))
    return pathOf(route);
  if (v.model && route.name !== "unit" && route.name !== "home") q.set("m", v.model);
  if (v.probe && route.name !== "home") q.set(route.name === "unit" ? "probe" : "p", v.probe);
  if (share) q.set("share", share);
  if (route.name === "browse") {
    selectionParams(v.selection, q);
    if (v.selected) q.set("u", unitKey(v.selected));
    if (v.pinned.length) q.set("pin", list(v.pinned.map(unitKey)));
    if (v.sort !== base.sort || v.descending !== base.descending) q.set("sort", (v.descending ? "-" : "") + v.sort);
    if (v.table !== base.table) q.set("tab", v.table);
    if (v.colour !== base.colour) q.set("col", v.colour);
  }
  if (route.name === "browse" || route.name === "unit") {
    if (v.quantile !== base.quantile) q.set("q", String(v.quantile));
    if (v.band !== base.band) q.set("band", v.band);
  }
  if (route.name === "explain") {
    if (e.example) q.set("e", e.example);
    if (e.methods.join() !== e0.methods.join()) q.set("with", e.methods.join(",") || "none");
    if (e.targets.length) q.set("for", e.targets.join(","));
    if (e.against !== null) q.set("against", String(e.against));
    if (e.unit) q.set("unit", unitKey(e.unit));
    if (e.like) q.set("like", e.like);
    if (e.compare.length) q.set("minus", e.compare.join(","));
    if (e.polygon) q.set("region", corners(e.polygon));
    if (e.benchmark) q.set("set", e.benchmark);
    if (e.opacity !== e0.opacity) q.set("op", String(e.opacity));
    if (e.clip !== e0.clip) q.set("clip", String(e.clip));
    if (e.scale !== e0.scale) q.set("scale", e.scale);
    if (e.subset !== e0.subset) q.set("of", e.subset);
    if (e.true_class !== null) q.set("true", String(e.true_class));
    if (Object.keys(e.params).length) q.set("par", JSON.stringify(e.params));
  }
  if (route.name === "language" || (route.name === "explain" && v.language.prompt !== null)) {
    const l = v.language,
      l0 = emptyLanguage();
    if (l.prompt !== null) q.set("text", l.prompt);
    if (l.position !== null) q.set("at", String(l.position));
    if (l.lens !== l0.lens) q.set("lens", l.lens);
    if (v.selected) q.set("u", unitKey(v.selected));
    if (l.action !== l0.action) q.set("do", l.action);
    if (l.strength !== l0.strength) q.set("by", String(l.strength));
    if (l.seed !== l0.seed) q.set("seed", String(l.seed));
    if (l.temperature !== l0.temperature) q.set("temp", String(l.temperature));
  }
  // Commas, colons, slashes and tildes may stand in a query; keeping them makes addresses readable.
  const text = q
    .toString()
    .replace(/%2C/g, ",")
    .replace(/%3A/g, ":")
    .replace(/%2F/g, "/")
    .replace(/%7E/g, "~")
    .replace(/%21/g, "!");
  return pathOf(route) + (text ? "?" + text : "");
}

export function decode(path: string, search: string): { route: Route; view: ViewState; share: string | null } {
  const q = new URLSearchParams(search),
    v = emptyView(),
    route = routeOf(path),
    e = v.explain;
  const number = (k: string, low: number, high: number, fallback: number): number => {
    const x = Number(q.get(k) ?? NaN);
    return q.has(k) && x >= low && x <= high ? x : fallback;
  };
  const one = <X extends string>(k: string, allowed: readonly X[], fallback: X): X =>
    allowed.includes(q.get(k) as X) ? (q.get(k) as X) : fallback;
  v.screen = screenOf(route);
  v.model = route.name === "unit" ? route.model : (q.get("m") ?? q.get("model"));
  v.probe = q.get("p") ?? q.get("probe");
  v.selection = paramsSelection(q);
  v.selected = route.name === "unit" ? { layer: route.layer, unit: route.unit } : parseUnit(q.get("u"));
  v.pinned = unlist(q.get("pin"))
    .map(parseUnit)
    .filter((u) => u !== null);
  v.quantile = number("q", 0.000001, 0.999999, v.quantile);
  const sort = q.get("sort");
  if (sort) {
    v.descending = sort.startsWith("-");
    const k = sort.replace(/^-/, "");
    v.sort = SORTS.find((s) => s === k) ?? "iou";
  }
  v.table = one("tab", ["brushed", "filter", "all"] as const, v.table);
  v.colour = one("col", ["category", "layer", "iou", "density"] as const, v.colour);
  v.band = q.get("band") ?? v.band;
  const l = v.language;
  l.prompt = q.get("text")?.slice(0, 20_000) ?? null;
  l.position = q.has("at") ? number("at", 0, 100_000, 0) : null;
  l.lens = one("lens", ["final", "plain"] as const, l.lens);
  l.action = one("do", ["none", "set", "scale", "ablate", "add"] as const, l.action);
  l.strength = number("by", -1e4, 1e4, l.strength);
  l.seed = number("seed", 0, 2 ** 31 - 1, l.seed);
  l.temperature = number("temp", 0, 2, l.temperature);
  e.example = q.get("e");
  if (q.has("with")) e.methods = q.get("with") === "none" ? [] : unlist(q.get("with")).slice(0, 12);
  e.targets = unlist(q.get("for"))
    .map(Number)
    .filter((n) => Number.isInteger(n) && n >= 0)
    .slice(0, 16);
  const against = number("against", 0, 100_000, -1);
  // a difference needs a class to begin with: the predicted one is not known to an address
  e.against = e.targets.length && Number.isInteger(against) && against >= 0 ? against : null;
  e.unit = parseUnit(q.get("unit"));
  e.like = q.get("like")?.slice(0, 200) || null;
  const pair = unlist(q.get("minus"));
  e.compare = pair.length === 2 && pair[0] !== pair[1] ? pair : [];
  const region = uncorners(q.get("region") ?? "");
  e.polygon =
    region.length >= 3 &&
    region.length <= 200 &&
    region.every((c) => c.length === 2 && c.every((x) => x >= 0 && x <= 1))
      ? region
      : null;
  e.benchmark = q.get("set")?.slice(0, 100) || null;
  e.opacity = number("op", 0, 1, e.opacity);
  e.clip = number("clip", 50, 100, e.clip);
  e.scale = one("scale", ["shared", "own"] as const, e.scale);
  e.subset = one("of", ["all", "correct", "wrong"] as const, e.subset);
  e.true_class = q.has("true") ? number("true", 0, 100000, 0) : null;
  try {
    const p = JSON.parse(q.get("par") ?? "{}");
    if (p && typeof p === "object" && !Array.isArray(p)) e.params = p;
  } catch {
    /* an odd value is dropped */
  }
  return { route, view: v, share: q.get("share") };
}
