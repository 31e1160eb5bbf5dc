/** Where people are, and with whom they share what is private: the routes of docs/routes.md as functions. */
import { client, unwrap } from "./client";
import type * as T from "./types";

type S = AbortSignal | undefined;
const V = "/api/v1" as const;

export const putPresence = (body: { place?: T.Place | null; hidden?: boolean | null }) =>
  unwrap(client.PUT(`${V}/presence`, { body }));
export const permits = (subject: T.PermitSubject, subject_id: string, signal?: S) =>
  unwrap(client.GET(`${V}/permits`, { params: { query: { subject, subject_id } }, signal }));
export const setPermits = (subject: T.PermitSubject, subject_id: string, people: string[]) =>
  unwrap(client.PUT(`${V}/permits`, { body: { subject, subject_id, people } }));
export const publicShares = (signal?: S) =>
  unwrap(client.GET(`${V}/shares`, { params: { query: { visibility: "public" } }, signal })).then((r) => r.items);
export const usage = (signal?: S) => unwrap(client.GET(`${V}/session/usage`, { signal }));
