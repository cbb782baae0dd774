/**
 * The arrows of a state machine whose code is a table, for `state-diagram.ts`.
 */
import type { Arrow } from './state-diagram.ts';

/** State -> event -> the states that may follow. */
type StateTable = Readonly<
  Record<string, Readonly<Record<string, { readonly to: readonly string[] } | undefined>>>
>;

/** Every arrow of a table. */
export function arrowsOfTable(table: StateTable): readonly (Arrow & { readonly label: string })[] {
  return Object.entries(table).flatMap(([from, rules]) =>
    Object.entries(rules).flatMap(([label, rule]) =>
      (rule?.to ?? []).map((to) => ({ from, to, label })),
    ),
  );
}

/** What a diagram shows of a table: its start, and the arrows that lead to another state. */
export function arrowsToDraw(table: StateTable, initial: string): readonly Arrow[] {
  const steps = arrowsOfTable(table).filter(({ from, to }) => from !== to);
  return [{ from: undefined, to: initial }, ...steps];
}
