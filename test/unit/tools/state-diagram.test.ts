import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  arrowsOf,
  reachableStates,
  stateDiagram,
  type Machine,
} from '../../../.tools/docs/state-diagram.ts';

interface Door {
  readonly name: 'open' | 'closed' | 'locked';
  readonly keys: number;
}

type Push = 'push' | 'kick' | 'lock' | 'knock';

const DOOR: Machine<Door, Push> = {
  initial: [{ name: 'closed', keys: 1 }],
  events: ['push', 'kick', 'lock', 'knock'],
  transition: (state, event) => {
    if (event === 'lock' && state.name === 'closed') return { name: 'locked', keys: 0 };
    if (event === 'push' && state.name === 'closed') return { ...state, name: 'open' };
    if (event === 'kick' && state.name !== 'open') return { ...state, name: 'open' };
    return state;
  },
  nameOf: ({ name }) => name,
  labelOf: (event) => event,
};

test('every reachable state is visited once, by its data and not by its name', () => {
  assert.deepEqual(reachableStates(DOOR), [
    { name: 'closed', keys: 1 },
    { name: 'open', keys: 1 },
    { name: 'locked', keys: 0 },
    { name: 'open', keys: 0 },
  ]);
});

test('a diagram has one arrow between two names, with every label, and none back to the same name', () => {
  assert.equal(
    stateDiagram([...arrowsOf(DOOR), { from: 'open', to: undefined }]),
    [
      '```mermaid',
      'stateDiagram-v2',
      '  direction LR',
      '  [*] --> closed',
      '  closed --> open: push, kick',
      '  closed --> locked: lock',
      '  locked --> open: kick',
      '  open --> [*]',
      '```',
    ].join('\n'),
  );
});

test('a name that Mermaid cannot read as an id gets an alias', () => {
  assert.equal(
    stateDiagram([{ from: 'left open', to: 'locked-up', label: 'lock' }]),
    [
      '```mermaid',
      'stateDiagram-v2',
      '  direction LR',
      '  state "left open" as left_open',
      '  state "locked-up" as locked_up',
      '  left_open --> locked_up: lock',
      '```',
    ].join('\n'),
  );
});
