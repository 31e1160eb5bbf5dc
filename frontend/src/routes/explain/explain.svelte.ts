/** What Explain holds while it is open: the example, its prediction, one job per method, and the scale they share. */
import * as api from "~/lib/api/endpoints";
import { floats } from "~/lib/api/client";
import type { ExplainState, Method, Result, ResultSet, RunRequest } from "~/lib/api/types";
import { frozenResults } from "~/lib/state/job.svelte";
import { view } from "~/lib/state/view.svelte";
import { type Evidence, type Preview, type Series, previewValues, readEvidence } from "./evidence";

export const parseExample = (
  e: string | null,
): { kind: "upload"; sha: string } | { kind: "probe"; probe: string; index: number } | null => {
  if (!e) return null;
  const at = e.lastIndexOf(":"),
    head = e.slice(0, at),
    tail = e.slice(at + 1);
  if (head === "upload") return { kind: "upload", sha: tail };
  return at > 0 && /^\d+$/.test(tail) ? { kind: "probe", probe: head, index: Number(tail) } : null;
};
export const exampleImage = (e: string | null, size: number): string | null => {
  const p = parseExample(e);
  return p
    ? p.kind === "upload"
      ? api.uploadUrl(p.sha, size, view.state.model)
      : api.imageUrl(p.probe, p.index, size, view.state.model)
    : null;
};

export type Maps = {
  result: Result;
  set: ResultSet;
  values: Float32Array;
  height: number;
  width: number;
  targets: string[];
  signed: boolean;
  evidence: Evidence | null;
  /** Share of pixels in percent, and the curves by name: "deletion: village". */
  x: Float32Array | null;
  curves: Map<string, Series>;
  yAxis: string;
};
export async function readMaps(set: ResultSet): Promise<Maps> {
  const result = set.results.find((r) => r.kind === "image-map");
  const ref = result?.arrays.maps;
  if (!result || !ref) throw new Error("The result holds no image map.");
  const drawn = set.results.find((r) => r.name === "curves" && r.kind === "curves") ?? null,
    array = (name: string): Promise<Float32Array | null> => {
      const at = drawn?.arrays[name];
      return at ? floats(api.blobUrl(at.sha256)) : Promise.resolve(null);
    };
  const [values, x, y, low, high] = await Promise.all([
    floats(api.blobUrl(ref.sha256)),
    ...["x", "y", "low", "high"].map(array),
  ]);
  const curves = new Map<string, Series>(),
    n = x?.length ?? 0,
    part = (a: Float32Array | null, k: number): Float32Array | null => a && a.subarray(k * n, (k + 1) * n);
  for (const [k, name] of ((drawn?.document.series ?? []) as string[]).entries())
    if (y) curves.set(name, { y: part(y, k)!, low: part(low, k), high: part(high, k) });
  return {
    result,
    set,
    values: values!,
    height: ref.shape[1],
    width: ref.shape[2],
    targets: result.document.targets ?? [],
    signed: result.document.signed !== false,
    evidence: readEvidence(set),
    x,
    curves,
    yAxis: String(drawn?.document.y_axis ?? ""),
  };
}
export function fromPreview(p: Preview): { values: Float32Array; height: number; width: number; targets: string[] } {
  return { values: previewValues(p), height: p.shape[1], width: p.shape[2], targets: p.targets };
}
/** The percentile of |value| at which colour saturates. */
export function clipAt(values: Float32Array, percentile: number): number {
  const step = Math.max(1, Math.floor(values.length / 20000)),
    sample: number[] = [];
  for (let i = 0; i < values.length; i += step) {
    const v = Math.abs(values[i]);
    if (Number.isFinite(v)) sample.push(v);
  }
  sample.sort((a, b) => a - b);
  const at = sample[Math.min(sample.length - 1, Math.max(0, Math.ceil((percentile / 100) * sample.length) - 1))] ?? 0;
  return at || sample[sample.length - 1] || 1;
}
export const attributions = (methods: Method[]): Method[] =>
  methods.filter((m) => m.subject.includes("example") && m.returns.includes("image-map"));
/** What can stand in the grid: maps, and hierarchies of regions. */
export const tiles = (methods: Method[]): Method[] =>
  methods.filter((m) => m.subject.includes("example") && m.returns.some((k) => k === "image-map" || k === "tree"));
export const isHierarchy = (m: Method): boolean => !m.returns.includes("image-map");
/** Questions about methods over a whole probe set. */
export const benchmarks = (methods: Method[]): Method[] => {
  const found = methods.filter((m) => m.folder === "benchmarks"),
    first = (m: Method): number => (m.id === "method-scoreboard" ? 0 : 1);
  return found.sort((a, b) => first(a) - first(b) || a.title.localeCompare(b.title));
};
/** What a share link froze of a question about the set; null if it did not. */
export const frozenOf = (share: string, method: string, probe: string): Promise<ResultSet | null> =>
  frozenResults(share).then((all) => all.find((s) => s.method === method && s.subjects.probe === probe) ?? null);
/** Methods that stand side by side. */
export const MOST = 12;
/** What one image can be explained for at once; from five on as small multiples. */
export const MOST_TARGETS = 16;
/** What is explained, as the methods take it: classes, each minus another one, a unit, or likeness to an image. Empty is the predicted class. */
export function subjectTargets(e: ExplainState): NonNullable<RunRequest["subjects"]["targets"]> {
  if (e.unit) return [e.unit];
  if (e.like) return [{ like: e.like }];
  const other = e.against;
  return other === null ? e.targets : e.targets.filter((t) => t !== other).map((t) => ({ minus: [t, other] }));
}
/** The request of a method about the image at hand; null while there is none. */
export function ask(method: string, params: Record<string, unknown> = {}): RunRequest | null {
  const e = view.state.explain;
  if (!view.state.model || !e.example) return null;
  const targets = subjectTargets(e);
  return {
    method,
    subjects: { model: view.state.model, example: e.example, ...(targets.length ? { targets } : {}) },
    params,
    priority: "interactive",
  };
}
export function patch(change: Partial<typeof view.state.explain>, replace = true): void {
  view.set({ explain: { ...view.state.explain, ...change } }, replace);
}
export function choose(example: string | null): void {
  patch({ example, targets: [], against: null }, false);
}
