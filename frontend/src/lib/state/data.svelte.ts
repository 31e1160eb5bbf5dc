/** What several panes draw from: the lists, the atlas of the chosen pair, the map, and the aggregate of the selection. */
import { credentials } from "../api/client";
import * as api from "../api/endpoints";
import type { Aggregate, Atlas, Method, Model, ModelDetail, Here, Probe, Run, Session, System } from "../api/types";
import { loadMap } from "../api/map";
import type { MapPoints } from "../api/points";
import { live } from "./live.svelte";
import { type Resource, resource } from "./resource.svelte";
import { view } from "./view.svelte";

class Data {
  session!: Resource<Session>;
  system!: Resource<System>;
  models!: Resource<Model[]>;
  probes!: Resource<Probe[]>;
  methods!: Resource<Method[]>;
  detail!: Resource<ModelDetail>;
  atlas!: Resource<Atlas>;
  map!: Resource<MapPoints>;
  aggregate!: Resource<Aggregate>;
  runs = $state.raw<Run[]>([]);
  people = $state.raw<Here[]>([]);
  /** Grows when an annotation changed somewhere; what shows labels reads it. */
  annotated = $state(0);
  /** Grows when a label set or an answer changed somewhere. */
  labelled = $state(0);
  /** Grows when a hypothesis or a study changed somewhere. */
  tested = $state(0);
  /** Grows when a finding or its check changed somewhere. */
  found = $state(0);
  /** Grows when somebody said something, and when I was told of something. */
  talked = $state(0);
  /** Grows when somebody let me see something, or does not any more. */
  permitted = $state(0);
  notified = $state(0);

  private waiting: { ids: Set<string>; then: () => void }[] = [];
  /** Do something once all these runs are done; forget it if one of them fails. */
  whenDone(runs: Run[], then: () => void): void {
    const open = runs.filter((r) => r.state !== "done").map((r) => r.id);
    if (open.length) this.waiting.push({ ids: new Set(open), then });
    else then();
  }
  private settleWaiting(run: Run): void {
    for (const w of [...this.waiting]) {
      if (!w.ids.delete(run.id)) continue;
      if (run.state !== "done" || w.ids.size === 0) this.waiting = this.waiting.filter((x) => x !== w);
      if (run.state === "done" && w.ids.size === 0) w.then();
    }
  }
  /** Dissect, and make the map of units when that is done. */
  async dissect(model: string, probe: string): Promise<void> {
    const run = await api.submit({ method: "dissection", subjects: { model, probe }, priority: "batch" });
    this.remember(run);
    this.atlas.reload();
    this.models.reload();
    this.whenDone(
      [run],
      () =>
        void api.submit({ method: "unit-map", subjects: { model, probe }, priority: "batch" }).then(
          (r) => this.remember(r),
          () => undefined,
        ),
    );
  }

  /** Model and probe as the routes want them; null until both are known. */
  get at(): api.At | null {
    const { model, probe } = view.state;
    // Who this is comes first: the token that a query by POST carries comes with it.
    return this.session.data && model && probe ? { model, probe, ...(view.share ? { share: view.share } : {}) } : null;
  }
  /** Somebody is known to the server, or a frozen view is looked at: only then there is anything to read. */
  get inside(): boolean {
    return !!this.session.data?.person || (this.session.data !== null && credentials.share !== null);
  }
  /** What the chosen model takes. Somebody who only has a link knows that model and no list. */
  get modality(): "image" | "text" {
    const slug = view.state.model,
      detail = this.detail.data;
    const model = detail?.slug === slug ? detail : this.models.data?.find((m) => m.slug === slug);
    return model?.modality ?? "image";
  }
  /** The chosen model reads texts. */
  get reads(): boolean {
    return this.modality === "text";
  }
  /** What an example of the chosen pair is, and what its places are. */
  get words(): { example: string; examples: string; places: string } {
    return this.reads
      ? { example: "text", examples: "texts", places: "tokens" }
      : { example: "image", examples: "images", places: "positions" };
  }
  private get member(): true | null {
    return this.session.data?.person ? true : null;
  }
  get active(): Run[] {
    return this.runs.filter((r) => r.state === "running" || r.state === "queued");
  }
  get browsing(): boolean {
    return view.route.name === "browse";
  }

  start(): void {
    $effect.root(() => {
      this.session = resource(
        () => true,
        (_, s) => api.session(s),
      );
      this.system = resource(
        () => this.member,
        (_, s) => api.system(s),
      );
      this.models = resource(
        () => this.member,
        (_, s) => api.models(s),
      );
      this.probes = resource(
        () => this.member,
        (_, s) => api.probes(s),
      );
      this.methods = resource(
        () => this.inside || null,
        (_, s) => api.methods(s),
      );
      this.detail = resource(
        () => view.state.model,
        (m, s) => api.model(m, s),
        { keep: false },
      );
      this.atlas = resource(
        () =>
          ["browse", "unit", "explain", "language", "labels", "label-set"].includes(view.route.name) ? this.at : null,
        (at, s) => api.atlas(at, s),
      );
      const drawn = (): boolean => !!this.atlas.data && this.atlas.data.layers.some((l) => l.computed);
      const stamp = (): string =>
        this.atlas.data ? `${this.atlas.data.map?.key} ${this.atlas.data.layers.map((l) => l.key ?? "").join()}` : "";
      this.map = resource(
        () => (this.browsing && this.at && drawn() ? { at: this.at, stamp: stamp() } : null),
        (k, s) =>
          loadMap(
            k.at,
            s,
            (points) => this.map.set(points),
            () => this.map.reload(),
          ),
      );
      this.aggregate = resource(
        () =>
          this.browsing && this.at && drawn()
            ? { at: this.at, selection: view.state.selection, stamp: stamp(), notes: this.annotated }
            : null,
        (k, s) => api.aggregate(k.at, k.selection, s),
      );
      this.choose();
      let begun = false;
      $effect(() => {
        if (!this.member || begun) return;
        begun = true;
        this.readRuns();
        live.start();
      });
    });
    this.listen();
    // Workers come and go without an event; a missing worker or server is looked for more often.
    let beat = 0;
    setInterval(() => {
      beat += 1;
      const well = live.state === "live" && this.system.data?.workers.some((w) => w.state !== "lost");
      if (!document.hidden && (!well || beat % 4 === 0)) this.system.reload();
    }, 3000);
  }

  /** A screen that needs a model and a probe gets the likeliest ones, unless the address names them. */
  private choose(): void {
    $effect(() => {
      const models = this.models.data,
        probes = this.probes.data,
        s = view.state;
      if (!models?.length || !probes?.length || view.route.name === "shared" || (s.model && s.probe)) return;
      const asked = probes.find((p) => p.slug === s.probe)?.modality;
      const model =
        models.find((m) => m.slug === s.model) ??
        models.find((m) => m.dissection && m.dissection.state !== "none" && m.modality === (asked ?? m.modality)) ??
        models.find((m) => m.modality === (asked ?? m.modality)) ??
        models[0];
      const fitting = probes.find((p) => p.modality === model.modality) ?? probes[0];
      const probe = s.probe ?? model.dissection?.probe ?? fitting.slug;
      view.set({ model: s.model ?? model.slug, probe }, true);
    });
  }

  private listen(): void {
    let later: ReturnType<typeof setTimeout> | undefined;
    const settle = (): void => {
      clearTimeout(later);
      later = setTimeout(() => {
        this.models.reload();
        this.system.reload();
        this.atlas.reload();
      }, 250);
    };
    live.on("run", (run: Run) => {
      const known = this.runs.find((r) => r.id === run.id);
      this.runs = known ? this.runs.map((r) => (r.id === run.id ? run : r)) : [run, ...this.runs];
      if (run.ended) this.settleWaiting(run);
      const parts = (r: Run | undefined): string => (r ? r.state + r.parts.filter((p) => p.done).length : "");
      if (parts(known) !== parts(run)) settle();
    });
    live.on("model", () => {
      this.models.reload();
      this.system.reload();
      settle();
    });
    live.on("probe", () => {
      this.probes.reload();
      this.system.reload();
    });
    live.on("annotation", () => {
      this.annotated += 1;
    });
    for (const kind of ["label-set", "rating", "ratings", "assignment", "decision"] as const)
      live.on(kind, () => {
        this.labelled += 1;
      });
    for (const kind of ["hypothesis", "study"] as const)
      live.on(kind, () => {
        this.tested += 1;
      });
    for (const kind of ["finding", "finding-check"] as const)
      live.on(kind, () => {
        this.found += 1;
      });
    for (const kind of ["comment", "vote"] as const)
      live.on(kind, () => {
        this.talked += 1;
      });
    live.on("notification", () => {
      this.notified += 1;
    });
    live.on("presence", (told: { all: boolean; people: Here[]; gone: string[] }) => {
      const away = new Set([...told.gone, ...told.people.map((p) => p.id)]);
      this.people = [...(told.all ? [] : this.people.filter((p) => !away.has(p.id))), ...told.people].sort((a, b) =>
        a.name.localeCompare(b.name),
      );
    });
    live.on("permit", () => {
      this.annotated += 1;
      this.permitted += 1;
    });
    live.on("resync", () => {
      for (const r of [
        this.session,
        this.system,
        this.models,
        this.probes,
        this.methods,
        this.atlas,
        this.map,
        this.aggregate,
      ])
        r.reload();
      this.readRuns();
      this.annotated += 1;
      this.labelled += 1;
      this.talked += 1;
      this.tested += 1;
      this.found += 1;
      this.notified += 1;
    });
  }
  private readRuns(): void {
    void api.runs({ limit: 100 }).then(
      (page) => {
        this.runs = page.items;
      },
      () => undefined,
    );
  }
  /** A run submitted here is known before its first event. */
  remember(run: Run): void {
    if (!this.runs.some((r) => r.id === run.id)) this.runs = [run, ...this.runs];
  }
}
export const data = new Data();
