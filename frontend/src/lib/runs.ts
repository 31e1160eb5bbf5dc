/** How a run is told to people. The five words of DESIGN.md and no others. */
import type { Run } from "./api/types";
import { capital, count, plural, seconds } from "./format";
import type { IconName } from "./icons";

export type Told = { share: number; short: string; text: string };
export const runTitle = (run: Run): string => run.title || capital(run.method.replaceAll("-", " "));

export function progress(run: Run): Told {
  const p = run.progress;
  if (run.state === "queued") {
    const place = run.place !== null && run.place > 1 ? `number ${run.place} in the queue` : "next in the queue";
    return { share: 0, short: place, text: `queued, ${place}` };
  }
  if (run.state !== "running")
    return { share: 1, short: run.state, text: run.error ? `${run.state}: ${run.error.title}` : run.state };
  if (!p || !p.total) return { share: 0, short: "starting", text: "running, starting" };
  const share = p.done / p.total;
  const left = p.eta_seconds !== null ? `${seconds(p.eta_seconds)} left` : "";
  const what = `${count(p.done)} of ${count(p.total)} ${p.what}`.trim();
  return {
    share,
    short: [`${Math.round(share * 100)} %`, left].filter(Boolean).join(", "),
    text: [what, left].filter(Boolean).join(", "),
  };
}
export const STATE_LOOK: Record<Run["state"], { cls: string; icon: IconName | null }> = {
  queued: { cls: "off", icon: "clock" },
  running: { cls: "", icon: null },
  done: { cls: "ok", icon: "check" },
  failed: { cls: "bad", icon: "alert" },
  cancelled: { cls: "off", icon: "stop" },
};
/** What a run was put to, in one line: model / layer / unit, probe, example. */
export function subjectsText(subjects: Record<string, unknown>): string {
  const s = subjects as {
    model?: unknown;
    probe?: unknown;
    layers?: string[];
    units?: { layer: string; indices: number[] };
    example?: string;
    source?: string;
  };
  const name = (x: unknown): string =>
    typeof x === "string"
      ? x
      : x && typeof x === "object"
        ? String((x as { slug?: string; name?: string }).slug ?? (x as { name?: string }).name ?? "")
        : "";
  const parts = [
    name(s.model),
    s.units &&
      `${s.units.layer} / ${s.units.indices.length > 3 ? plural(s.units.indices.length, "unit") : s.units.indices.join(", ")}`,
  ]
    .filter(Boolean)
    .join(" / ");
  const more = [
    name(s.probe) && `× ${name(s.probe)}`,
    s.layers?.length && plural(s.layers.length, "layer"),
    s.example,
    s.source,
  ]
    .filter(Boolean)
    .join(", ");
  return more.startsWith("×") ? `${parts} ${more}` : [parts, more].filter(Boolean).join(", ");
}
export const cost = (s: number | null | undefined): string =>
  s === null || s === undefined ? "" : s < 1 ? ", under 1 s" : `, about ${seconds(s)}`;
