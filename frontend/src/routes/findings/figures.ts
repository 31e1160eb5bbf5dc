/** What a frozen view shows, in words. */
import { quantile } from "~/lib/format";
import { clauses } from "~/lib/state/selection";
import type { Panel, ViewState } from "~/lib/api/types";

export function viewWords(s: ViewState, label = s.selected?.layer ?? ""): string {
  const of = [s.model, s.probe].filter(Boolean).join(" × ");
  if (s.screen === "explain" && s.explain.benchmark) return `Explain, the whole set: ${s.explain.benchmark}, ${of}.`;
  if (s.screen === "explain")
    return `Explain: ${s.explain.example ?? "an image"}, ${s.explain.methods.join(", ")}, ${of}.`;
  if (s.selected) return `Unit ${label} / ${s.selected.unit} of ${of}, q = ${quantile(s.quantile)}.`;
  const filters = clauses(s.selection) + (s.selection.brush ? 1 : 0);
  return `Browse: ${of}${filters ? `, with ${filters} ${filters === 1 ? "filter" : "filters"}` : ""}.`;
}

export const panelWords = (p: Panel): string =>
  p.kind === "exemplars" ? `exemplars of ${p.layer} / ${p.unit}` : `${p.item} of ${p.key.slice(0, 7)}`;
