/** What is about to be added to a finding: a view to freeze, and numbers to choose from. Any screen proposes; one dialog adds. */
import * as api from "~/lib/api/endpoints";
import { data } from "~/lib/state/data.svelte";
import { ui } from "~/lib/state/ui.svelte";
import { view } from "~/lib/state/view.svelte";
import type { Evidence, NewEvidence, NewFigure, Panel, Result, ResultSet, UnitDetail } from "~/lib/api/types";
import type { CardScore } from "~/views/scores";

export type Offer = { row: NewEvidence; value: number; unit: string; chosen: boolean };
export type Proposal = { what: string; figure: NewFigure | null; offers: Offer[]; title: string };

class Adding {
  proposal = $state.raw<Proposal | null>(null);
  begin(p: Proposal): void {
    this.proposal = p;
    ui.dialog = "add-to-finding";
  }
}
export const adding = new Adding();

/** Numbers of a scorecard, those chosen first that stand for the whole. */
export function scoresOf(set: ResultSet, result: Result, group: Evidence["group"], chosen: number): Offer[] {
  const scores = ((result.document.scores ?? []) as CardScore[]).filter((s) => s.value !== null);
  return scores.map((s, i) => ({
    row: {
      group,
      test: `${result.document.title || set.method}: ${s.group && s.group !== "all" && s.group !== "total" ? `${s.group}, ` : ""}${s.name}`.slice(
        0,
        300,
      ),
      key: set.key,
      reference: { part: "", item: result.name, name: s.name, group: s.group || null, row: null, column: null },
    },
    value: s.value as number,
    unit: s.unit,
    chosen: i < chosen,
  }));
}

/** A result as a figure, with its numbers to choose from. */
export function proposeResult(set: ResultSet, result: Result): void {
  adding.begin({
    what: String(result.document.title || result.name),
    title: "",
    figure: { caption: "", panels: [{ kind: "result", key: set.key, item: result.name }] },
    offers: result.kind === "scorecard" ? scoresOf(set, result, "other", 0) : [],
  });
}

/** A unit: its exemplars as a figure, how well it fits its best concept, and what switching it off does, if that was computed. */
export async function proposeUnit(d: UnitDetail): Promise<void> {
  const at = { layer: d.layer, unit: d.unit };
  // the page of a unit may be ready before the atlas is
  const atlas = data.atlas.data ?? (data.at ? await api.atlas(data.at).catch(() => null) : null);
  const key = atlas?.layers.find((l) => l.name === d.layer)?.key ?? null;
  const panels: Panel[] = [{ kind: "exemplars", ...at }],
    offers: Offer[] = [];
  const concept = d.row.concept?.split(":").pop() ?? "";
  if (key && d.row.iou !== null && concept)
    offers.push({
      row: {
        group: "predictive",
        test: `IoU with ${concept}, unit ${d.label} / ${d.unit}`,
        key,
        reference: { part: d.layer, item: "units", name: null, group: null, row: d.unit, column: "best_iou" },
      },
      value: d.row.iou ?? 0,
      unit: "",
      chosen: true,
    });
  const ablation =
    d.ablation?.key ??
    data.runs.find(
      (r) =>
        r.method === "ablate-units" &&
        r.state === "done" &&
        JSON.stringify(r.subjects.units) === JSON.stringify({ layer: d.layer, indices: [d.unit] }),
    )?.keys[0];
  if (ablation) {
    const set = await api.result(ablation).catch(() => null),
      card = set?.results.find((r) => r.kind === "scorecard");
    if (set && card) {
      panels.push({ kind: "result", key: set.key, item: card.name });
      const scores = scoresOf(set, card, "causal", 0).sort((a, b) => Math.abs(b.value) - Math.abs(a.value));
      offers.push(...scores.map((o, i) => ({ ...o, chosen: i === 0 })));
    }
  }
  adding.begin({
    what: `unit ${d.label} / ${d.unit}`,
    title: concept ? `Unit ${d.label} / ${d.unit} responds to ${concept}` : "",
    figure: { state: { ...view.state, screen: "unit", selected: at }, caption: "", panels },
    offers,
  });
}

/** The screen as it is; on Explain with the maps that are shown and done. */
export async function proposeView(): Promise<void> {
  const s = view.state,
    e = s.explain,
    panels: Panel[] = [];
  let offers: Offer[] = [];
  if (s.screen === "explain") {
    const wanted = e.benchmark ? [e.benchmark] : e.methods;
    const done = wanted
      .map((m) =>
        data.runs.find(
          (r) =>
            r.method === m &&
            r.state === "done" &&
            (e.benchmark ? r.subjects.probe === s.probe : r.subjects.example === e.example) &&
            r.subjects.model === s.model,
        ),
      )
      .filter((r) => r !== undefined)
      .slice(0, 4);
    for (const set of await Promise.all(done.map((r) => api.result(r.keys[0]).catch(() => null)))) {
      if (!set) continue;
      const drawn = set.results.find((r) => ["image-map", "map-set", "scorecard"].includes(r.kind));
      if (drawn) panels.push({ kind: "result", key: set.key, item: drawn.name });
      for (const card of set.results.filter((r) => r.kind === "scorecard"))
        offers.push(...scoresOf(set, card, "other", 0));
    }
    offers = offers.slice(0, 200);
  } else if (s.screen === "unit" && s.selected) panels.push({ kind: "exemplars", ...s.selected });
  const figure: NewFigure = view.share ? { share: view.share, caption: "", panels } : { state: s, caption: "", panels };
  adding.begin({ what: "this view", title: "", figure, offers });
}
