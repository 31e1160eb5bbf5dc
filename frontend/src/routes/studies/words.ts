/** How studies are told to people. */
import { plural } from "~/lib/format";
import type { Study } from "~/lib/api/types";

export const KIND: Record<Study["kind"], { title: string; says: string }> = {
  "guess-label": {
    title: "Guess the concept",
    says: "People see exemplars of a unit and say which concept they have in common.",
  },
  "forward-simulation": {
    title: "Predict the model",
    says: "People see an image, with its explanation or without, and say what the model answers.",
  },
  "better-model": {
    title: "Pick the better model",
    says: "People see maps of two models for the same image and say which model is more accurate.",
  },
};
export function stateOf(s: Study): string {
  if (s.state !== "draft") return s.state;
  if (!s.preparation) return "draft";
  if (s.preparation.step === "ready") return "ready to open";
  return s.preparation.step === "failed" ? "cannot be prepared" : "being prepared";
}
export const size = (s: Study): string =>
  `${plural(s.places, "task")} each, ${plural(s.conditions.length, "condition")}: ${s.conditions.join(", ")}`;
