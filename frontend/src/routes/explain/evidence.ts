/** The evidence that stands beside every map, as it is drawn: scores with their chance, curves with their bands, a verdict. No runes here. */
import type { ResultSet } from "~/lib/api/types";

export type Score = {
  name: string;
  value: number;
  unit: string;
  chance: number | null;
  low: number | null;
  high: number | null;
  draws: number | null;
};
/** How a score is read: its name, which way is better, and what it says. */
export type Reading = { label: string; better: "up" | "down" | "zero"; says: string };
export const READINGS: Record<string, Reading> = {
  deletion: {
    label: "Deletion",
    better: "down",
    says: "Area under the target's number while pixels go, largest first. Small: what the map marks was needed.",
  },
  insertion: {
    label: "Insertion",
    better: "up",
    says: "Area under the target's number while pixels come back, largest first. Large: what the map marks is enough.",
  },
  "inside-rank": {
    label: "Inside rank",
    better: "up",
    says: "Share of the highest pixels, as many as define the class, that lie on what defines the class.",
  },
  "inside-mass": {
    label: "Inside mass",
    better: "up",
    says: "Share of the positive map that lies on what defines the class.",
  },
  "pointing-game": {
    label: "Pointing game",
    better: "up",
    says: "Whether the highest pixel lies on what defines the class.",
  },
  infidelity: {
    label: "Infidelity",
    better: "down",
    says: "Squared difference between what the map predicts and what random removals do.",
  },
  "max-sensitivity": {
    label: "Max-sensitivity",
    better: "down",
    says: "Largest relative change of the map under small noise in the image.",
  },
  sparseness: {
    label: "Sparseness",
    better: "up",
    says: "Gini index of the absolute map: 0 is spread evenly, 1 is one pixel.",
  },
  "completeness-gap": {
    label: "Completeness gap",
    better: "zero",
    says: "Distance between the sum of the map and what it should add up to.",
  },
  randomisation: {
    label: "Randomisation",
    better: "zero",
    says: "Rank correlation with the map of the same network with random weights. Near zero: the map depends on what was learned.",
  },
};
/** The three that stand under every map; the others open on request. */
export const FIRST = ["deletion", "insertion", "inside-rank", "infidelity"];

export type Verdict = { passes: boolean; text: string } | null;
export type Evidence = {
  scores: Map<string, Score[]>;
  verdicts: Map<string, Verdict>;
  warnings: string;
  mapSeconds: number | null;
  facts: Record<string, string | number | boolean | null>;
};

export function readEvidence(set: ResultSet): Evidence | null {
  const card = set.results.find((r) => r.name === "evidence" && r.kind === "scorecard");
  if (!card) return null;
  const scores = new Map<string, Score[]>(),
    verdicts = new Map<string, Verdict>(),
    facts = (card.document.facts ?? {}) as Evidence["facts"];
  for (const s of card.document.scores ?? []) {
    if (s.value === null) continue;
    const list = scores.get(s.group) ?? [];
    list.push({
      name: s.name,
      value: s.value,
      unit: s.unit,
      chance: s.chance ?? null,
      low: s.chance_low ?? null,
      high: s.chance_high ?? null,
      draws: s.draws ?? null,
    });
    scores.set(s.group, list);
    const said = facts[`randomisation: ${s.group}`];
    verdicts.set(s.group, typeof said === "string" ? { passes: said.startsWith("passes"), text: said } : null);
  }
  const seconds = facts.map_seconds;
  return {
    scores,
    verdicts,
    warnings: String(facts.warnings ?? ""),
    mapSeconds: typeof seconds === "number" ? seconds : null,
    facts,
  };
}

/** Where a score lies against chance: inside the band nothing is shown. */
export function standing(s: Score): "better" | "worse" | "chance" | "unknown" {
  if (s.low === null || s.high === null) return "unknown";
  if (s.value >= s.low && s.value <= s.high) return "chance";
  const better = READINGS[s.name]?.better ?? "up";
  if (better === "zero") return "worse";
  return s.value > s.high === (better === "up") ? "better" : "worse";
}
/** Ends of the rule a score is drawn on: 0 to 1 where that holds everything, else what holds value and band. */
export function extent(s: Score): [number, number] {
  const all = [s.value, s.low ?? s.value, s.high ?? s.value, s.chance ?? s.value],
    low = Math.min(...all),
    high = Math.max(...all);
  if (low >= 0 && high <= 1 && s.unit !== "logits") return [0, 1];
  if (low >= -1 && high <= 1 && s.unit === "rank correlation") return [-1, 1];
  const room = (high - low || Math.abs(high) || 1) * 0.15;
  return [low >= 0 ? Math.min(0, low) : low - room, high + room];
}

export type Series = { y: Float32Array; low: Float32Array | null; high: Float32Array | null };
/** Spearman's rank correlation of two maps of one size, ties by their mean rank. */
export function rankCorrelation(a: ArrayLike<number>, b: ArrayLike<number>): number | null {
  if (a.length !== b.length || a.length < 2) return null;
  const x = meanRanks(a),
    y = meanRanks(b),
    m = (a.length + 1) / 2;
  let xy = 0,
    xx = 0,
    yy = 0;
  for (let i = 0; i < x.length; i++) {
    xy += (x[i] - m) * (y[i] - m);
    xx += (x[i] - m) ** 2;
    yy += (y[i] - m) ** 2;
  }
  return xx && yy ? xy / Math.sqrt(xx * yy) : null;
}
function meanRanks(v: ArrayLike<number>): Float64Array {
  const order = Uint32Array.from({ length: v.length }, (_, i) => i).sort((i, j) => v[i] - v[j]),
    out = new Float64Array(v.length);
  for (let i = 0; i < order.length;) {
    let j = i;
    while (j + 1 < order.length && v[order[j + 1]] === v[order[i]]) j++;
    for (let k = i; k <= j; k++) out[order[k]] = (i + j) / 2 + 1;
    i = j + 1;
  }
  return out;
}

/** Share of pixels that counts as the highest where two maps are compared. */
export const TOP = 0.05;
/** a / aUnit - b / bUnit, pixel by pixel. */
export function difference(a: ArrayLike<number>, b: ArrayLike<number>, aUnit: number, bUnit: number): Float32Array {
  return Float32Array.from({ length: a.length }, (_, i) => a[i] / aUnit - b[i] / bUnit);
}
/** Share of the highest pixels of one map that are among the highest of the other; equal values go by index. Chance is the share itself. */
export function topOverlap(a: ArrayLike<number>, b: ArrayLike<number>, share = TOP): number {
  const count = Math.max(1, Math.round(a.length * share));
  const top = (v: ArrayLike<number>): Set<number> =>
    new Set(
      Array.from({ length: v.length }, (_, i) => i)
        .sort((i, j) => v[j] - v[i] || i - j)
        .slice(0, count),
    );
  const one = top(a);
  let both = 0;
  for (const i of top(b)) if (one.has(i)) both++;
  return both / count;
}

/** A map before its evidence: 8-bit values of -127 to 127, as the event carries them. */
export type Preview = {
  maps: string;
  shape: [number, number, number];
  scale: number;
  targets: string[];
  signed: boolean;
};
export function previewValues(p: Preview): Float32Array {
  const bytes = atob(p.maps),
    out = new Float32Array(bytes.length);
  for (let i = 0; i < bytes.length; i++) {
    const v = bytes.charCodeAt(i);
    out[i] = ((v > 127 ? v - 256 : v) / 127) * p.scale;
  }
  return out;
}
