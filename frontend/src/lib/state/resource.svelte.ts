/** Data that follows a key: fetched when the key changes, aborted when it changes again, kept on the screen while the next one loads. */
import { untrack } from "svelte";
import { Offline } from "../api/client";
import { live } from "./live.svelte";

export type Resource<T> = {
  readonly data: T | null;
  readonly error: Error | null;
  readonly loading: boolean;
  readonly slow: boolean;
  readonly current: boolean;
  reload(): void;
  set(value: T): void;
};
type Options = { keep?: boolean; wait?: number };

/** Call during component initialisation, or inside `$effect.root`. A null key means: nothing to fetch. */
export function resource<K, T>(
  key: () => K | null,
  fetcher: (key: K, signal: AbortSignal) => Promise<T>,
  options: Options = {},
): Resource<T> {
  let data = $state.raw<T | null>(null);
  let error = $state.raw<Error | null>(null);
  let loading = $state(false),
    slow = $state(false),
    version = $state(0),
    of = $state<string | null>(null);
  const text = $derived.by(() => {
    const k = key();
    return k === null ? null : JSON.stringify(k);
  });
  $effect(() => {
    void version;
    const now = text;
    if (now === null) {
      data = null;
      error = null;
      loading = false;
      of = null;
      return;
    }
    if (options.keep === false && of !== now) data = null;
    const abort = new AbortController();
    loading = true;
    const late = setTimeout(() => (slow = true), 700);
    const begin = setTimeout(() => {
      fetcher(JSON.parse(now) as K, abort.signal)
        .then(
          (value) => {
            if (!abort.signal.aborted) {
              data = value;
              error = null;
              of = now;
              live.heard();
            }
          },
          (reason: Error) => {
            if (!abort.signal.aborted && reason.name !== "AbortError") {
              if (reason instanceof Offline) live.lost();
              error = reason;
            }
          },
        )
        .finally(() => {
          if (!abort.signal.aborted) {
            loading = false;
            slow = false;
            clearTimeout(late);
          }
        });
    }, options.wait ?? 0);
    return () => {
      abort.abort();
      clearTimeout(begin);
      clearTimeout(late);
      slow = false;
    };
  });
  // What could not be read for want of a connection is read again when there is one.
  $effect(() => {
    if (live.state !== "live") return;
    untrack(() => {
      if (error instanceof Offline) version += 1;
    });
  });
  return {
    get data() {
      return data;
    },
    get error() {
      return error;
    },
    get loading() {
      return loading;
    },
    get slow() {
      return slow;
    },
    get current() {
      return of !== null && of === text;
    },
    reload() {
      version += 1;
    },
    set(value: T) {
      data = value;
    },
  };
}
