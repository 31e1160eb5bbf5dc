/** What Language holds while it is open: the prompt as it is typed and as it is asked about, and its tokens. */
import { untrack } from "svelte";
import * as api from "~/lib/api/endpoints";
import { floats } from "~/lib/api/client";
import type { LanguageState, Method, Result, ResultSet, RunRequest, Tokens } from "~/lib/api/types";
import { data } from "~/lib/state/data.svelte";
import { type Resource, resource } from "~/lib/state/resource.svelte";
import { view } from "~/lib/state/view.svelte";

export function patch(change: Partial<LanguageState>, replace = true): void {
  view.set({ language: { ...view.state.language, ...change } }, replace);
}
/** Characters of a prompt, as the server has it. */
const LONGEST = 20_000;
/** Call during component initialisation. */
export class Prompt {
  /** What stands in the editor. */
  draft = $state("");
  readonly tokens: Resource<Tokens>;
  private timer: ReturnType<typeof setTimeout> | undefined;
  constructor() {
    // The address may change by itself: another link, undo, a text that was taken from the probe data. Typing alone is no such change.
    $effect(() => {
      const asked = view.state.language.prompt ?? "";
      untrack(() => {
        if (asked === this.draft) return;
        clearTimeout(this.timer);
        this.draft = asked;
      });
    });
    this.tokens = resource(
      () =>
        view.state.model && data.reads && this.draft && !this.over
          ? { model: view.state.model, text: this.draft }
          : null,
      (k, s) => api.promptTokens(k.model, k.text, s),
      { wait: 120 },
    );
  }
  /** Asked about once nobody has typed for a moment. */
  type(text: string): void {
    this.draft = text;
    clearTimeout(this.timer);
    this.refused = 0;
    if (this.over) return;
    this.timer = setTimeout(() => patch({ prompt: text || null, position: null }), 600);
  }
  take(text: string): void {
    clearTimeout(this.timer);
    this.draft = text;
    patch({ prompt: text || null, position: null }, false);
  }
  /** Characters that are too many. Nothing is asked about such a text, and nothing of it is cut off unseen. */
  get over(): number {
    return Math.max(0, this.draft.length - LONGEST);
  }
  /** Characters of a text that was pasted or dropped and not taken: a browser stands still over megabytes in an editor. */
  refused = $state(0);
  /** True if a text that comes in one piece is taken. */
  takes(text: string): boolean {
    this.refused = text.length > LONGEST ? text.length : 0;
    return !this.refused;
  }
  /** The answer on the screen is about what stands in the editor. */
  get settled(): boolean {
    return this.draft === (view.state.language.prompt ?? "");
  }
  /** Place among the text's own tokens. */
  get position(): number {
    const last = (this.tokens.data?.tokens.length ?? 1) - 1;
    return Math.min(last, view.state.language.position ?? last);
  }
}
/** A question about the prompt at hand, or of the model alone; null while there is no prompt for one that needs it. */
export function ask(
  method: string,
  params: Record<string, unknown> = {},
  subjects: Partial<RunRequest["subjects"]> = {},
  prompt = true,
): RunRequest | null {
  const { model, language } = view.state;
  if (!model || !data.reads || (prompt && !language.prompt)) return null;
  const read = prompt ? { prompt: language.prompt ?? undefined } : {};
  return { method, subjects: { model, ...read, ...subjects }, params, priority: prompt ? "interactive" : "batch" };
}
/** A question that another screen wants put in Language, with its parameters. */
export const wanted = $state<{ question: { method: string; params: Record<string, unknown> } | null }>({
  question: null,
});
export const named = (set: ResultSet | null, name: string): Result | null =>
  set?.results.find((r) => r.name === name) ?? null;
export const array = (result: Result | null, name: string): Promise<Float32Array> | null => {
  const ref = result?.arrays[name];
  return ref ? floats(api.blobUrl(ref.sha256)) : null;
};
/** The largest size of a unit's activation on its exemplars: what colours are measured by, so that a small value looks small. */
export const scaleOf = (): Resource<number> =>
  resource(
    () =>
      data.at &&
      view.state.selected &&
      data.atlas.data?.layers.some((x) => x.computed && x.name === view.state.selected?.layer)
        ? { at: data.at, unit: view.state.selected }
        : null,
    (k, s) => api.snippets(k.at, k.unit, { count: 1, context: 0, band: "top" }, s).then((r) => r.most),
    { keep: false },
  );
/** Methods with a pane or a screen of their own. */
const OWN = new Set([
  "token-activations",
  "prompt-units",
  "logit-lens",
  "generate",
  "dissection",
  "unit-map",
  "exemplars",
  "activation-statistics",
]);
const FINDING = ["pattern-units", "promoting-units"];
export type Group = { title: string; methods: Method[] };
/** Everything else that can be asked of a model that reads, by what it is about. */
export function questions(methods: Method[]): Group[] {
  const all = methods
    .filter((m) => m.modalities.includes("text") && m.folder !== "text_attribution" && !OWN.has(m.id))
    .filter((m) => m.subject.every((s) => ["model", "prompt", "units", "probe"].includes(s)))
    .sort((a, b) => a.title.localeCompare(b.title));
  const about = (m: Method): string =>
    FINDING.includes(m.id)
      ? "Find units"
      : m.subject.includes("prompt")
        ? "About this prompt"
        : m.subject.includes("units")
          ? "About the selected unit"
          : "About the whole model";
  return ["About this prompt", "Find units", "About the selected unit", "About the whole model"]
    .map((title) => ({ title, methods: all.filter((m) => about(m) === title) }))
    .filter((g) => g.methods.length);
}
