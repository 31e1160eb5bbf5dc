/** One unit as the Inspector and the unit page show it: its detail, its threshold, its maps, what people wrote about it. */
import * as api from "~/lib/api/endpoints";
import { floats } from "~/lib/api/client";
import type { Annotation, ConceptTable, UnitDetail, UnitRef } from "~/lib/api/types";
import { data } from "~/lib/state/data.svelte";
import { type Resource, resource } from "~/lib/state/resource.svelte";
import { view } from "~/lib/state/view.svelte";

export class Unit {
  readonly detail: Resource<UnitDetail>;
  readonly notes: Resource<Annotation[]>;
  private readonly moved: Resource<ConceptTable>;
  private readonly raw: Resource<Float32Array>;
  /** Index on the grid while the slider moves; the address follows when it rests. */
  private dragged = $state<number | null>(null);
  /** Id of the note whose pin was clicked. */
  pointed = $state<string | null>(null);
  /** A stretch of a text that somebody wants to write a note about. */
  proposed = $state.raw<NonNullable<Annotation["anchor"]> | null>(null);

  constructor(readonly ref: () => UnitRef | null) {
    const at = (): { at: api.At; ref: UnitRef } | null => {
      const r = ref();
      return data.at && r ? { at: data.at, ref: { layer: r.layer, unit: r.unit } } : null;
    };
    const stamp = (): string | null => {
      const r = ref();
      return data.atlas.data?.layers.find((l) => l.name === r?.layer)?.key ?? null;
    };
    this.detail = resource(
      () => {
        const k = at();
        return k ? { ...k, stamp: stamp() } : null;
      },
      (k, s) => api.unit(k.at, k.ref, s),
    );
    this.notes = resource(
      () => {
        const k = at();
        return k ? { ...k, n: data.annotated } : null;
      },
      (k, s) =>
        api
          .annotations({ model: k.at.model, layer: k.ref.layer, unit: k.ref.unit, limit: 200 }, s)
          .then((p) => p.items),
    );
    this.raw = resource(
      () => this.detail.data?.exemplars?.maps?.url ?? null,
      (u) => floats(u),
      { keep: false },
    );
    this.moved = resource(
      () => {
        const k = at();
        return k && this.d && this.isMoved ? { ...k, q: this.quantile } : null;
      },
      (k, s) => api.unitConcepts(k.at, k.ref, k.q, s),
      { wait: 60 },
    );
  }
  /** The detail, once it belongs to the unit that is asked for. */
  get d(): UnitDetail | null {
    const d = this.detail.data,
      r = this.ref();
    return d && r && d.layer === r.layer && d.unit === r.unit ? d : null;
  }
  get grid(): number[] {
    return this.detail.data?.grid ?? [];
  }
  get index(): number {
    if (this.dragged !== null) return this.dragged;
    let best = 0;
    this.grid.forEach((q, i) => {
      if (Math.abs(q - view.state.quantile) < Math.abs(this.grid[best] - view.state.quantile)) best = i;
    });
    return best;
  }
  get quantile(): number {
    return this.grid[this.index] ?? view.state.quantile;
  }
  /** Null where imported results have none. */
  get threshold(): number | null {
    return this.detail.data?.thresholds[this.index] ?? null;
  }
  get isMoved(): boolean {
    const d = this.detail.data;
    return !!d && Math.abs(this.quantile - d.concepts.quantile) > 1e-9;
  }
  get table(): ConceptTable | null {
    return this.isMoved ? this.moved.data : (this.d?.concepts ?? null);
  }
  get tableCurrent(): boolean {
    return !this.isMoved || (this.moved.current && !this.moved.loading);
  }
  get tableError(): Error | null {
    return this.isMoved ? this.moved.error : null;
  }
  get mapsReady(): boolean {
    return this.raw.data !== null;
  }
  private slices = new Map<number, Float32Array>();
  private of: Float32Array | null = null;
  /** The native map of one slot; the same view object each time, so that its upsampled field is kept. */
  map(slot: number): Float32Array | null {
    const all = this.raw.data,
      shape = this.detail.data?.exemplars?.maps?.shape;
    if (!all || !shape) return null;
    if (this.of !== all) {
      this.slices = new Map();
      this.of = all;
    }
    const n = shape[1] * shape[2];
    let slice = this.slices.get(slot);
    if (!slice) {
      slice = all.subarray(slot * n, (slot + 1) * n);
      this.slices.set(slot, slice);
    }
    return slice;
  }
  move(index: number): void {
    this.dragged = Math.max(0, Math.min(this.grid.length - 1, index));
  }
  rest(): void {
    if (this.dragged !== null && this.grid.length) {
      view.set({ quantile: this.grid[this.dragged] }, true);
      this.dragged = null;
    }
  }
  nudge(by: number): void {
    this.move(this.index + by);
    this.rest();
  }
  /** Notes about a region of an image, in the order of their numbers. */
  get anchored(): Annotation[] {
    return this.written("note")
      .filter((a) => a.anchor)
      .sort((a, b) => a.created.localeCompare(b.created));
  }
  written(kind: Annotation["kind"]): Annotation[] {
    return (this.notes.data ?? []).filter(
      (a) => a.kind === kind && !a.deleted && a.layer === this.ref()?.layer && a.unit === this.ref()?.unit,
    );
  }
}
export const bandName = (b: string): string =>
  ({ top: "Top", random: "Random", lowest: "Lowest", negative: "Negative" })[b] ?? b.replace(/^q[:_ ]?/, "q ");
