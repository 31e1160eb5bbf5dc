/** Search by meaning: labels and concepts in the order in which an encoder of texts, added like any model, finds them like what was typed. */
import * as api from "~/lib/api/endpoints";
import { conceptName, fixed } from "~/lib/format";
import { data } from "~/lib/state/data.svelte";
import { Job } from "~/lib/state/job.svelte";
import { view } from "~/lib/state/view.svelte";
import type { Hit, RunRequest } from "~/lib/api/types";

type Score = { name: string; value: number | null; chance: number | null };
/** Call during component initialisation. */
export class Meaning {
  private asked = $state.raw<{ q: string; request: RunRequest; known: Map<string, Hit> } | null>(null);
  private failed = $state.raw<Error | null>(null);
  private readonly job = new Job(() => this.asked?.request ?? null, 0);
  /** The model that would be asked; null where none is an encoder. */
  readonly encoder = $derived(data.models.data?.find((m) => m.task === "encode")?.slug ?? null);

  /** Everything that has a name: concepts of the dissection, and labels of units. */
  async ask(q: string): Promise<void> {
    const { model } = view.state,
      by = this.encoder;
    if (!by || !model) return;
    this.failed = null;
    const known = new Map<string, Hit>();
    const hit = (type: Hit["type"], title: string, more: Partial<Hit>): Hit => ({
      type,
      title,
      detail: "",
      layer: null,
      unit: null,
      slug: null,
      ...more,
    });
    for (const c of data.aggregate.data?.concepts ?? []) {
      const id = c.concept.includes(":") ? c.concept : `${c.category}:${c.concept}`;
      known.set(conceptName(id), hit("concept", id, { slug: id }));
    }
    try {
      const labels = await api.annotations({ model, kind: "label", limit: 500 });
      for (const a of labels.items)
        if (a.body && !known.has(a.body.slice(0, 500)))
          known.set(a.body.slice(0, 500), hit("unit", a.body, { layer: a.layer, unit: a.unit }));
    } catch (e) {
      this.failed = e as Error;
      return;
    }
    const request: RunRequest = {
      method: "text-similarity",
      subjects: { model: by },
      params: { query: q.slice(0, 500), texts: [...known.keys()] },
      priority: "interactive",
    };
    this.asked = { q, request, known };
  }
  /** What stands in the list for the question `q`: its hits, or what keeps them. */
  state(q: string): { hits: Hit[]; text: string } | null {
    if (this.failed) return { hits: [], text: this.failed.message };
    const asked = this.asked;
    if (!asked || asked.q !== q) return null;
    if (asked.known.size < 2) return { hits: [], text: "There are no labels or concepts to compare with yet." };
    const { job } = this;
    if (job.refused) return { hits: [], text: job.refused.message };
    if (job.now?.state === "failed") return { hits: [], text: job.now.error?.detail ?? "It failed." };
    if (!job.set) return { hits: [], text: `Comparing ${asked.known.size} labels and concepts.` };
    const scores = (job.set.results[0]?.document.scores ?? []) as Score[];
    return {
      text: "",
      hits: scores.flatMap((s) => {
        const found = asked.known.get(s.name);
        const detail = `likeness ${fixed(s.value ?? NaN, 2)}, any two ${fixed(s.chance ?? NaN, 2)}`;
        return found ? [{ ...found, detail }] : [];
      }),
    };
  }
}
