/** How cards are told to people. */
import { spell, tidy } from "~/lib/format";
import type { IconName } from "~/lib/icons";
import type { Hypothesis, HypothesisSide, HypothesisState, Reference } from "~/lib/api/types";

export const LOOK: Record<HypothesisState, { word: string; icon: IconName; cls: string }> = {
  draft: { word: "Not tested yet", icon: "note", cls: "off" },
  waiting: { word: "Being tested", icon: "clock", cls: "off" },
  supported: { word: "Supported", icon: "check", cls: "ok" },
  refuted: { word: "Refuted", icon: "cross", cls: "" },
  inconclusive: { word: "Inconclusive", icon: "minus", cls: "warn" },
  failed: { word: "Failed", icon: "alert", cls: "bad" },
};
export const STATES = Object.keys(LOOK) as HypothesisState[];

const what = (v: unknown): string =>
  v === null || v === undefined ? "" : typeof v === "object" ? JSON.stringify(v) : String(v);
/** What a run is put to, but for what test and control have in common. */
export function subjects(mine: Record<string, unknown>, other: Record<string, unknown>): string {
  const parts: string[] = [];
  for (const [role, value] of Object.entries(mine)) {
    if (what(value) === what(other[role])) continue;
    if (role === "units") {
      const u = value as { layer: string; indices: number[] };
      const there = other[role] as typeof u | undefined,
        list = `${u.indices.slice(0, 4).join(", ")}${u.indices.length > 4 ? " …" : ""}`;
      parts.push(
        there?.layer === u.layer ? `${u.indices.length === 1 ? "unit" : "units"} ${list}` : `${u.layer} / ${list}`,
      );
    } else parts.push(`${role} ${what(value)}`);
  }
  return parts.join(", ");
}
export function params(mine: Record<string, unknown>, other: Record<string, unknown>): string {
  const names = [...new Set([...Object.keys(mine), ...Object.keys(other)])].filter(
    (n) => what(mine[n]) !== what(other[n]),
  );
  return names.map((n) => `${n.replaceAll("_", " ")} ${what(mine[n]) || "as usual"}`).join(", ");
}
export const number = (r: Reference): string =>
  [
    r.group && r.group !== "total" ? r.group : null,
    r.name,
    r.row == null ? null : `${r.item === "units" ? "unit" : "row"} ${r.row}`,
    r.column == null ? null : spell(String(r.column).replaceAll("_", " ")),
  ]
    .filter((x) => x != null && x !== "")
    .join(", ");
/** What tells a side from the other, in few words. */
export function aside(h: Hypothesis, side: "test" | "control"): string {
  const own = side === "test" ? h.test : h.control,
    other = side === "test" ? h.control : h.test;
  const mine =
      (side === "control" ? (h.control.reference as Reference | undefined) : null) ?? (h.reference as Reference),
    theirs = (side === "test" ? (h.control.reference as Reference | undefined) : null) ?? (h.reference as Reference);
  return [
    subjects(own.subjects as Record<string, unknown>, other.subjects as Record<string, unknown>),
    params(own.params as Record<string, unknown>, other.params as Record<string, unknown>),
    JSON.stringify(mine) === JSON.stringify(theirs) ? "" : number(mine),
  ]
    .filter(Boolean)
    .join("; ");
}
export const value = (s: HypothesisSide): string =>
  s.measured ? `${tidy(s.measured.value)} ${s.measured.unit}`.trim() : "";
export const span = (a: number | null, b: number | null): string =>
  a === null || b === null ? "" : `${tidy(a)} to ${tidy(b)}`;
export function sentence(name: string, s: HypothesisSide): string {
  if (s.problem) return `${name}: no number. ${s.problem}`;
  if (!s.measured) return `${name}: not measured yet.`;
  const m = s.measured;
  const interval = span(m.low, m.high) && `, 95 % interval ${span(m.low, m.high)}`,
    chance = span(m.chance_low, m.chance_high)
      ? `, chance ${span(m.chance_low, m.chance_high)}${m.draws ? ` in ${m.draws} draws` : ""}`
      : m.chance !== null
        ? `, chance ${tidy(m.chance)}`
        : "";
  return `${name}: ${value(s)}${interval}${chance}; ${s.verdict === "passes" ? "passes" : s.verdict === "fails" ? "does not pass" : "the threshold lies within the interval"}.`;
}
