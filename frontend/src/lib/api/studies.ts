/** Studies: the routes of docs/routes.md as functions. */
import { client, credentials, fetchBytes, save, seg, unwrap, url } from "./client";
import type * as T from "./types";

type S = AbortSignal | undefined;
const V = "/api/v1/studies" as const;
const at = (s: T.Study) => ({ path: { id: s.id }, header: { "If-Match": `"${s.revision}"` } });

export const studies = (signal?: S) =>
  unwrap(client.GET(V, { params: { query: { limit: 200 } }, signal })).then((r) => r.items);
export const study = (id: string, signal?: S) => unwrap(client.GET(`${V}/{id}`, { params: { path: { id } }, signal }));
export type NewStudy = { name: string; instructions: string; design: T.StudyDesign };
export const makeStudy = (body: NewStudy) => unwrap(client.POST(V, { body }));
export const changeStudy = (s: T.Study, body: NewStudy) => unwrap(client.PATCH(`${V}/{id}`, { params: at(s), body }));
export const deleteStudy = (s: T.Study) => unwrap(client.DELETE(`${V}/{id}`, { params: at(s) }));
export const restoreStudy = (s: T.Study, revision: number) =>
  unwrap(client.POST(`${V}/{id}/restore`, { params: at(s), body: { revision } }));
export const prepareStudy = (s: T.Study) => unwrap(client.POST(`${V}/{id}/prepare`, { params: at(s) }));
export const openStudy = (s: T.Study) => unwrap(client.POST(`${V}/{id}/open`, { params: at(s) }));
export const closeStudy = (s: T.Study) => unwrap(client.POST(`${V}/{id}/close`, { params: at(s) }));
export const nextTask = (id: string) => unwrap(client.POST(`${V}/{id}/next`, { params: { path: { id } } }));
export type NewAnswer = { place: number; choice: number; confidence: number | null; milliseconds: number };
export const answerTask = (id: string, body: NewAnswer) =>
  unwrap(client.POST(`${V}/{id}/answers`, { params: { path: { id } }, body }));
export const results = (id: string, signal?: S) =>
  unwrap(client.GET(`${V}/{id}/results`, { params: { path: { id } }, signal }));
export const passage = (id: string, place: number, number: number, signal?: S) =>
  unwrap(client.GET(`${V}/{id}/tasks/{place}/passages/{number}`, { params: { path: { id, place, number } }, signal }));
/** Drawn by the server for this participant; the address says nothing of what it shows. */
export const picture = (id: string, place: number, number: number, size: number): string =>
  url(`/studies${seg(id)}/tasks${seg(place)}/pictures${seg(number)}`, { size, workspace: credentials.workspace });

export async function exportStudy(s: T.Study, what: "answers" | "summary", format: "csv" | "json"): Promise<void> {
  const target = url(`/studies${seg(s.id)}/export`, { what, format });
  const bytes = await fetchBytes(target, new AbortController().signal);
  const name = s.name.replace(/[^\p{L}\p{N}._-]+/gu, "-").slice(0, 60);
  save(new Blob([bytes]), `${name}-${what}.${format}`);
}
