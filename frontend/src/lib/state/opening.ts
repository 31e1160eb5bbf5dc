/** Units that results name, and the way to them. */
import { data } from "./data.svelte";
import type { UnitRef } from "../api/types";
import { ui } from "./ui.svelte";
import { view } from "./view.svelte";

/** Beside what is looked at where it is of the same model, as a sheet on narrow screens; else on its own page. */
export function openUnit(model: string, unit: UnitRef): void {
  if (view.state.model !== model || view.route.name === "result") {
    view.go({ name: "unit", model, ...unit });
    return;
  }
  view.open(unit);
  ui.sheet = true;
}
/** The unit that a text begins with, as "h0.mlp/12 with colon", and the rest; null where it names none of the model at hand. */
export function unitIn(text: string, model: string): { unit: UnitRef; name: string; rest: string } | null {
  const found = /^(\S+)\/(\d+)(?=\s|$)/.exec(text);
  if (!found || view.state.model !== model) return null;
  const layer = data.atlas.data?.layers.find((l) => l.label === found[1] || l.name === found[1]);
  const index = Number(found[2]);
  return layer && index < layer.units
    ? { unit: { layer: layer.name, unit: index }, name: found[0], rest: text.slice(found[0].length) }
    : null;
}
