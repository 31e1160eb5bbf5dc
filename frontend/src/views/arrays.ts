/** Reads the arrays of a result that a view needs. */
import * as api from "~/lib/api/endpoints";
import { PIECE, floats } from "~/lib/api/client";
import type { Result } from "~/lib/api/types";

/** `of`: how long the first axis is in the whole array; `shape` is that of what was read. */
export type Arr = { data: Float32Array; shape: number[]; of: number };
/** Arrays whole, or of large ones as many leading rows as fit into one piece. */
export async function arrays(result: Result, names: string[], whole = false): Promise<Record<string, Arr | null>> {
  const out: Record<string, Arr | null> = {};
  await Promise.all(
    names.map(async (n) => {
      const ref = result.arrays[n];
      if (!ref) {
        out[n] = null;
        return;
      }
      const [all = 0, ...rest] = ref.shape,
        one = ref.bytes / Math.max(1, all),
        rows = whole || ref.bytes <= PIECE ? all : Math.max(1, Math.floor(PIECE / one));
      out[n] = {
        data: await floats(api.blobUrl(ref.sha256), rows === all ? undefined : rows * one),
        shape: [rows, ...rest],
        of: all,
      };
    }),
  );
  return out;
}
/** One row of an array: one unit's. */
export async function row(result: Result, name: string, index: number): Promise<Float32Array | null> {
  const ref = result.arrays[name];
  return ref ? floats(`${api.blobUrl(ref.sha256)}?row=${index}`) : null;
}
