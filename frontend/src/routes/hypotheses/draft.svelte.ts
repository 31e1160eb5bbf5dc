/** What a new card begins with, proposed by any screen. */
import { conceptName } from "~/lib/format";
import { data } from "~/lib/state/data.svelte";
import { view } from "~/lib/state/view.svelte";
import type { Hypothesis, UnitDetail } from "~/lib/api/types";
import { ablation, type Draft } from "./cards";

class Drafts {
  /** The card that is being written; null when no form is open. */
  now = $state.raw<Draft | null>(null);
  /** The card that is being changed, if it is none that is new. */
  of = $state.raw<Hypothesis | null>(null);
  begin(draft: Draft, of: Hypothesis | null = null): void {
    this.now = draft;
    this.of = of;
    if (view.route.name !== "hypotheses") view.go({ name: "hypotheses" });
  }
  end(): void {
    this.now = null;
    this.of = null;
  }
}
export const drafts = new Drafts();

export function proposeHypothesis(d: UnitDetail): void {
  const layer = data.atlas.data?.layers.find((l) => l.name === d.layer);
  const concept = d.row.detector && d.row.concept ? conceptName(d.row.concept) : "";
  drafts.begin(ablation(d.model, data.at?.probe ?? "", d.layer, d.label, d.unit, layer?.units ?? 0, concept));
}

/** A card to begin with when no unit is at hand: the first unit of the last layer. */
export function plainDraft(): Draft {
  const model = view.state.model ?? data.models.data?.[0]?.slug ?? "",
    probe = view.state.probe ?? data.probes.data?.[0]?.slug ?? "",
    layer = data.atlas.data?.layers.at(-1);
  const draft = ablation(model, probe, layer?.name ?? "", layer?.label ?? "", 0, layer?.units ?? 2, "");
  return { ...draft, statement: "", prediction: "" };
}
