/** The routes of docs/routes.md as functions. Paths, parameters and bodies are checked against the generated schema. */
import { BASE, client, credentials, seg, unwrap, url } from "./client";
import type * as T from "./types";

type S = AbortSignal | undefined;
const V = "/api/v1" as const;
const ifMatch = (revision: number) => ({ "If-Match": `"${revision}"` });

/** Whoever answers as the session brings the token that later writes carry. */
const entered = (session: T.Session): T.Session => {
  credentials.csrf = session.csrf;
  // The one that was chosen last may be mine no longer: the server says which one it took instead.
  if (credentials.workspace) credentials.workspace = session.workspace;
  return session;
};
export const session = (signal?: S) => unwrap(client.GET(`${V}/session`, { signal })).then(entered);
export const rename = (name: string) => unwrap(client.PATCH(`${V}/session`, { body: { name } })).then(entered);
export const system = (signal?: S) => unwrap(client.GET(`${V}/system`, { signal }));

export const models = (signal?: S) => unwrap(client.GET(`${V}/models`, { signal })).then((r) => r.items as T.Model[]);
export const model = (model: string, signal?: S) =>
  unwrap(client.GET(`${V}/models/{model}`, { params: { path: { model } }, signal })) as Promise<T.ModelDetail>;
export const addModel = (source: string, name: string, key: string) =>
  unwrap(client.POST(`${V}/models`, { body: { source, name: name || null }, headers: { "Idempotency-Key": key } }));
export const removeModel = (model: string, results: "keep" | "drop") =>
  unwrap(client.DELETE(`${V}/models/{model}`, { params: { path: { model }, query: { results } } }));
export const probes = (signal?: S) => unwrap(client.GET(`${V}/probes`, { signal })).then((r) => r.items as T.Probe[]);
export const probe = (probe: string, signal?: S) =>
  unwrap(client.GET(`${V}/probes/{probe}`, { params: { path: { probe } }, signal })) as Promise<T.ProbeDetail>;
export const addProbe = (source: string, name: string, key: string) =>
  unwrap(client.POST(`${V}/probes`, { body: { source, name: name || null }, headers: { "Idempotency-Key": key } }));
export const removeProbe = (probe: string, results: "keep" | "drop") =>
  unwrap(client.DELETE(`${V}/probes/{probe}`, { params: { path: { probe }, query: { results } } }));
export type ExamplesQuery = {
  label?: number;
  subset?: "all" | "correct" | "wrong";
  model?: string;
  order?: "index" | "confidence";
  cursor?: string;
  limit?: number;
};
export const examples = (probe: string, query: ExamplesQuery, signal?: S) =>
  unwrap(client.GET(`${V}/probes/{probe}/examples`, { params: { path: { probe }, query }, signal }));
export const example = (probe: string, index: number, model: string | undefined, signal?: S) =>
  unwrap(
    client.GET(`${V}/probes/{probe}/examples/{index}`, {
      params: { path: { probe, index }, query: { model } },
      signal,
    }),
  );
/** With `model`, what that model sees: resized and cropped, which is what its maps cover. */
export const imageUrl = (probe: string, index: number, size: number, model?: string | null) =>
  url("/probes" + seg(probe, "examples", index, "image"), { size, model: model ?? undefined });
export const uploadUrl = (sha: string, size?: number, model?: string | null) =>
  url("/uploads" + seg(sha, "image"), { size, model: model ?? undefined });
export const upload = (file: File) =>
  unwrap(
    client.POST(`${V}/uploads`, {
      body: { file: file as unknown as string },
      bodySerializer: () => {
        const form = new FormData();
        form.set("file", file);
        return form;
      },
    }),
  );

export const methods = (signal?: S) =>
  unwrap(client.GET(`${V}/methods`, { signal })).then((r) => r.items as T.Method[]);
export const submit = (body: T.RunRequest) => unwrap(client.POST(`${V}/runs`, { body })) as Promise<T.Run>;
export const estimate = (body: T.RunRequest, signal?: S) => unwrap(client.POST(`${V}/runs/estimate`, { body, signal }));
export const runs = (
  query: { limit?: number; cursor?: string; model?: string; method?: string; state?: T.RunState },
  signal?: S,
) => unwrap(client.GET(`${V}/runs`, { params: { query }, signal }));
export const run = (id: string, signal?: S) =>
  unwrap(client.GET(`${V}/runs/{id}`, { params: { path: { id } }, signal }));
export const cancel = (id: string) => unwrap(client.POST(`${V}/runs/{id}/cancel`, { params: { path: { id } } }));
export const result = (key: string, signal?: S) =>
  unwrap(client.GET(`${V}/results/{key}`, { params: { path: { key } }, signal })) as Promise<T.ResultSet>;
export const rows = (
  key: string,
  name: string,
  query: { offset?: number; limit?: number; sort?: string; descending?: boolean },
  signal?: S,
) => unwrap(client.GET(`${V}/results/{key}/{name}/rows`, { params: { path: { key, name }, query }, signal }));
export const exportUrl = (key: string, name: string, format: string) =>
  url("/results" + seg(key, name, "export"), { format });
export const blobUrl = (sha: string) => BASE + "/blobs" + seg(sha);

export type At = { model: string; probe: string; share?: string };
export const atlas = (query: At, signal?: S) => unwrap(client.GET(`${V}/atlas`, { params: { query }, signal }));
export const mapHead = (query: At, signal?: S) => unwrap(client.GET(`${V}/units/map`, { params: { query }, signal }));
export const aggregate = (at: At, selection: T.Selection, signal?: S) =>
  unwrap(client.POST(`${V}/units/aggregate`, { body: { ...at, selection }, signal }));
export const units = (body: T.UnitsQuery, signal?: S) => unwrap(client.POST(`${V}/units/query`, { body, signal }));
const here = (at: At, ref: T.UnitRef) => ({ model: at.model, layer: ref.layer, unit: ref.unit });
export const unit = (at: At, ref: T.UnitRef, signal?: S) =>
  unwrap(
    client.GET(`${V}/units/{model}/{layer}/{unit}`, {
      params: { path: here(at, ref), query: { probe: at.probe, share: at.share } },
      signal,
    }),
  ) as Promise<T.UnitDetail>;
export const unitConcepts = (at: At, ref: T.UnitRef, quantile: number, signal?: S) =>
  unwrap(
    client.GET(`${V}/units/{model}/{layer}/{unit}/concepts`, {
      params: { path: here(at, ref), query: { probe: at.probe, share: at.share, quantile } },
      signal,
    }),
  );
export const similar = (at: At, ref: T.UnitRef, signal?: S) =>
  unwrap(
    client.GET(`${V}/units/{model}/{layer}/{unit}/similar`, {
      params: { path: here(at, ref), query: { probe: at.probe, share: at.share } },
      signal,
    }),
  );
/** Units that have an example among their exemplars. */
export const driven = (at: At, example: number, cursor: string | null, signal?: S) =>
  unwrap(client.GET(`${V}/units/driven`, { params: { query: { ...at, example, cursor, limit: 24 } }, signal }));
/** Exemplars of a unit that reads, as tokens around its strongest place. */
export const snippets = (
  at: At,
  ref: T.UnitRef,
  query: { count: number; context: number; band?: string; key?: string },
  signal?: S,
) =>
  unwrap(
    client.GET(`${V}/units/{model}/{layer}/{unit}/snippets`, {
      params: { path: here(at, ref), query: { probe: at.probe, share: at.share, ...query } },
      signal,
    }),
  );
export const exampleTokens = (probe: string, index: number, model: string, signal?: S) =>
  unwrap(
    client.GET(`${V}/probes/{probe}/examples/{index}/tokens`, {
      params: { path: { probe, index }, query: { model } },
      signal,
    }),
  );
export const promptTokens = (model: string, text: string, signal?: S) =>
  unwrap(client.POST(`${V}/models/tokens`, { body: { model, text }, signal }));
export const stripUrl = (at: At, ref: T.UnitRef, count: number, size: number, key?: string | null) =>
  url("/units" + seg(at.model, ref.layer, ref.unit, "strip"), {
    probe: at.probe,
    share: at.share,
    count,
    size,
    scale: 2,
    key,
  });

export const annotations = (
  query: { model?: string; layer?: string; unit?: number; kind?: T.AnnotationKind; cursor?: string; limit?: number },
  signal?: S,
) => unwrap(client.GET(`${V}/annotations`, { params: { query }, signal }));
export const annotate = (body: T.NewAnnotation) => unwrap(client.POST(`${V}/annotations`, { body }));
/** With `anchor` left out the region stays as it is. */
export const revise = (id: string, body: string, revision: number, anchor?: T.Anchor | null) =>
  unwrap(
    client.PATCH(`${V}/annotations/{id}`, {
      params: { path: { id }, header: ifMatch(revision) },
      body: anchor === undefined ? { body } : { body, anchor },
    }),
  );
export const retract = (id: string, revision: number) =>
  unwrap(client.DELETE(`${V}/annotations/{id}`, { params: { path: { id }, header: ifMatch(revision) } }));
export const restore = (id: string, to: number, revision: number) =>
  unwrap(
    client.POST(`${V}/annotations/{id}/restore`, {
      params: { path: { id }, header: ifMatch(revision) },
      body: { revision: to },
    }),
  );
export const history = (id: string, signal?: S) =>
  unwrap(client.GET(`${V}/annotations/{id}/history`, { params: { path: { id } }, signal })).then((r) => r.items);

export const savedSelections = (model?: string, signal?: S) =>
  unwrap(client.GET(`${V}/selections`, { params: { query: { model } }, signal })).then(
    (r) => r.items as T.SavedSelection[],
  );
export const saveSelection = (
  name: string,
  model: string,
  probe: string,
  selection: T.Selection,
  visibility: "private" | "workspace",
) => unwrap(client.POST(`${V}/selections`, { body: { name, model, probe, selection, visibility } }));
export const dropSelection = (id: string) =>
  unwrap(client.DELETE(`${V}/selections/{id}`, { params: { path: { id } } }));
export const share = (
  state: T.ViewState,
  visibility: Exclude<T.Share["visibility"], "finding">,
  title: string | null = null,
) => unwrap(client.POST(`${V}/shares`, { body: { state, visibility, title } }));
export const shared = (id: string, signal?: S) =>
  unwrap(client.GET(`${V}/shares/{id}`, { params: { path: { id } }, signal })) as Promise<T.SharedView>;
export const revoke = (id: string) => unwrap(client.DELETE(`${V}/shares/{id}`, { params: { path: { id } } }));
export const search = (q: string, at: Partial<At>, signal?: S) =>
  unwrap(client.GET(`${V}/search`, { params: { query: { q, model: at.model, probe: at.probe } }, signal })).then(
    (r) => r.items,
  );
