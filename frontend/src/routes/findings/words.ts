/** The words and icons of a finding's state, and how its numbers are written. */
import { fixed, signed, tidy } from "~/lib/format";
import type { Evidence, Finding, FindingState } from "~/lib/api/types";
import type { IconName } from "~/lib/icons";

export const STATES: Record<
  FindingState,
  { word: string; tone: "ok" | "warn" | "bad" | "off"; icon: IconName; says: string }
> = {
  fresh: {
    word: "Not checked yet",
    tone: "off",
    icon: "info",
    says: "Weights, data and methods are as they were. Nobody has computed it again.",
  },
  checking: { word: "Being checked", tone: "off", icon: "clock", says: "Everything it rests on is computed again." },
  verified: {
    word: "Verified",
    tone: "ok",
    icon: "check",
    says: "Everything was computed again and agrees within the tolerance.",
  },
  changed: {
    word: "Changed since",
    tone: "warn",
    icon: "clock",
    says: "Something it was made with is not what it was.",
  },
  differs: {
    word: "Differs",
    tone: "bad",
    icon: "alert",
    says: "Computed again, a number lies outside the tolerance.",
  },
  failed: {
    word: "Could not be checked",
    tone: "warn",
    icon: "alert",
    says: "Not everything could be computed again.",
  },
  deleted: { word: "Deleted", tone: "off", icon: "trash", says: "It can be restored from its history." },
};
export const GROUPS: { id: Evidence["group"]; word: string }[] = [
  { id: "predictive", word: "Predictive" },
  { id: "causal", word: "Causal" },
  { id: "control", word: "Control" },
  { id: "replication", word: "Replication" },
  { id: "other", word: "Other" },
];
export const groupWord = (id: Evidence["group"]): string => GROUPS.find((g) => g.id === id)?.word ?? id;
export const AUDIENCE: { id: Finding["visibility"]; word: string }[] = [
  { id: "private", word: "only me, and whom I name" },
  { id: "workspace", word: "members of this workspace" },
  { id: "link", word: "anybody with the link" },
  { id: "public", word: "everybody, and listed" },
];

type Numbered = { unit: string };
/** A number of the evidence, with its sign where it is a change. */
export function number(row: Numbered, x: number | null | undefined): string {
  if (x === null || x === undefined) return "\u2013";
  if (row.unit.includes("point")) return signed(x, 1);
  const size = Math.abs(x);
  return size !== 0 && (size < 0.001 || size >= 1000) ? tidy(x) : size >= 100 ? fixed(x, 0) : fixed(x, 3);
}
export const interval = (row: Evidence): string =>
  row.low !== null && row.high !== null ? `${number(row, row.low)} to ${number(row, row.high)}` : "\u2013";
export const chance = (row: Evidence): string =>
  row.chance_low !== null && row.chance_high !== null
    ? `${number(row, row.chance_low)} to ${number(row, row.chance_high)}`
    : row.chance !== null
      ? number(row, row.chance)
      : "\u2013";

/** Rows of one unit share one scale, from the least to the most that any of them shows, zero included. */
export function scaleOf(rows: Evidence[], unit: string): [number, number] {
  const ends = rows
    .filter((r) => r.unit === unit)
    .flatMap((r) => [r.value, r.low, r.high, r.chance, r.chance_low, r.chance_high, 0])
    .filter((x): x is number => x !== null);
  const low = Math.min(...ends),
    high = Math.max(...ends);
  return [low, high > low ? high : low + 1];
}
/** True if the value lies where chance alone would put it. */
export const byChance = (r: Evidence): boolean =>
  r.chance_low !== null && r.chance_high !== null && r.value >= r.chance_low && r.value <= r.chance_high;
