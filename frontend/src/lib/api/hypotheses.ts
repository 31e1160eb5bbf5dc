/** Hypothesis cards: the routes of docs/routes.md as functions. */
import { client, fetchBytes, save, unwrap, url } from "./client";
import type * as T from "./types";

type S = AbortSignal | undefined;
const V = "/api/v1/hypotheses" as const;
const ifMatch = (revision: number) => ({ "If-Match": `"${revision}"` });

export const hypotheses = (query: { state?: T.HypothesisState; model?: string; cursor?: string }, signal?: S) =>
  unwrap(client.GET(V, { params: { query }, signal }));
export const makeHypothesis = (body: T.NewHypothesis) => unwrap(client.POST(V, { body }));
export const changeHypothesis = (h: T.Hypothesis, body: Omit<T.NewHypothesis, "visibility">) =>
  unwrap(client.PATCH(`${V}/{id}`, { params: { path: { id: h.id }, header: ifMatch(h.revision) }, body }));
export const deleteHypothesis = (h: T.Hypothesis) =>
  unwrap(client.DELETE(`${V}/{id}`, { params: { path: { id: h.id }, header: ifMatch(h.revision) } }));
export const restoreHypothesis = (h: T.Hypothesis, revision: number) =>
  unwrap(
    client.POST(`${V}/{id}/restore`, {
      params: { path: { id: h.id }, header: ifMatch(h.revision) },
      body: { revision },
    }),
  );
export const startHypothesis = (h: T.Hypothesis) =>
  unwrap(client.POST(`${V}/{id}/start`, { params: { path: { id: h.id }, header: ifMatch(h.revision) } }));
export const numbers = (method: string, model: string, signal?: S) =>
  unwrap(client.GET(`${V}/numbers`, { params: { query: { method, model } }, signal })).then((r) => r.items);

/** All cards as a file, written where downloads go. */
export async function exportHypotheses(format: "csv" | "json"): Promise<void> {
  const bytes = await fetchBytes(url("/hypotheses/export", { format }), new AbortController().signal);
  save(new Blob([bytes]), `hypotheses.${format}`);
}
