/** Threads, mentions and notifications: the routes of docs/routes.md as functions. */
import { client, unwrap } from "./client";
import type * as T from "./types";

type S = AbortSignal | undefined;
const V = "/api/v1" as const;
const ifMatch = (revision: number) => ({ "If-Match": `"${revision}"` });

export const comments = (subject: T.CommentSubject, subject_id: string, signal?: S) =>
  unwrap(client.GET(`${V}/comments`, { params: { query: { subject, subject_id, limit: 500 } }, signal })).then(
    (r) => r.items,
  );
export const say = (subject: T.CommentSubject, subject_id: string, body: string, parent: string | null) =>
  unwrap(client.POST(`${V}/comments`, { body: { subject, subject_id, body, parent } }));
export const unsay = (comment: T.Comment) =>
  unwrap(
    client.DELETE(`${V}/comments/{id}`, { params: { path: { id: comment.id }, header: ifMatch(comment.revision) } }),
  );
export const sayAgain = (comment: T.Comment, revision: number) =>
  unwrap(
    client.POST(`${V}/comments/{id}/restore`, {
      params: { path: { id: comment.id }, header: ifMatch(comment.revision) },
      body: { revision },
    }),
  );
export const notifications = (signal?: S) =>
  unwrap(client.GET(`${V}/notifications`, { params: { query: { limit: 30 } }, signal }));
export const readAll = () => unwrap(client.POST(`${V}/notifications/read`, { body: { ids: null } }));
export const votes = (subject: T.VoteSubject, ids: string[], signal?: S) =>
  unwrap(client.GET(`${V}/votes`, { params: { query: { subject, subject_id: ids } }, signal })).then(
    (r) => new Map(r.items.map((v) => [v.subject_id, v])),
  );
export const vote = (subject: T.VoteSubject, subject_id: string, value: -1 | 0 | 1) =>
  unwrap(client.PUT(`${V}/votes`, { body: { subject, subject_id, value } }));
