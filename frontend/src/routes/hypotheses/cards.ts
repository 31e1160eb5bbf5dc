/** What a card that is being written holds, and what it begins with. */
import type { Hypothesis, Reference, RunSubjects } from "~/lib/api/types";

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
