/** Changing what somebody wrote: If-Match always, and a conflict is shown, never overwritten. */
import { Problem } from "~/lib/api/client";
import * as api from "~/lib/api/endpoints";
import type { Anchor, Annotation } from "~/lib/api/types";

export type Conflict = { mine: string; theirs: Annotation };
export async function change(
  a: Annotation,
  body: string,
  anchor?: Anchor | null,
): Promise<{ done: Annotation } | { conflict: Conflict }> {
  try {
    return { done: await api.revise(a.id, body, a.revision, anchor) };
  } catch (e) {
    if (e instanceof Problem && e.status === 412 && e.current)
      return { conflict: { mine: body, theirs: e.current as Annotation } };
    throw e;
  }
}
/** Both texts, each once. */
export const merged = (mine: string, theirs: string): string =>
  mine === theirs || theirs.includes(mine) ? theirs : mine.includes(theirs) ? mine : `${theirs}; ${mine}`;
