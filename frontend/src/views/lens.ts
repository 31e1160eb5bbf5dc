/** A lens grid as its table draws it. */
import type { Result } from "~/lib/api/types";
import type { Arr } from "./arrays";

/** A lens in rows and columns, its items by strength. */
export type Lens = {
  rows: string[];
  columns: string[];
  names: string[];
  k: number;
  items: ArrayLike<number>;
  values: ArrayLike<number>;
  cells: ArrayLike<number> | null;
  quantity: string;
  cellQuantity: string;
};
export const itemsOf = (lens: Lens, row: number, column: number): { text: string; value: number }[] => {
  const at = (row * lens.columns.length + column) * lens.k;
  return Array.from({ length: lens.k }, (_, i) => ({
    text: lens.names[lens.items[at + i]],
    value: lens.values[at + i],
  })).filter((x) => x.text !== undefined);
};

export function lensOf(result: Result, arrays: Record<string, Arr | null>, most: number): Lens {
  const d = result.document,
    items = arrays.items!,
    rows = Math.min(items.shape[0], most);
  return {
    rows: Array.from({ length: rows }, (_, r) => (d.rows as string[])[r] ?? String(r)),
    columns: d.columns as string[],
    names: d.names as string[],
    k: items.shape[2],
    items: items.data,
    values: arrays.values!.data,
    cells: arrays.cells?.data ?? null,
    quantity: String(d.quantity ?? ""),
    cellQuantity: String(d.cell_quantity ?? ""),
  };
}
