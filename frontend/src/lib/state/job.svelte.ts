/** A question that is put while a screen is open: submitted when it changes, followed by events, read when it is done. */
import * as api from "~/lib/api/endpoints";
import type { ResultSet, Run, RunRequest } from "~/lib/api/types";
import { data } from "./data.svelte";
import { live } from "./live.svelte";
import { type Resource, resource } from "./resource.svelte";
import { view } from "./view.svelte";

/** What a run shows before it is complete; each screen knows the form of its own. */
export type Shown = { run: string; maps?: string };

const frozen = new Map<string, Promise<ResultSet[]>>();
/** The results that a share link froze. */
export function frozenResults(share: string): Promise<ResultSet[]> {
  let found = frozen.get(share);
  if (!found) {
    found = api
      .shared(share)
      .then((s) => Promise.all(s.frozen.keys.map((k) => api.result(k).catch(() => null))))
      .then((all) => all.filter((r): r is ResultSet => !!r));
    found.catch(() => frozen.delete(share));
    frozen.set(share, found);
  }
  return found;
}
export function answers(set: ResultSet, r: RunRequest): boolean {
  const same = (a: unknown, b: unknown): boolean => JSON.stringify(a ?? null) === JSON.stringify(b ?? null);
  return (
    set.method === r.method &&
    same(set.subjects.example, r.subjects.example) &&
    same(set.subjects.probe, r.subjects.probe) &&
    same(set.subjects.targets, r.subjects.targets) &&
    same(set.subjects.prompt, r.subjects.prompt) &&
    same(set.subjects.units, r.subjects.units) &&
    Object.entries(r.params ?? {}).every(([k, v]) => same(set.params[k], v))
  );
}

/** A request that is submitted when it changes, followed by events, and read when it is done. Call during component initialisation. */
export class Job {
  run = $state.raw<Run | null>(null);
  refused = $state.raw<Error | null>(null);
  /** What a share link froze, where it holds the answer: then nothing is computed. */
  found = $state.raw<ResultSet | null>(null);
  /** What the run shows before it is complete: drawn as partial, never exported. */
  preview = $state.raw<Shown | null>(null);
  private again = $state(0);
  readonly result: Resource<ResultSet>;
  constructor(request: () => RunRequest | null, wait = 150) {
    const text = $derived.by(() => {
      const r = request();
      return r ? JSON.stringify(r) : null;
    });
    $effect(() => {
      void this.again;
      const body = text;
      this.run = null;
      this.refused = null;
      this.found = null;
      this.preview = null;
      const share = view.share;
      if (!body) return;
      let gone = false,
        id: string | null = null;
      const early: Shown[] = []; // events may be faster than the answer to the request
      const hear = (p: Shown): void => {
        if (!p.maps) return;
        if (id === null) early.push(p);
        else if (p.run === id) this.preview = p;
      };
      const deaf = live.on("preview", hear);
      const timer = setTimeout(async () => {
        const kept = share
          ? await frozenResults(share).then(
              (all) => all.find((s) => answers(s, JSON.parse(body) as RunRequest)) ?? null,
              () => null,
            )
          : null;
        if (gone) return;
        if (kept) {
          this.found = kept;
          return;
        }
        api.submit(JSON.parse(body) as RunRequest).then(
          (r) => {
            id = r.id;
            early.forEach(hear);
            data.remember(r);
            if (gone) void abandon(r);
            else this.run = r;
          },
          (e: Error) => {
            if (!gone) this.refused = e;
          },
        );
      }, wait);
      return () => {
        gone = true;
        deaf();
        clearTimeout(timer);
        const r = data.runs.find((x) => x.id === id);
        if (r) void abandon(r);
      };
    });
    this.result = resource(
      () => (this.now?.state === "done" ? (this.now.keys[0] ?? null) : null),
      (k, s) => api.result(k, s),
      { keep: false },
    );
  }
  /** The run as the events tell it. */
  get now(): Run | null {
    const r = this.run;
    return r ? (data.runs.find((x) => x.id === r.id && (x.ended || !r.ended)) ?? r) : null;
  }
  get set(): ResultSet | null {
    return this.found ?? this.result.data;
  }
  get working(): boolean {
    return !this.found && !this.refused && (!this.now || this.now.state === "queued" || this.now.state === "running");
  }
  retry(): void {
    this.again += 1;
  }
}
/** Nobody waits for it any more: what still queues is taken out of the queue. */
async function abandon(run: Run): Promise<void> {
  if (run.state === "queued" || run.state === "running") await api.cancel(run.id).catch(() => undefined);
}
