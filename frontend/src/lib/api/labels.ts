/** Label sets, their queue, answers and decisions: the routes of docs/routes.md as functions. */
import { client, fetchBytes, save, unwrap, url } from "./client";
import type * as T from "./types";

type S = AbortSignal | undefined;
const V = "/api/v1/label-sets" as const;
const ifMatch = (revision: number) => ({ "If-Match": `"${revision}"` });
type Show = "all" | "mine-open" | "mine-done" | "open" | "disputed" | "settled";

export const labelSets = (model: string | null, signal?: S) =>
  unwrap(client.GET(V, { params: { query: { model, limit: 200 } }, signal })).then((r) => r.items);
export const labelSet = (id: string, signal?: S) =>
  unwrap(client.GET(`${V}/{id}`, { params: { path: { id } }, signal }));
export type NewLabelSet = {
  name: string;
  model: string;
  probe: string;
  question: string;
  schema: T.AnswerSchema;
  raters: number;
  blind: boolean;
  selection: T.Selection;
};
export const makeLabelSet = (body: NewLabelSet) => unwrap(client.POST(V, { body }));
export const changeLabelSet = (set: T.LabelSet, body: { closed?: boolean; name?: string }) =>
  unwrap(client.PATCH(`${V}/{id}`, { params: { path: { id: set.id }, header: ifMatch(set.revision) }, body }));
export const deleteLabelSet = (set: T.LabelSet) =>
  unwrap(client.DELETE(`${V}/{id}`, { params: { path: { id: set.id }, header: ifMatch(set.revision) } }));
export const restoreLabelSet = (set: T.LabelSet, revision: number) =>
  unwrap(
    client.POST(`${V}/{id}/restore`, {
      params: { path: { id: set.id }, header: ifMatch(set.revision) },
      body: { revision },
    }),
  );
export const next = (id: string, order: T.QueueOrder, skip: T.UnitRef | null) =>
  unwrap(client.POST(`${V}/{id}/next`, { params: { path: { id } }, body: { order, skip } }));
export const labelUnits = (id: string, show: Show, cursor: string | null, signal?: S) =>
  unwrap(client.GET(`${V}/{id}/units`, { params: { path: { id }, query: { show, cursor, limit: 100 } }, signal }));
export const labelProgress = (id: string, signal?: S) =>
  unwrap(client.GET(`${V}/{id}/progress`, { params: { path: { id } }, signal }));
export const agreement = (id: string, answers: "independent" | "present" | undefined, signal?: S) =>
  unwrap(client.GET(`${V}/{id}/agreement`, { params: { path: { id }, query: { answers } }, signal }));
export const assign = (id: string, person: string, units: T.UnitRef[] | null, assigned: boolean) =>
  unwrap(client.POST(`${V}/{id}/assignments`, { params: { path: { id } }, body: { person, units, assigned } }));
export const rate = (id: string, ref: T.UnitRef, answer: T.Answer) =>
  unwrap(client.POST(`${V}/{id}/ratings`, { params: { path: { id } }, body: { ...ref, answer } }));
export const rerate = (rating: T.Rating, answer: T.Answer) =>
  unwrap(
    client.PATCH("/api/v1/ratings/{id}", {
      params: { path: { id: rating.id }, header: ifMatch(rating.revision) },
      body: { answer },
    }),
  );
export const undoRating = (rating: T.Rating) =>
  unwrap(
    client.POST("/api/v1/ratings/{id}/undo", {
      params: { path: { id: rating.id }, header: ifMatch(rating.revision) },
    }),
  );
export const settle = (id: string, ref: T.UnitRef, answer: T.Answer, reason: string) =>
  unwrap(client.POST(`${V}/{id}/decisions`, { params: { path: { id } }, body: { ...ref, answer, reason } }));

export type FileFormat = "csv" | "json" | "parquet";
/** The label set as a file, written where downloads go. */
export async function exportSet(set: T.LabelSet, format: FileFormat, style = "microtome", mine = false): Promise<void> {
  const at = url(`/label-sets/${encodeURIComponent(set.id)}/export`, { format, style, mine: mine ? "true" : null });
  const bytes = await fetchBytes(at, new AbortController().signal);
  const name = set.name.replace(/[^\p{L}\p{N}._-]+/gu, "-").slice(0, 60);
  save(new Blob([bytes]), `${name}${style === "microtome" ? "" : `-${style}`}${mine ? "-mine" : ""}.${format}`);
}
export const importSet = (file: File) =>
  unwrap(
    client.POST(`${V}/import`, {
      body: { file: file as unknown as string },
      bodySerializer: () => {
        const form = new FormData();
        form.set("file", file);
        return form;
      },
    }),
  );
