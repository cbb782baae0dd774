import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { arrowsOfTable } from '../../../.tools/docs/state-table.ts';
import {
  entryDueAtMs,
  heldOf,
  initialEntry,
  type EntryContext,
  type EntryEffect,
  type EntryEvent,
  type EntryEventType,
  type EntryState,
  type EntryStateName,
  type EntryTransition,
} from '../../../src/agent/entry-state.ts';
import { ENTRY_TABLE, transitionEntry } from '../../../src/agent/entry-transitions.ts';
import type { LeaseRef, ObtainedValue } from '../../../src/agent/obtain.ts';
import { failure } from '../../helpers/model-vault.ts';
import { constantRandom, seededRandom } from '../../helpers/random.ts';

const MINUTE_MS = 60_000;
const NOW_MS = 100 * MINUTE_MS;
const CONTEXT: EntryContext = { nowMs: NOW_MS, random: constantRandom(), session: 1 };

const LEASE: LeaseRef = { id: 'database/creds/app/1', session: 1, fullMs: 60 * MINUTE_MS };
const HELD: ObtainedValue = {
  value: { username: 'a' },
  lease: LEASE,
  plan: { action: 'renew', atMs: NOW_MS, expiresAtMs: NOW_MS + 20 * MINUTE_MS },
};
const PLAIN: ObtainedValue = {
  value: { a: 1 },
  plan: { action: 'fetch', atMs: NOW_MS + MINUTE_MS, expiresAtMs: Infinity },
};
const NEXT: ObtainedValue = {
  value: { username: 'b' },
  lease: { ...LEASE, id: 'database/creds/app/2' },
  plan: { action: 'renew', atMs: NOW_MS + 40 * MINUTE_MS, expiresAtMs: NOW_MS + 60 * MINUTE_MS },
};
const times = { atMs: NOW_MS, confirmedAtMs: NOW_MS - MINUTE_MS, error: undefined };

const STATES: Readonly<Record<EntryStateName, EntryState>> = {
  pending: { name: 'pending', times },
  fetching: { name: 'fetching', times },
  held: { name: 'held', held: HELD, times },
  refreshing: { name: 'refreshing', held: HELD, times },
  renewing: { name: 'renewing', held: HELD, times },
  dropped: { name: 'dropped', times },
};

const error = failure('ERR_VAULT_SEALED');
const EVENTS: { readonly [Type in EntryEventType]: Extract<EntryEvent, { type: Type }> } = {
  due: { type: 'due' },
  obtained: { type: 'obtained', value: NEXT },
  rejected: { type: 'rejected', value: NEXT, error, waitMs: 1000 },
  failed: { type: 'failed', error, waitMs: 1000 },
  aborted: { type: 'aborted' },
  streamed: { type: 'streamed', value: PLAIN },
  sessionReplaced: { type: 'sessionReplaced' },
  repeated: { type: 'repeated', afterMs: 1000 },
  required: { type: 'required' },
  dropped: { type: 'dropped' },
};

/** A transition in short: the next state, the effects in their order, and the request. */
function short({ state, effects, request }: EntryTransition): string {
  const done = effects.map((effect) => {
    if (effect.type === 'log') return effect.level;
    if (effect.type === 'supersede') return effect.lease.id.replace('database/creds/app/', '-');
    return effect.type === 'count' ? `${effect.operation}:${effect.result}` : effect.type;
  });
  const asked = request === undefined ? [] : [`=> ${request.type}`];
  return [state.name, ...done, ...asked].join(' ');
}

const SEALED = 'ERR_VAULT_SEALED';
const FAILED = (operation: string): string => `${operation}:${SEALED} warn failure`;

/** Everything that is not listed has to be ignored. */
const EXPECTED: Readonly<Record<EntryStateName, Partial<Record<EntryEventType, string>>>> = {
  pending: {
    due: 'fetching => fetch',
    streamed: 'held reset-waits render',
    dropped: 'dropped',
  },
  fetching: {
    obtained: 'held fetch:ok reset-waits save render',
    rejected: `pending fetch:ok -2 render ${FAILED('fetch')}`,
    failed: `pending ${FAILED('fetch')}`,
    aborted: 'pending',
    streamed: 'refreshing reset-waits render',
  },
  held: {
    due: 'renewing => renew',
    streamed: 'held reset-waits -1 render',
    sessionReplaced: 'held',
    required: 'held',
    dropped: 'dropped',
  },
  refreshing: {
    obtained: 'held fetch:ok reset-waits -1 save render',
    rejected: `held fetch:ok -2 render ${FAILED('fetch')}`,
    failed: `held ${FAILED('fetch')}`,
    aborted: 'held',
    streamed: 'refreshing reset-waits -1 render',
    sessionReplaced: 'refreshing',
  },
  renewing: {
    obtained: 'held renew:ok reset-waits -1 save render',
    rejected: `held renew:ok -2 render ${FAILED('renew')}`,
    failed: `held ${FAILED('renew')}`,
    aborted: 'held',
    sessionReplaced: 'renewing',
  },
  dropped: {},
};

for (const [name, state] of Object.entries(STATES)) {
  test(`an entry that is ${name}: each event has its effects or is ignored`, () => {
    for (const event of Object.values(EVENTS)) {
      const next = transitionEntry(state, event, CONTEXT);
      const expected = EXPECTED[state.name][event.type];
      assert.equal(short(next), expected ?? name, `${name} + ${event.type}`);
      if (expected === undefined) assert.equal(next.state, state);
    }
  });
}

test('an entry is due at once, or as the value of a predecessor plans', () => {
  const fresh = initialEntry(undefined, NOW_MS);
  assert.deepEqual(
    [fresh.name, entryDueAtMs(fresh), heldOf(fresh)],
    ['pending', NOW_MS, undefined],
  );
  const resumed = initialEntry(PLAIN, NOW_MS);
  assert.deepEqual([resumed.name, entryDueAtMs(resumed)], ['held', PLAIN.plan.atMs]);
  assert.equal(heldOf(resumed), PLAIN);
  for (const name of ['fetching', 'refreshing', 'renewing', 'dropped'] as const) {
    assert.equal(entryDueAtMs(STATES[name]), Infinity, name);
  }
});

/** A state with another value, or other times. */
function held(change: Partial<ObtainedValue>, name: 'held' | 'renewing' = 'held'): EntryState {
  return { name, held: { ...HELD, ...change }, times };
}

const FETCH = { ...HELD.plan, action: 'fetch' } as const;
const NO_LEASE: EntryState = { name: 'held', held: PLAIN, times };
const FAILED_BEFORE = { ...times, error };

/** Cases beside {@link EXPECTED}: the same events with other outcomes. */
/** An optional secret that does not exist. */
const ABSENT: ObtainedValue = { ...PLAIN, value: null };

const MORE: readonly (readonly [string, EntryState, EntryEvent, string])[] = [
  [
    'a first try that is not due is not made',
    { name: 'pending', times: { ...times, atMs: NOW_MS + 1 } },
    EVENTS.due,
    'pending',
  ],
  [
    'a step that is not due is not taken',
    { name: 'held', held: HELD, times: { ...times, atMs: NOW_MS + 1 } },
    EVENTS.due,
    'held',
  ],
  [
    'a lease that cannot be renewed is replaced',
    held({ plan: FETCH }),
    EVENTS.due,
    'refreshing => fetch',
  ],
  ['a value without a lease is read again', NO_LEASE, EVENTS.due, 'refreshing => fetch'],
  [
    'a plan to renew without a lease is a read',
    { name: 'held', held: { ...PLAIN, plan: HELD.plan }, times },
    EVENTS.due,
    'refreshing => fetch',
  ],
  [
    'a value that stays the same causes no rendering',
    { name: 'refreshing', held: PLAIN, times },
    { type: 'obtained', value: { ...PLAIN, value: { a: 1 } } },
    'held fetch:ok reset-waits',
  ],
  [
    'a renewed lease causes no rendering, and is saved',
    STATES.renewing,
    { type: 'obtained', value: { ...HELD, plan: NEXT.plan } },
    'held renew:ok reset-waits save',
  ],
  [
    'a success after a failure is logged',
    { name: 'refreshing', held: PLAIN, times: FAILED_BEFORE },
    { type: 'obtained', value: PLAIN },
    'held fetch:ok info reset-waits',
  ],
  [
    'a failure that was logged is only counted and reported',
    { name: 'fetching', times: FAILED_BEFORE },
    EVENTS.failed,
    `pending fetch:${SEALED} failure`,
  ],
  [
    'a value without a lease that there is no room for leaves nothing to revoke',
    { name: 'fetching', times },
    { ...EVENTS.rejected, value: PLAIN },
    `pending fetch:ok ${FAILED('fetch')}`,
  ],
  [
    'a renewed lease that there is no room for stays',
    STATES.renewing,
    { ...EVENTS.rejected, value: HELD },
    `held renew:ok ${FAILED('renew')}`,
  ],
  [
    'an optional secret that does not exist is a value; it is logged once, and is no failure',
    STATES.fetching,
    { type: 'obtained', value: ABSENT },
    'held fetch:absent info reset-waits render',
  ],
  [
    'an optional secret that still does not exist changes nothing',
    { name: 'refreshing', held: ABSENT, times },
    { type: 'obtained', value: ABSENT },
    'held fetch:absent reset-waits',
  ],
  [
    'an optional secret that exists now is logged',
    { name: 'refreshing', held: ABSENT, times },
    { type: 'obtained', value: PLAIN },
    'held fetch:ok info reset-waits render',
  ],
  [
    'a credential whose secret does not exist any more is superseded',
    STATES.refreshing,
    { type: 'obtained', value: ABSENT },
    'held fetch:absent info reset-waits -1 render',
  ],
  [
    'a failure of a read does not make a secret absent, nor present',
    { name: 'refreshing', held: ABSENT, times },
    EVENTS.failed,
    `held ${FAILED('fetch')}`,
  ],
  [
    'an absent secret that a file requires is read again at once',
    { name: 'held', held: ABSENT, times: { ...times, atMs: NOW_MS + MINUTE_MS } },
    EVENTS.required,
    'pending reset-waits',
  ],
];

for (const [title, state, event, expected] of MORE) {
  test(title, () => assert.equal(short(transitionEntry(state, event, CONTEXT)), expected));
}

test('a write that is to be repeated gets a next step; one that has a step keeps it', () => {
  const made = { name: 'held', held: PLAIN, times: { ...times, atMs: Infinity } } as const;
  const { state } = transitionEntry(made, EVENTS.repeated, CONTEXT);
  assert.equal(state.times.atMs, NOW_MS + 1000);
  assert.equal(transitionEntry(NO_LEASE, EVENTS.repeated, CONTEXT).state, NO_LEASE);
});

test('a lease without a duration is warned about once', () => {
  const unknown = {
    ...NEXT,
    plan: { ...NEXT.plan, action: 'fetch', unknownWaitMs: 1000 },
  } as const;
  const obtained = { type: 'obtained', value: unknown } as const;
  const first = transitionEntry(STATES.fetching, obtained, CONTEXT);
  assert.equal(short(first), 'held fetch:ok reset-waits warn save render');
  const again = { ...unknown, lease: { ...LEASE, id: 'database/creds/app/3' } };
  const second = transitionEntry({ name: 'refreshing', held: again, times }, obtained, CONTEXT);
  assert.equal(short(second), 'held fetch:ok reset-waits -3 save render');
  assert.equal(
    second.state.times.atMs,
    unknown.plan.atMs,
    'it is not read earlier to spread a fleet',
  );
});

test('a value that has ended before it is received is warned about, until another one has not', () => {
  const over = {
    value: { token: 'x' },
    plan: { action: 'fetch', atMs: NOW_MS + MINUTE_MS, expiresAtMs: NOW_MS - 1 },
  } as const;
  const obtained = { type: 'obtained', value: over } as const;
  const [first, again] = ['fetch:ok reset-waits warn render', 'fetch:ok reset-waits'];
  assert.equal(short(transitionEntry(STATES.fetching, obtained, CONTEXT)), `held ${first}`);
  const repeated: EntryState = { name: 'refreshing', held: over, times };
  assert.equal(short(transitionEntry(repeated, obtained, CONTEXT)), `held ${again}`);
  const plan = { ...over.plan, atMs: NOW_MS - MINUTE_MS };
  const ended: EntryState = { name: 'refreshing', held: { ...over, plan }, times };
  const same = transitionEntry(ended, obtained, CONTEXT);
  assert.equal(short(same), 'held fetch:ok reset-waits warn', 'it ended in the file');
});

suite('a lease that is to be replaced', () => {
  const LEFT_MS = 4 * MINUTE_MS;
  const ending = { ...FETCH, expiresAtMs: NOW_MS + LEFT_MS };
  const state = held({ plan: ending });
  const startedAtMs = NOW_MS - 56 * MINUTE_MS;
  const token = { session: 1, startedAtMs, replacedAtMs: NOW_MS + MINUTE_MS };
  const due = (more: Partial<EntryContext>, from = state) =>
    transitionEntry(from, EVENTS.due, { ...CONTEXT, token, ...more });

  test('waits for a login if the token would cut the next one, until half of its rest is over', () => {
    const next = due({});
    assert.equal(short(next), 'held log-in');
    assert.equal(next.state.times.atMs, NOW_MS + LEFT_MS / 2);
    const later = { nowMs: next.state.times.atMs };
    assert.equal(short(due(later, next.state)), 'refreshing => fetch', 'one login for one need');
    const moved = transitionEntry(next.state, EVENTS.sessionReplaced, { ...CONTEXT, session: 2 });
    const newer = { session: 2, startedAtMs: NOW_MS, replacedAtMs: NOW_MS + 57 * MINUTE_MS };
    assert.equal(short(due({ token: newer, session: 2 }, moved.state)), 'refreshing => fetch');
  });

  for (const [name, other] of [
    ['the token outlives the next lease', { ...token, replacedAtMs: NOW_MS + 60 * MINUTE_MS }],
    ['the token can be renewed', { ...token, replacedAtMs: Infinity }],
    ['a new token would not last longer', { ...token, startedAtMs: NOW_MS }],
    ['the token is another one', { ...token, session: 2 }],
    ['there is no token', undefined],
  ] as const) {
    test(`is replaced at once if ${name}`, () => {
      assert.equal(short(due({ token: other })), 'refreshing => fetch');
    });
  }

  test('is renewed without a login', () => {
    assert.equal(short(due({}, STATES.held)), 'renewing => renew');
  });
});

test('a renewal that fails is repeated while there is time, then a new credential is read', () => {
  const late = HELD.plan.expiresAtMs - 0.15 * LEASE.fullMs;
  const retryAfter = failure('ERR_VAULT_THROTTLED', 15 * MINUTE_MS);
  for (const [name, event, action, atMs] of [
    ['in time', EVENTS.failed, 'renew', NOW_MS + 1000],
    ['too late', { ...EVENTS.failed, waitMs: 15 * MINUTE_MS }, 'fetch', late],
    [
      'Retry-After',
      { type: 'failed', error: retryAfter, waitMs: 16 * MINUTE_MS },
      'fetch',
      NOW_MS + 15 * MINUTE_MS,
    ],
    [
      'the lease is gone',
      { ...EVENTS.failed, error: failure('ERR_VAULT_LEASE_GONE') },
      'fetch',
      NOW_MS,
    ],
  ] as const) {
    const { state } = transitionEntry(STATES.renewing, event, CONTEXT);
    assert.deepEqual([heldOf(state)?.plan.action, state.times.atMs], [action, atMs], name);
  }
  const gone = { ...EVENTS.failed, error: failure('ERR_VAULT_LEASE_GONE') };
  const { state } = transitionEntry(held({ plan: FETCH }, 'renewing'), gone, CONTEXT);
  assert.equal(state.times.atMs, NOW_MS + 1000, 'a read was planned already');
});

test('a renewal that asks people is not repeated: a new credential is read when there is no time for another', () => {
  const { state } = transitionEntry(
    STATES.renewing,
    { type: 'failed', error: failure('ERR_VAULT_WRAPPED'), waitMs: 1000 },
    CONTEXT,
  );
  const lastMs = NOW_MS + 20 * MINUTE_MS - 0.15 * LEASE.fullMs;
  assert.deepEqual([heldOf(state)?.plan.action, entryDueAtMs(state)], ['fetch', lastMs]);
});

test('a newer session replaces a lease now, in each state, and no other value', () => {
  const newer = { ...CONTEXT, session: 2 };
  for (const name of ['held', 'refreshing', 'renewing'] as const) {
    const { state } = transitionEntry(
      { ...STATES[name], times: { ...times, atMs: Infinity } },
      EVENTS.sessionReplaced,
      newer,
    );
    assert.deepEqual([heldOf(state)?.plan.action, state.times.atMs], ['fetch', NOW_MS], name);
    const same = transitionEntry(STATES[name], EVENTS.sessionReplaced, CONTEXT).state;
    assert.equal(same, STATES[name], 'a lease of the newest session stays');
  }
  assert.equal(transitionEntry(NO_LEASE, EVENTS.sessionReplaced, newer).state, NO_LEASE);
  const { state } = transitionEntry(STATES.renewing, EVENTS.obtained, newer);
  assert.deepEqual([heldOf(state)?.plan.action, state.times.atMs], ['fetch', NOW_MS], 'meanwhile');
});

test('the table has no arrow that no case takes', () => {
  const pairs = [
    ...Object.values(STATES).flatMap((state) =>
      Object.values(EVENTS).map((event) => [state, event] as const),
    ),
    ...MORE.map(([, state, event]) => [state, event] as const),
  ];
  const taken = new Set(
    pairs.map(([state, event]) => {
      const next = transitionEntry(state, event, CONTEXT).state.name;
      return `${state.name} ${event.type} ${next}`;
    }),
  );
  const arrows = arrowsOfTable(ENTRY_TABLE).map(({ from, label, to }) => `${from} ${label} ${to}`);
  assert.deepEqual(
    arrows.filter((arrow) => !taken.has(arrow)),
    [],
  );
});

/** An entry with a Vault that issues leases; each action answers a request, or comes from outside. */
class World {
  readonly #random = seededRandom(3);
  #nowMs = 0;
  #session = 1;
  #issued = 0;
  state = initialEntry(undefined, 0);
  isRequested = false;
  isDropped = false;
  /** Leases that were issued and that nobody has handed over to be revoked. */
  readonly issued = new Set<string>();

  get #context(): EntryContext {
    return { nowMs: this.#nowMs, random: this.#random, session: this.#session };
  }

  readonly actions: readonly ((pick: number) => void)[] = [
    (pick) => (this.#nowMs += pick * 1000),
    () => {
      if (entryDueAtMs(this.state) <= this.#nowMs) this.#apply({ type: 'due' });
    },
    (pick) => this.#answer(pick),
    (pick) => {
      this.#session += pick % 2;
      this.#apply({ type: 'sessionReplaced' });
    },
    (pick) => {
      if (pick % 10 === 0) this.#drop();
    },
    () => this.#apply({ type: 'required' }),
  ];

  #apply(event: EntryEvent): readonly EntryEffect[] {
    const { state, effects, request } = transitionEntry(this.state, event, this.#context);
    if (request !== undefined) {
      assert.equal(this.isRequested, false, 'never two requests at a time');
      assert.equal(request.type === 'renew', state.name === 'renewing');
      this.isRequested = true;
    }
    this.state = state;
    for (const effect of effects) {
      if (effect.type !== 'supersede') continue;
      assert.ok(this.issued.delete(effect.lease.id), 'a lease is superseded once');
      assert.ok(
        effects.some(({ type }) => type === 'render'),
        'the next delivery revokes it',
      );
    }
    return effects;
  }

  #answer(pick: number): void {
    if (!this.isRequested) return;
    this.isRequested = false;
    if (pick % 5 === 0) this.#apply({ type: 'aborted' });
    else if (pick % 5 === 1) {
      const code = pick % 2 === 0 ? 'ERR_VAULT_LEASE_GONE' : 'ERR_VAULT_UNREACHABLE';
      this.#apply({ type: 'failed', error: failure(code), waitMs: 1 + pick * 100 });
    } else {
      const value = this.#value(pick);
      const isRejected = pick % 7 === 0;
      this.#apply(
        isRejected
          ? { type: 'rejected', value, error: failure('ERR_VAULT_SERVER'), waitMs: 1000 }
          : { type: 'obtained', value },
      );
    }
  }

  /** What a renewal or a read brings. */
  #value(pick: number): ObtainedValue {
    const lifeMs = 1000 + pick * 1000;
    const action = pick % 3 === 0 ? 'fetch' : 'renew';
    const plan = {
      action,
      atMs: this.#nowMs + lifeMs / 2,
      expiresAtMs: this.#nowMs + lifeMs,
    } as const;
    const present = heldOf(this.state);
    if (this.state.name === 'renewing' && present !== undefined) return { ...present, plan };
    if (pick % 13 === 0) return { value: null, plan };
    if (pick % 11 === 0) return { value: pick, plan };
    const id = `lease-${++this.#issued}`;
    this.issued.add(id);
    return { value: id, plan, lease: { id, session: this.#session - (pick % 2), fullMs: lifeMs } };
  }

  #drop(): void {
    const lease = heldOf(this.state)?.lease;
    this.#apply({ type: 'dropped' });
    if (this.state.name !== 'dropped') return;
    this.isDropped = true;
    if (lease !== undefined) this.issued.delete(lease.id); // the caller revokes it
  }

  check(): void {
    const { state } = this;
    const present = heldOf(state);
    const lease = present?.lease;
    assert.deepEqual([...this.issued], lease === undefined ? [] : [lease.id], 'no lease is lost');
    const isBusy = ['fetching', 'refreshing', 'renewing'].includes(state.name);
    assert.equal(isBusy, this.isRequested, 'a request in progress, and only then');
    assert.equal(state.name === 'dropped', this.isDropped);
    if (lease !== undefined && lease.session < this.#session && !isBusy) {
      assert.equal(present?.plan.action, 'fetch', 'a lease of an older session is not renewed');
    }
    if (!isBusy && !this.isDropped) assert.ok(Number.isFinite(state.times.atMs), 'it goes on');
  }
}

/** Indices of {@link World.actions}; time passes and requests are answered more often than the rest happens. */
const KINDS = [0, 0, 1, 1, 1, 2, 2, 2, 3, 4, 5];

test('no sequence of events loses a lease, starts two requests, or leaves a lease with an older session', () => {
  const step = fc.tuple(fc.constantFrom(...KINDS), fc.noBias(fc.nat({ max: 1000 })));
  fc.assert(
    fc.property(fc.array(step, { minLength: 100, maxLength: 200 }), (steps) => {
      const world = new World();
      for (const [kind, pick] of steps) {
        world.actions[kind]?.(pick);
        world.check();
      }
    }),
    { numRuns: 200 },
  );
});
