import assert from 'node:assert/strict';
import { test } from 'node:test';
import { arrowsOf, type Arrow } from '../../../.tools/docs/state-diagram.ts';
import { AGENT_MACHINE } from '../../../.tools/docs/state-diagrams.ts';
import { arrowsOfTable } from '../../../.tools/docs/state-table.ts';
import { VOLUME_MACHINE } from '../../../.tools/docs/volume-machine.ts';
import { ENTRY_TABLE } from '../../../src/agent/entry-transitions.ts';
import { SESSION_TABLE } from '../../../src/agent/session-transitions.ts';
import { blocksOf, readText } from './documents.ts';

/** The diagrams, with the document that shows them. */
const DIAGRAMS: readonly (readonly [string, string, readonly Arrow[]])[] = [
  ['docs/internals/agent.md', 'agent', arrowsOf(AGENT_MACHINE)],
  ['docs/internals/agent.md', 'sessions', arrowsOfTable(SESSION_TABLE)],
  ['docs/internals/agent.md', 'values', arrowsOfTable(ENTRY_TABLE)],
  ['docs/internals/csi-driver.md', 'volumes', arrowsOf(VOLUME_MACHINE)],
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

for (const [path, name, arrows] of DIAGRAMS) {
  test(`the diagram of the ${name} in ${path} has the states and arrows of the code`, () => {
    const steps = arrows
      .filter(({ from, to }) => from !== undefined && from !== to)
      .map(({ from, label, to }) => `${from ?? ''} ${label ?? ''} ${to ?? ''}`);
    const known = [...new Set(steps)].sort().join('\n');
    const diagrams = blocksOf('mermaid', readText(path)).map((one) => [...drawn(one)].sort());
    const isDrawn = diagrams.some((one) => one.join('\n') === known);
    assert.ok(isDrawn, `run "node .tools/generate.ts"; the code has:\n${known}`);
  });
}
