/** Every state of the agent with every event, and what must hold in any order of events. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import {
  isDelivered,
  isEnding,
  NEW_AGENT,
  phaseOf,
  savedFiles,
  transition,
  type AgentEvent,
  type AgentState,
} from '../../../src/agent/phase.ts';
import { AGENT_EVENTS, AGENT_MACHINE } from '../../../.tools/docs/state-diagrams.ts';
import { reachableStates } from '../../../.tools/docs/state-diagram.ts';

/** The columns: start (with the files none, good, revoked), delivered, linger, stop, revoke. `-`: ignored. */
const TABLE: Readonly<Record<string, readonly string[]>> = {
  'new none': [
    ...['starting none', 'resumed good', 'starting revoked'],
    ...['-', '-', 'stopped none', 'revoking none'],
  ],
  'starting none': [
    ...['-', '-', '-'],
    ...['ready confirmed', 'lingering none', 'stopped none', 'revoking none'],
  ],
  'starting revoked': [
    ...['-', '-', '-'],
    ...['ready confirmed', 'lingering revoked', 'stopped revoked', 'revoking revoked'],
  ],
  'resumed good': [
    ...['-', '-', '-'],
    ...['ready confirmed', 'lingering good', 'stopped good', 'revoking good'],
  ],
  'ready confirmed': [
    ...['-', '-', '-'],
    ...['-', 'lingering confirmed', 'stopped confirmed', 'revoking confirmed'],
  ],
  ...ending('lingering', (files) => ['-', `revoking ${files}`, `revoking ${files}`]),
  ...ending('stopped', (files) => ['-', '-', `revoking ${files}`]),
  ...ending('revoking', () => ['-', '-', '-']),
};

/** Rows of a state that may have any files. */
function ending(
  name: string,
  rest: (files: string) => readonly string[],
): Readonly<Record<string, readonly string[]>> {
  const rows = ['none', 'good', 'revoked', 'confirmed'].map((files) => {
    const delivered = files === 'confirmed' ? '-' : `${name} confirmed`;
    return [`${name} ${files}`, ['-', '-', '-', delivered, ...rest(files)]] as const;
  });
  return Object.fromEntries(rows);
}

const text = ({ name, files }: AgentState): string => `${name} ${files}`;

suite('the transitions of the agent', () => {
  const states = new Map(reachableStates(AGENT_MACHINE).map((state) => [text(state), state]));

  test('the table has every state that can be reached', () => {
    assert.deepEqual([...states.keys()].sort(), Object.keys(TABLE).sort());
  });

  for (const [from, row] of Object.entries(TABLE)) {
    test(`from ${from}`, () => {
      const state = states.get(from);
      assert.ok(state !== undefined);
      const ends = AGENT_EVENTS.map((event) => {
        const next = transition(state, event);
        return next === state ? '-' : text(next);
      });
      assert.deepEqual(ends, row);
    });
  }
});

test('the status shows four phases; only a ready agent can be degraded', () => {
  const shown = reachableStates(AGENT_MACHINE).map((state) => [
    text(state),
    phaseOf(state, false),
    phaseOf(state, true),
  ]);
  for (const [state = '', calm, failing] of shown) {
    const expected = /^(stopped|revoking)/.test(state)
      ? ['stopping', 'stopping']
      : state.endsWith('confirmed')
        ? ['ready', 'degraded']
        : ['starting', 'starting'];
    assert.deepEqual([calm, failing], expected, state);
  }
});

test('in any order of events nothing is undone', () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...AGENT_EVENTS), { maxLength: 30 }), (events) => {
      let state: AgentState = Object.freeze(NEW_AGENT);
      for (const event of events) {
        const next = Object.freeze(transition(state, event));
        checkStep(state, event, next);
        state = next;
      }
    }),
  );
});

function checkStep(state: AgentState, event: AgentEvent, next: AgentState): void {
  assert.ok(!isEnding(state) || isEnding(next), 'credentials that end are not handed over');
  assert.ok(!isDelivered(state) || isDelivered(next), 'a delivery is not forgotten');
  if (state.name !== 'new' || event.kind !== 'start') {
    const isKept = next.files === state.files || next.files === 'confirmed';
    assert.ok(isKept, 'the files of a predecessor are read once, at the start');
  }
  if (phaseOf(state, false) === 'stopping') assert.equal(phaseOf(next, true), 'stopping');
  if (next.name === 'new') assert.equal(next, state, 'a run does not begin twice');
  assert.equal(savedFiles(next) === 'good', next.files === 'good' || next.files === 'confirmed');
  assert.equal(transition(next, { kind: 'revoke' }).name, 'revoking', 'it can always be ended');
}
