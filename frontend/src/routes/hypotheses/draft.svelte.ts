/** What a new card begins with, proposed by any screen. */
import { conceptName } from "~/lib/format";
import { data } from "~/lib/state/data.svelte";
import { view } from "~/lib/state/view.svelte";
import type { Hypothesis, Reference, RunSubjects, UnitDetail } from "~/lib/api/types";

export type Draft = {
  statement: string;
  prediction: string;
  method: string;
  test: RunSubjects;
  control: RunSubjects;
  params: Record<string, unknown>;
  controlParams: Record<string, unknown> | null;
  reference: Reference;
  controlReference: Reference | null;
  comparison: "above" | "below";
  threshold: number;
  interval: boolean;
};
export const TOTAL: Reference = {
  part: "",
  item: "effect",
  name: "all classes",
  group: "total",
  row: null,
  column: null,
};

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

/** A unit of the layer that is not this one, drawn anew each time. */
export function another(units: number, not: number): number {
  if (units < 2) return not;
  const drawn = Math.floor(Math.random() * (units - 1));
  return drawn < not ? drawn : drawn + 1;
}

/** Switching a unit off, against a random one of its layer. */
export function ablation(
  model: string,
  probe: string,
  layer: string,
  label: string,
  unit: number,
  units: number,
  concept: string,
): Draft {
  const of = (index: number): RunSubjects => ({ model, probe, units: { layer, indices: [index] } });
  return {
    statement: concept
      ? `Unit ${label} / ${unit} carries ${concept}.`
      : `Unit ${label} / ${unit} matters to the model.`,
    prediction:
      "Switching it off lowers accuracy by more than 1 point; switching off a random unit of the layer does not.",
    method: "ablate-units",
    test: of(unit),
    control: of(another(units, unit)),
    params: {},
    controlParams: null,
    reference: TOTAL,
    controlReference: null,
    comparison: "below",
    threshold: -1,
    interval: true,
  };
}

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

export const draftOf = (h: Hypothesis): Draft => ({
  statement: h.statement,
  prediction: h.prediction,
  method: String(h.test.method),
  test: h.test.subjects as RunSubjects,
  control: h.control.subjects as RunSubjects,
  params: h.test.params as Record<string, unknown>,
  controlParams:
    JSON.stringify(h.control.params) === JSON.stringify(h.test.params)
      ? null
      : (h.control.params as Record<string, unknown>),
  reference: h.reference as Reference,
  controlReference: (h.control.reference as Reference | undefined) ?? null,
  comparison: h.comparison,
  threshold: h.threshold,
  interval: h.interval,
});
