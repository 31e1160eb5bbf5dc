/** The numbers of a scorecard, as its document holds them. */
export type CardScore = {
  name: string;
  value: number | null;
  unit: string;
  low: number | null;
  high: number | null;
  chance: number | null;
  chance_low: number | null;
  chance_high: number | null;
  draws: number | null;
  group: string;
};
/** Whether the groups answer the same questions, so that they read best as the rows of one table. */
export function comparable(scores: CardScore[]): boolean {
  const groups = new Map<string, Set<string>>();
  for (const s of scores) groups.set(s.name, (groups.get(s.name) ?? new Set()).add(s.group));
  return [...groups.values()].some((g) => g.size > 1);
}
