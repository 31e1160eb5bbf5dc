/** Reading the unit map: a head, then binary chunks of at most 2 MB, each an even sample of the whole map. */
import { fetchBytes, url } from "./client";
import { type At, mapHead } from "./endpoints";
import { MapPoints } from "./points";

/** Head and first chunk; the others follow by `more`, two at a time, until the signal says stop. */
export async function loadMap(
  at: At,
  signal: AbortSignal,
  more: (map: MapPoints) => void,
  failed: (reason: Error) => void,
): Promise<MapPoints> {
  const head = await mapHead(at, signal);
  const chunk = (c: number): Promise<ArrayBuffer> =>
    fetchBytes(url(`/units/map/${c}`, { ...at, version: head.version }), signal);
  let map = new MapPoints(head);
  if (!head.chunks) return map;
  map = map.with(0, await chunk(0));
  const rest = async (): Promise<void> => {
    for (let c = 1; c < head.chunks; c += 2) {
      const pair = [c, c + 1].filter((k) => k < head.chunks),
        bytes = await Promise.all(pair.map(chunk));
      pair.forEach((k, i) => (map = map.with(k, bytes[i])));
      if (signal.aborted) return;
      more(map);
    }
  };
  // the first chunk is shown before the rest is asked for
  setTimeout(() => void rest().catch((e: Error) => signal.aborted || failed(e)));
  return map;
}
