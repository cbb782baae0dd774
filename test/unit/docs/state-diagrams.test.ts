import assert from 'node:assert/strict';
import { test } from 'node:test';
import { arrowsOfTable, type StateTable } from '../../../.tools/docs/state-table.ts';
import { ENTRY_TABLE } from '../../../src/agent/entry-transitions.ts';
import { SESSION_TABLE } from '../../../src/agent/session-transitions.ts';
import { blocksOf, readText } from './documents.ts';

/** The diagrams of tables, with the document that shows them. */
const DIAGRAMS: readonly (readonly [string, string, StateTable])[] = [
  ['docs/internals/agent.md', 'sessions', SESSION_TABLE],
  ['docs/internals/agent.md', 'values', ENTRY_TABLE],
];

/** The arrows of a Mermaid diagram, one for each event, with the names that it shows. */
function drawn(diagram: string): readonly string[] {
  const names = new Map(
    [...diagram.matchAll(/^ *state "([\w-]+)" as (\w+)$/gm)].map(([, name = '', id = '']) => [
      id,
      name,
    ]),
  );
  const nameOf = (id: string): string => names.get(id) ?? id;
  return [...diagram.matchAll(/^ *(\w+) --> (\w+): (.+)$/gm)].flatMap(
    ([, from = '', to = '', events = '']) =>
      events.split(', ').map((event) => `${nameOf(from)} ${event} ${nameOf(to)}`),
  );
}

for (const [path, name, table] of DIAGRAMS) {
  test(`the diagram of the ${name} in ${path} has the states and arrows of the code`, () => {
    const arrows = arrowsOfTable(table)
      .filter(({ from, to }) => from !== to)
      .map(({ from, label, to }) => `${from} ${label} ${to}`)
      .sort();
    const diagrams = blocksOf('mermaid', readText(path)).map((one) => [...drawn(one)].sort());
    const isDrawn = diagrams.some((one) => one.join('\n') === arrows.join('\n'));
    assert.ok(isDrawn, `run "node .tools/generate.ts"; the code has:\n${arrows.join('\n')}`);
  });
}
