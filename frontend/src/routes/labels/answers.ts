/** Answers in words, and what a fresh schema of each kind holds. */
import { tidy } from "~/lib/format";
import type { Answer, AnswerSchema, Region } from "~/lib/api/types";

export const KINDS: { type: AnswerSchema["type"]; label: string; says: string }[] = [
  { type: "text", label: "Free text", says: "A short description in one's own words." },
  { type: "choice", label: "Choice", says: "From a fixed vocabulary." },
  { type: "scale", label: "Scale", says: "A number between two named ends." },
  { type: "yes-no", label: "Yes or no", says: "One question." },
  { type: "region", label: "Region", says: "A place on one of the exemplars." },
];

export const isRegion = (a: Answer): a is Region => typeof a === "object" && !Array.isArray(a);

/** An answer as it is read. */
export function words(answer: Answer | null | undefined): string {
  if (answer === null || answer === undefined) return "–";
  if (typeof answer === "boolean") return answer ? "yes" : "no";
  if (typeof answer === "number") return tidy(answer);
  if (typeof answer === "string") return answer;
  if (Array.isArray(answer)) return answer.join(", ") || "none of them";
  return `a region of image ${answer.example}`;
}

/** Whether something has been put in that can be sent. */
export function complete(schema: AnswerSchema, answer: Answer | null): boolean {
  if (answer === null) return false;
  if (schema.type === "text") return typeof answer === "string" && answer.trim().length > 0;
  return true;
}
