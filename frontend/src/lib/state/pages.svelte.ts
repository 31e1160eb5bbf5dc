/** A list that is read page by page: the first page follows its key, further ones are asked for. */
import type { Resource } from "./resource.svelte";
import { ui } from "./ui.svelte";

type Page<T> = { items: T[]; next: string | null };

/** Call during component initialisation. What was read further is dropped when the first page changes. */
export function pages<T>(first: Resource<Page<T>>, fetch: (cursor: string) => Promise<Page<T>>) {
  let more = $state.raw<T[]>([]),
    cursor = $state<string | null>(null);
  $effect(() => {
    more = [];
    cursor = first.data?.next ?? null;
  });
  return {
    get items(): T[] {
      return [...(first.data?.items ?? []), ...more];
    },
    get further(): boolean {
      return cursor !== null;
    },
    async next(): Promise<void> {
      if (!cursor) return;
      const of = first.data;
      try {
        const page = await fetch(cursor);
        if (first.data !== of) return; // another list is shown by now
        more = [...more, ...page.items];
        cursor = page.next;
      } catch (e) {
        ui.fail(e);
      }
    },
  };
}
