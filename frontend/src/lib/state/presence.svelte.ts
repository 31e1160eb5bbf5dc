/** Who is where: what this window tells of itself, and what the others told. A place is a screen, never what somebody writes there. */
import { putPresence } from "../api/live";
import type { Here, Place, UnitRef } from "../api/types";
import { data } from "./data.svelte";
import { live } from "./live.svelte";
import { me } from "./me.svelte";
import type { Route } from "./selection";
import { ui } from "./ui.svelte";
import { view } from "./view.svelte";

/** Milliseconds between two tellings. */
const PAUSE = 2000;
const NAMES: Record<string, string> = {
  home: "Home",
  browse: "Browse",
  explain: "Explain",
  labels: "Labels",
  "label-set": "a label set",
  runs: "Runs",
  result: "a result",
  shared: "a frozen view",
  account: "Account",
  team: "Team",
};

class Presence {
  hidden = $state(false);
  private said = "";
  private sentAt = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;

  /** Everybody else who is here. */
  get others(): Here[] {
    return data.people.filter((p) => p.id !== me.person?.id);
  }
  /** Those who look at units of the model that I look at. */
  get beside(): Here[] {
    return this.others.filter((p) => p.place?.layer != null && p.place.model === view.state.model);
  }
  at(ref: UnitRef): Here[] {
    return this.beside.filter((p) => p.place?.layer === ref.layer && p.place.unit === ref.unit);
  }
  /** What stands on the flags of the units that others look at: up to two initials, then how many more. */
  flags(find: (u: UnitRef) => number): { i: number; initials: string }[] {
    const at = new Map<number, string[]>();
    for (const p of this.beside) {
      const i = find({ layer: p.place!.layer!, unit: p.place!.unit! });
      if (i >= 0) at.set(i, [...(at.get(i) ?? []), p.initials]);
    }
    return [...at].map(([i, who]) => ({
      i,
      initials: who.length > 2 ? `${who[0]} +${who.length - 1}` : who.join(" "),
    }));
  }

  start(): void {
    $effect.root(() => {
      $effect(() => {
        void this.place;
        if (me.person) this.soon();
      });
    });
    // A stream was opened, maybe at another server process: it knows nothing of where I am.
    live.on("presence", (told: { all: boolean }) => {
      if (told.all) {
        this.said = "";
        this.soon();
      }
    });
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) {
        this.said = "";
        this.soon();
      }
    });
  }

  private get place(): Place {
    const s = view.state,
      route = view.route,
      blank = { model: null, probe: null, layer: null, unit: null, subject: null };
    if (view.share || route.name === "shared") return { ...blank, screen: "shared" };
    const of = { ...blank, model: s.model, probe: s.probe };
    switch (route.name) {
      case "browse":
        return { ...of, screen: "browse", layer: s.selected?.layer ?? null, unit: s.selected?.unit ?? null };
      case "unit":
        return { ...of, screen: "unit", model: route.model, layer: route.layer, unit: route.unit };
      case "explain":
      case "language":
        return { ...of, screen: route.name };
      case "label-set":
        return { ...blank, screen: "label-set", subject: route.id };
      case "result":
        return { ...blank, screen: "result", subject: route.key };
      default:
        return { ...blank, screen: route.name };
    }
  }
  private soon(): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.tell(), Math.max(0, this.sentAt + PAUSE - Date.now()));
  }
  private async tell(): Promise<void> {
    const place = this.place,
      text = JSON.stringify(place);
    if (document.hidden || !me.person || text === this.said) return;
    this.said = text;
    this.sentAt = Date.now();
    try {
      this.hidden = (await putPresence({ place })).hidden;
    } catch {
      this.said = ""; // it is told with the next move, or when the stream is back
    }
  }
  async hide(hidden: boolean): Promise<void> {
    try {
      this.hidden = (await putPresence({ hidden })).hidden;
    } catch (e) {
      ui.fail(e);
    }
  }

  /** "stage3.1 / 42", or the name of a screen. */
  where(p: Here): string {
    const place = p.place;
    if (!place) return "here";
    if (place.layer != null && place.unit != null) {
      const known = place.model === view.state.model;
      const label = known ? data.atlas.data?.layers.find((l) => l.name === place.layer)?.label : undefined;
      return `on ${known ? "" : `${place.model} / `}${label ?? place.layer} / ${place.unit}`;
    }
    return `in ${NAMES[place.screen] ?? place.screen.replaceAll("-", " ")}`;
  }
  go(p: Here): void {
    const place = p.place;
    if (!place) return;
    const of = {
      ...(place.model ? { model: place.model } : {}),
      ...(place.probe ? { probe: place.probe } : {}),
    };
    const unit = place.layer != null && place.unit != null ? { layer: place.layer, unit: place.unit } : null;
    if (place.screen === "unit" && place.model && unit)
      view.go({ name: "unit", model: place.model, ...unit }, place.probe ? { probe: place.probe } : {});
    else if (place.screen === "browse") view.go({ name: "browse" }, unit ? { ...of, selected: unit } : of);
    else if (place.screen === "explain") view.go({ name: "explain" }, of);
    else if (place.screen === "label-set" && place.subject) view.go({ name: "label-set", id: place.subject });
    else if (place.screen === "result" && place.subject) view.go({ name: "result", key: place.subject });
    else if (["home", "labels", "runs", "team"].includes(place.screen)) view.go({ name: place.screen } as Route);
  }
  /** Whether a click leads somewhere. */
  open(p: Here): boolean {
    return (
      !!p.place &&
      ["home", "browse", "unit", "explain", "labels", "label-set", "runs", "result", "team"].includes(p.place.screen)
    );
  }
}
export const presence = new Presence();
