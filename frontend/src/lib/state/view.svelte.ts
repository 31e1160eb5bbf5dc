/** The selection store: what the person sees, kept in the address, with undo and redo. Every view emits into it and obeys it. */
import { credentials } from "../api/client";
import type { Selection, UnitRef, ViewState } from "../api/types";
import { History } from "./history";
import { type Route, emptySelection, emptyView, sameUnit, screenOf } from "./selection";
import { decode, encode } from "./url";

type Mark = { selection: Selection; pinned: UnitRef[] };

class View {
  state = $state.raw<ViewState>(emptyView());
  route = $state.raw<Route>({ name: "home" });
  private frozen = $state<string | null>(null);
  undoable = $state(false);
  redoable = $state(false);
  private history = new History<Mark>();

  start(): void {
    this.read();
    addEventListener("popstate", () => this.read());
  }
  /** The frozen view that is looked at; who is not signed in shows it with every request. */
  get share(): string | null {
    return this.frozen;
  }
  set share(id: string | null) {
    this.frozen = id;
    credentials.share = id;
  }
  private read(): void {
    const { route, view, share } = decode(location.pathname, location.search);
    const before = this.state;
    if (route.name === "home" || route.name === "result" || route.name === "runs") {
      view.model ??= before.model;
      view.probe ??= before.probe;
    }
    this.state = view;
    this.route = route;
    this.share = share;
    if (route.name === "shared") credentials.share = route.id;
  }
  private write(replace: boolean): void {
    const target = encode(this.route, this.state, this.share);
    if (target === location.pathname + location.search) return;
    history[replace ? "replaceState" : "pushState"](null, "", target);
  }
  /** Change anything. `replace` keeps the back button for steps that a person means as steps. */
  set(patch: Partial<ViewState>, replace = false): void {
    this.state = { ...this.state, ...patch };
    this.write(replace);
  }
  /** Change filters or brush: undoable. */
  select(patch: Partial<Selection>, replace = false): void {
    const next = { ...this.state.selection, ...patch };
    if (JSON.stringify(next) === JSON.stringify(this.state.selection)) return;
    this.remember();
    const table =
      "brush" in patch
        ? patch.brush
          ? "brushed"
          : this.state.table === "brushed"
            ? "filter"
            : this.state.table
        : this.state.table;
    this.set({ selection: next, table }, replace);
  }
  open(unit: UnitRef | null): void {
    if (sameUnit(unit, this.state.selected)) return;
    this.set({ selected: unit }, true);
  }
  pin(unit: UnitRef): void {
    this.remember();
    const has = this.state.pinned.some((u) => sameUnit(u, unit));
    this.set({
      pinned: has ? this.state.pinned.filter((u) => !sameUnit(u, unit)) : [...this.state.pinned, unit].slice(-50),
    });
  }
  reset(): void {
    this.select(emptySelection());
  }
  private remember(): void {
    this.history.push({ selection: this.state.selection, pinned: this.state.pinned });
    this.marks();
  }
  private marks(): void {
    this.undoable = this.history.canUndo;
    this.redoable = this.history.canRedo;
  }
  private step(mark: Mark | null): void {
    if (!mark) return;
    const table = !mark.selection.brush && this.state.table === "brushed" ? "filter" : this.state.table;
    this.set({ ...mark, table });
    this.marks();
  }
  undo(): void {
    this.step(this.history.undo({ selection: this.state.selection, pinned: this.state.pinned }));
  }
  redo(): void {
    this.step(this.history.redo({ selection: this.state.selection, pinned: this.state.pinned }));
  }

  /** A link to a screen was clicked: go there, unless the browser is asked for a tab or window of its own. */
  follow(e: MouseEvent, route: Route, patch: Partial<ViewState> = {}): void {
    if (e.ctrlKey || e.metaKey || e.shiftKey) return;
    e.preventDefault();
    this.go(route, patch);
  }
  /** Go to a screen. Browse and Explain are found again as they were left, for the same model and probe. */
  go(route: Route, patch: Partial<ViewState> = {}): void {
    const changed =
      ("model" in patch && patch.model !== this.state.model) || ("probe" in patch && patch.probe !== this.state.probe);
    if (changed) {
      this.history.clear();
      this.marks();
      this.share = null;
      patch = {
        selection: emptySelection(),
        selected: null,
        pinned: [],
        table: "filter",
        ...patch,
        explain: {
          ...this.state.explain,
          example: null,
          targets: [],
          against: null,
          unit: null,
          like: null,
          ...(patch.explain ?? {}),
        },
      };
    }
    const screen = screenOf(route);
    if (route.name === "unit")
      patch = { model: route.model, selected: { layer: route.layer, unit: route.unit }, ...patch };
    this.state = { ...this.state, ...patch, screen };
    this.route = route;
    this.write(false);
  }
  /** Open a frozen view: its state, and its results by the share's id. */
  adopt(state: ViewState, share: string): void {
    const blank = emptyView();
    this.state = {
      ...blank,
      ...state,
      selection: { ...blank.selection, ...state.selection },
      explain: { ...blank.explain, ...state.explain },
      language: { ...blank.language, ...state.language },
    };
    this.share = share;
    const s = this.state;
    this.route =
      s.screen === "unit" && s.model && s.selected
        ? { name: "unit", model: s.model, ...s.selected }
        : { name: s.screen === "unit" ? "browse" : s.screen };
    this.history.clear();
    this.marks();
    this.write(true);
  }
  thaw(): void {
    this.share = null;
    this.write(false);
  }
  link(route: Route, patch: Partial<ViewState> = {}): string {
    return encode(route, { ...this.state, ...patch }, this.share);
  }
}
export const view = new View();

/** Hover is shared by all views and never in the address. */
class Hover {
  unit = $state.raw<UnitRef | null>(null);
  concept = $state<string | null>(null);
  layer = $state<string | null>(null);
  clear(): void {
    this.unit = null;
    this.concept = null;
    this.layer = null;
  }
}
export const hover = new Hover();
