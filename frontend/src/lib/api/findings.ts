/** Findings, their checks and exports: the routes of docs/routes.md as functions. */
import { client, unwrap, url } from "./client";
import type * as T from "./types";

type S = AbortSignal | undefined;
const V = "/api/v1/findings" as const;
const ifMatch = (revision: number) => ({ "If-Match": `"${revision}"` });

export const findings = (query: { model?: string; deleted?: boolean; cursor?: string; limit?: number }, signal?: S) =>
  unwrap(client.GET(V, { params: { query }, signal }));
export const finding = (id: string, revision: number | null, signal?: S) =>
  unwrap(
    client.GET(`${V}/{id}`, { params: { path: { id }, query: { revision } }, signal }),
  ) as unknown as Promise<T.Finding>;
export const makeFinding = (body: T.NewFinding) =>
  unwrap(client.POST(V, { body: body as never })) as unknown as Promise<T.Finding>;
export const changeFinding = (f: { id: string; revision: number }, body: Partial<T.NewFinding>) =>
  unwrap(
    client.PATCH(`${V}/{id}`, { params: { path: { id: f.id }, header: ifMatch(f.revision) }, body: body as never }),
  ) as unknown as Promise<T.Finding>;
export const deleteFinding = (f: { id: string; revision: number }) =>
  unwrap(
    client.DELETE(`${V}/{id}`, { params: { path: { id: f.id }, header: ifMatch(f.revision) } }),
  ) as unknown as Promise<T.Finding>;
export const restoreFinding = (f: { id: string; revision: number }, to: number) =>
  unwrap(
    client.POST(`${V}/{id}/restore`, {
      params: { path: { id: f.id }, header: ifMatch(f.revision) },
      body: { revision: to },
    }),
  ) as unknown as Promise<T.Finding>;
export const findingHistory = (id: string, signal?: S) =>
  unwrap(client.GET(`${V}/{id}/history`, { params: { path: { id } }, signal })).then((r) => r.items);
export const checkFinding = (id: string) => unwrap(client.POST(`${V}/{id}/check`, { params: { path: { id } } }));
export const exportUrl = (id: string, format: string, revision?: number) =>
  url(`/findings/${encodeURIComponent(id)}/export`, { format, revision });
export const figureUrl = (id: string, number: number, format: string, revision?: number) =>
  url(`/findings/${encodeURIComponent(id)}/figures/${number}`, { format, revision });
