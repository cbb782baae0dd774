import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  MAX_FAILURES,
  MAX_TRIES,
  REQUESTED,
  transition,
  type AttemptEvent,
  type Attempts,
} from '../../../src/notify/attempts.ts';

/** The attempts after events. */
function after(events: readonly AttemptEvent[], start: Attempts = REQUESTED): Attempts {
  return events.reduce(transition, start);
}

const failing = (tries: number): AttemptEvent[] =>
  Array.from({ length: tries }, () => ['started', 'failed'] as const).flat();

for (const [what, events, expected] of [
  [
    'the first attempt serves the request',
    ['started'],
    { current: 1, next: undefined, failures: 0 },
  ],
  ['a success settles it', ['started', 'succeeded'], { current: 1, next: undefined, failures: 0 }],
  ['a failure is tried again', ['started', 'failed'], { current: 1, next: 2, failures: 1 }],
  [
    'a success ends the row of failures',
    ['started', 'failed', 'started', 'succeeded'],
    { current: 2, next: undefined, failures: 0 },
  ],
  [
    'a permanent failure is not tried again',
    ['started', 'failed permanently'],
    { current: 1, next: undefined, failures: 1 },
  ],
  [
    'a request during an attempt needs another one, whatever comes of it',
    ['started', 'requested', 'succeeded'],
    { current: 1, next: 1, failures: 0 },
  ],
  [
    'many requests need one attempt',
    ['started', 'requested', 'requested', 'succeeded', 'started', 'succeeded'],
    { current: 1, next: undefined, failures: 0 },
  ],
  [
    'a request after a permanent failure is attempted',
    ['started', 'requested', 'failed permanently'],
    { current: 1, next: 1, failures: 1 },
  ],
  [
    'a request while an attempt is awaited has all of its own',
    ['started', 'failed', 'started', 'failed', 'requested', 'started', 'failed'],
    { current: 1, next: 2, failures: 3 },
  ],
] as const satisfies readonly (readonly [string, readonly AttemptEvent[], Attempts])[]) {
  test(what, () => {
    assert.deepEqual(after(events), expected);
  });
}

test('a request is given up after its attempts', () => {
  assert.equal(after(failing(MAX_TRIES - 1)).next, MAX_TRIES);
  assert.equal(after(failing(MAX_TRIES)).next, undefined);
});

test('an action that is requested again and again is given up for all callers', () => {
  const round: AttemptEvent[] = ['started', 'requested', 'failed'];
  const rounds = (count: number): AttemptEvent[] =>
    Array.from({ length: count }, () => round).flat();
  assert.equal(after(rounds(MAX_FAILURES - 1)).next, 1);
  assert.equal(after(rounds(MAX_FAILURES)).next, undefined);
});
