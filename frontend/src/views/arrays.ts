/** Reads the arrays of a result that a view needs. */
import * as api from "~/lib/api/endpoints";
import { floats } from "~/lib/api/client";
import type { Result } from "~/lib/api/types";

export type Arr = { data: Float32Array; shape: number[] };
/** Above this many values a view draws a part and says so. */
export const LIMIT_BYTES = 64e6;
export async function arrays(result: Result, names: string[]): Promise<Record<string, Arr | null>> {
  const out: Record<string, Arr | null> = {};
  await Promise.all(
    names.map(async (n) => {
      const ref = result.arrays[n];
      if (ref && ref.bytes > LIMIT_BYTES)
        throw new Error(
          `${n} has ${Math.round(ref.bytes / 1e6)} MB, too much to draw here. The export holds all of it.`,
        );
      out[n] = ref ? { data: await floats(api.blobUrl(ref.sha256)), shape: ref.shape } : null;
    }),
  );
  return out;
}
