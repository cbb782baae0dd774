import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  transition,
  UNUSED,
  type ConnectionEvent,
  type ConnectionState,
} from '../../../src/spiffe/connection-state.ts';

const after = (events: readonly ConnectionEvent[]): ConnectionState =>
  events.reduce(transition, UNUSED);

for (const [what, events, expected] of [
  ['an unused connection stays open', [], { name: 'open', calls: 0 }],
  ['calls are counted', ['acquired', 'acquired', 'released'], { name: 'open', calls: 1 }],
  ['the last call leaves it open', ['acquired', 'released'], { name: 'open', calls: 0 }],
  ['without calls it is closed when it is replaced', ['replaced'], { name: 'closed' }],
  ['with calls it is drained', ['acquired', 'replaced'], { name: 'draining', calls: 1 }],
  [
    'replaced twice, it is still drained',
    ['acquired', 'replaced', 'replaced'],
    { name: 'draining', calls: 1 },
  ],
  [
    'drained, it is closed with the last call',
    ['acquired', 'replaced', 'released'],
    { name: 'closed' },
  ],
  [
    'drained, it stays while a call is in progress',
    ['acquired', 'acquired', 'replaced', 'released'],
    { name: 'draining', calls: 1 },
  ],
  ['its certificate expires', ['acquired', 'replaced', 'expired'], { name: 'expired', calls: 1 }],
  [
    'expired, it is closed with the last call',
    ['acquired', 'replaced', 'expired', 'released'],
    { name: 'closed' },
  ],
  [
    'expired, it is not drained again',
    ['acquired', 'expired', 'replaced'],
    { name: 'expired', calls: 1 },
  ],
  ['expired without calls, it is closed', ['expired'], { name: 'closed' }],
  ['the client is closed', ['acquired', 'client closed'], { name: 'closed' }],
  [
    'closed, it stays closed',
    ['acquired', 'client closed', 'released', 'replaced', 'expired'],
    { name: 'closed' },
  ],
] as const satisfies readonly (readonly [string, readonly ConnectionEvent[], ConnectionState])[]) {
  test(what, () => {
    assert.deepEqual(after(events), expected);
  });
}

test('a connection that another one has replaced takes no new calls', () => {
  for (const events of [['replaced'], ['replaced', 'expired']] as const) {
    assert.throws(() => after(['acquired', ...events, 'acquired']), TypeError);
  }
});
