import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  currentOf,
  dueAtMs,
  NO_SESSION,
  sessionFor,
  type ResumedSession,
  type Session,
  type SessionContext,
  type SessionEvent,
  type SessionEventType,
  type SessionState,
  type SessionStateName,
  type SessionTransition,
} from '../../../src/agent/session-state.ts';
import { SESSION_TABLE, transitionSession } from '../../../src/agent/session-transitions.ts';
import { arrowsOfTable } from '../../../.tools/docs/state-table.ts';
import type { VaultToken } from '../../../src/contracts/index.ts';
import { Secret } from '../../../src/core/index.ts';
import { failure } from '../../helpers/model-vault.ts';
import { constantRandom, seededRandom } from '../../helpers/random.ts';

const MINUTE_MS = 60_000;
const NOW_MS = 100 * MINUTE_MS;
const CONTEXT: SessionContext = { nowMs: NOW_MS, wallMs: 0, random: constantRandom() };

const RESUMED: ResumedSession = {
  token: new Secret('t'),
  startedAtMs: NOW_MS - 40 * MINUTE_MS,
  fullTtlMs: 60 * MINUTE_MS,
  isBatch: false,
  renewable: true,
  plan: { action: 'renew', atMs: NOW_MS, expiresAtMs: NOW_MS + 20 * MINUTE_MS },
};
const OLD: Session = { ...RESUMED, id: 2 };
const SESSION: Session = { ...RESUMED, id: 3 };
const TOKEN: VaultToken = {
  token: new Secret('new'),
  accessor: undefined,
  ttlMs: 60 * MINUTE_MS,
  renewable: true,
  type: 'service',
  numUses: 0,
};

const history = { logins: 3, lastError: undefined, waitStep: undefined, retired: [OLD] };

const STATES: Readonly<Record<SessionStateName, SessionState>> = {
  none: NO_SESSION,
  'logging-in': { name: 'logging-in', login: 'trying', last: SESSION, history },
  current: { name: 'current', session: SESSION, history },
  renewing: { name: 'renewing', session: SESSION, history },
  outdated: { name: 'outdated', session: SESSION, history },
  replacing: { name: 'replacing', login: 'trying', session: SESSION, history },
  lost: { name: 'lost', last: SESSION, history },
};

/** Of the current session, where the event is about one. */
const EVENTS: { readonly [Type in SessionEventType]: Extract<SessionEvent, { type: Type }> } = {
  resumed: { type: 'resumed', session: RESUMED, logins: 3 },
  adopted: { type: 'adopted', sessions: [] },
  loginRequired: { type: 'loginRequired' },
  due: { type: 'due' },
  loginTried: { type: 'loginTried' },
  loginFailed: { type: 'loginFailed', error: failure('ERR_VAULT_UNREACHABLE') },
  loginAborted: { type: 'loginAborted' },
  loggedIn: { type: 'loggedIn', token: TOKEN },
  renewed: { type: 'renewed', id: 3, grant: TOKEN },
  renewalFailed: { type: 'renewalFailed', id: 3, error: failure('ERR_VAULT_UNREACHABLE') },
  renewalAborted: { type: 'renewalAborted', id: 3 },
  invalidated: { type: 'invalidated', id: 3 },
  identityReplaced: { type: 'identityReplaced' },
  longerLifeRequired: { type: 'longerLifeRequired' },
  forgotten: { type: 'forgotten', id: 3 },
  ended: { type: 'ended', id: 3 },
  shortened: { type: 'shortened', id: 3, ttlMs: 30_000 },
};

/** A transition in short: the next state, the effects in their order, and the request. */
function short({ state, effects, request }: SessionTransition): string {
  const done = effects.map((effect) => {
    if (effect.type === 'log') return effect.level;
    return effect.type === 'count' ? effect.result : effect.type;
  });
  const asked = request === undefined ? [] : [`-> ${request.type}`];
  return [state.name, ...done, ...asked].join(' ');
}

const LOGGED_IN = 'ok info publish save changed wake';
const LOST = 'warn withdraw changed wake';
const LATE = 'ERR_VAULT_UNREACHABLE';

/** Everything that is not listed has to be ignored. */
const EXPECTED: Readonly<Record<SessionStateName, Partial<Record<SessionEventType, string>>>> = {
  none: {
    resumed: 'current publish wake',
    loginRequired: 'logging-in -> log-in',
    // There is no session 3 in this state, so that these are about one that nobody knows.
    renewed: 'none ok debug changed wake',
    renewalFailed: `none ${LATE}`,
  },
  'logging-in': {
    loginTried: 'logging-in',
    identityReplaced: 'logging-in',
    loginFailed: `logging-in ${LATE} warn -> log-in`,
    loginAborted: 'lost wake',
    loggedIn: `current ${LOGGED_IN}`,
    renewed: 'logging-in ok debug changed wake',
    renewalFailed: `logging-in ${LATE}`,
  },
  current: {
    due: 'renewing -> renew',
    identityReplaced: 'outdated wake',
    longerLifeRequired: 'outdated wake',
    shortened: 'current',
    invalidated: `lost ${LOST}`,
    ended: 'lost withdraw',
  },
  renewing: {
    renewed: 'current ok debug changed wake',
    renewalFailed: `current ${LATE} warn wake`,
    renewalAborted: 'current',
    identityReplaced: 'outdated wake',
    invalidated: `lost ${LOST}`,
    ended: 'lost withdraw',
  },
  outdated: {
    due: 'replacing -> log-in',
    renewed: 'outdated ok debug changed wake',
    renewalFailed: `outdated ${LATE} warn wake`,
    invalidated: `lost ${LOST}`,
    ended: 'lost withdraw',
  },
  replacing: {
    loginTried: 'replacing',
    identityReplaced: 'replacing',
    loginFailed: `replacing ${LATE} warn -> log-in`,
    loginAborted: 'outdated wake',
    loggedIn: `current ${LOGGED_IN}`,
    renewed: 'replacing ok debug changed wake',
    renewalFailed: `replacing ${LATE} warn wake`,
    invalidated: `logging-in ${LOST}`,
    ended: 'logging-in withdraw',
  },
  lost: {
    loginRequired: 'logging-in -> log-in',
    due: 'logging-in -> log-in',
    renewed: 'lost ok debug changed wake',
    renewalFailed: `lost ${LATE}`,
  },
};

/** Arrows of the table, as `from event to`. */
const ARROWS = arrowsOfTable(SESSION_TABLE).map(({ from, label, to }) => `${from} ${label} ${to}`);

for (const [name, state] of Object.entries(STATES)) {
  test(`in the state ${name}, each event has its effects or is ignored`, () => {
    for (const event of Object.values(EVENTS)) {
      const next = transitionSession(state, event, CONTEXT);
      const expected = EXPECTED[state.name][event.type];
      assert.equal(short(next), expected ?? name, `${name} + ${event.type}`);
    }
  });

  test(`in the state ${name}, events of retired sessions change only those`, () => {
    const retired = { ...state, history: { ...state.history, retired: [OLD] } };
    const of = (event: SessionEvent): readonly Session[] => {
      const next = transitionSession(retired, event, CONTEXT).state;
      const kept = { ...next, history: { ...next.history, retired: [OLD] } };
      assert.deepEqual(kept, retired, event.type);
      return next.history.retired;
    };
    const invalid = failure('ERR_VAULT_TOKEN_INVALID');
    for (const type of ['invalidated', 'forgotten', 'ended'] as const) {
      assert.deepEqual(of({ type, id: 2 }), [], type);
      assert.deepEqual(of({ type, id: 9 }), [OLD], type);
    }
    assert.deepEqual(of({ type: 'renewalFailed', id: 2, error: invalid }), []);
    assert.deepEqual(of({ ...EVENTS.renewalFailed, id: 2 }), [OLD]);
    assert.deepEqual(of({ type: 'renewalAborted', id: 2 }), [OLD]);
    const [longer] = of({ type: 'renewed', id: 2, grant: TOKEN });
    assert.equal(longer?.plan.expiresAtMs, NOW_MS + TOKEN.ttlMs, 'its token lives longer');
    const adopted = of({ type: 'adopted', sessions: [RESUMED, RESUMED] });
    assert.deepEqual(
      adopted.map(({ id }) => id),
      [2, -1, -2],
    );
  });
}

const DUE_LATER = { ...SESSION, plan: { ...SESSION.plan, atMs: NOW_MS + 1 } };
const CUT = { ...SESSION, plan: { ...SESSION.plan, action: 'fetch' } } as const;
const INVALID = { ...EVENTS.renewalFailed, error: failure('ERR_VAULT_TOKEN_INVALID') };

/** Cases beside {@link EXPECTED}: the same events with other outcomes. */
const MORE: readonly (readonly [string, SessionState, SessionEvent, string])[] = [
  [
    'a step that is not due is not taken',
    { name: 'current', session: DUE_LATER, history },
    EVENTS.due,
    'current',
  ],
  [
    'a token whose grant was cut is replaced',
    { name: 'current', session: CUT, history },
    EVENTS.due,
    'replacing -> log-in',
  ],
  [
    'a final error ends the first login, uncounted',
    { name: 'logging-in', login: 'trying', last: undefined, history: NO_SESSION.history },
    { type: 'loginFailed', error: failure('ERR_VAULT_LOGIN_WRAPPED') },
    'none',
  ],
  [
    'a final error does not end a later login',
    STATES['logging-in'],
    { type: 'loginFailed', error: failure('ERR_VAULT_LOGIN_WRAPPED') },
    'logging-in ERR_VAULT_LOGIN_WRAPPED error -> log-in',
  ],
  [
    'an error that was logged is only counted',
    { ...STATES.replacing, history: { ...history, lastError: failure(LATE) } },
    EVENTS.loginFailed,
    `replacing ${LATE} -> log-in`,
  ],
  [
    'a first login that is aborted leaves nothing',
    { name: 'logging-in', login: 'trying', last: undefined, history: NO_SESSION.history },
    EVENTS.loginAborted,
    'none',
  ],
  [
    'a login whose identity was replaced during its try leads to another one',
    { name: 'logging-in', login: 'trying-outdated', last: SESSION, history },
    EVENTS.loggedIn,
    `outdated ${LOGGED_IN}`,
  ],
  [
    'the same while an older token is valid',
    { name: 'replacing', login: 'trying-outdated', session: SESSION, history },
    EVENTS.loggedIn,
    `outdated ${LOGGED_IN}`,
  ],
  [
    'a token with a limited number of uses is warned about',
    STATES['logging-in'],
    { type: 'loggedIn', token: { ...TOKEN, numUses: 5 } },
    'current ok info warn publish save changed wake',
  ],
  ...(['renewing', 'outdated'] as const).map((name) => {
    const title = `a renewal that finds the token invalid loses it: ${name}`;
    return [title, STATES[name], INVALID, `lost ERR_VAULT_TOKEN_INVALID ${LOST}`] as const;
  }),
  [
    'a renewal that finds the token invalid leaves the login in progress',
    STATES.replacing,
    INVALID,
    `logging-in ERR_VAULT_TOKEN_INVALID ${LOST}`,
  ],
];

for (const [title, state, event, expected] of MORE) {
  test(title, () => assert.equal(short(transitionSession(state, event, CONTEXT)), expected));
}

test('the table has no arrow that no case takes', () => {
  const taken = new Set(
    [
      ...Object.values(STATES).flatMap((state) =>
        Object.values(EVENTS).map((event) => [state, event] as const),
      ),
      ...MORE.map(([, state, event]) => [state, event] as const),
    ].map(([state, event]) => {
      const next = transitionSession(state, event, CONTEXT).state.name;
      return `${state.name} ${event.type} ${next}`;
    }),
  );
  assert.deepEqual(
    ARROWS.filter((arrow) => !taken.has(arrow)),
    [],
  );
});

test('an identity that is replaced while a login waits is the one of its next try', () => {
  for (const name of ['logging-in', 'replacing'] as const) {
    const waiting = { ...STATES[name], login: 'waiting' } as SessionState; // both have a login
    assert.deepEqual(transitionSession(waiting, EVENTS.identityReplaced, CONTEXT).state, waiting);
  }
});

test('a renewal that asks people is not repeated: a login comes when there is no time for another', () => {
  for (const [code, action] of [
    ['ERR_VAULT_UNREACHABLE', 'renew'],
    ['ERR_VAULT_WRAPPED', 'fetch'],
  ] as const) {
    const event = { ...EVENTS.renewalFailed, error: failure(code) };
    const { state } = transitionSession(STATES.renewing, event, CONTEXT);
    const plan = currentOf(state)?.plan;
    assert.equal(plan?.action, action);
    const waitMs = plan.atMs - NOW_MS;
    const lastMs = 20 * MINUTE_MS - 0.15 * SESSION.fullTtlMs;
    assert.ok(action === 'fetch' ? waitMs === lastMs : waitMs < lastMs, `${code}: ${waitMs} ms`);
  }
});

test('waits follow the age of the token that was lost', () => {
  const young = { ...SESSION, startedAtMs: NOW_MS - 59_000 };
  for (const [session, waitStep] of [
    [young, 64_000],
    [SESSION, undefined],
  ] as const) {
    const state = { name: 'current', session, history: { ...history, waitStep: 64_000 } } as const;
    const lost = transitionSession(state, EVENTS.invalidated, CONTEXT).state;
    assert.equal(lost.history.waitStep, waitStep);
  }
});

test('a caller gets the session, the error of a login that replaces one, or has to wait', () => {
  const error = failure('ERR_VAULT_SEALED');
  const failing = { ...history, lastError: error };
  const expired = { ...SESSION, plan: { ...SESSION.plan, expiresAtMs: NOW_MS } };
  const get = (state: SessionState) => sessionFor(state, NOW_MS);
  assert.equal(get(NO_SESSION), undefined);
  assert.equal(get(STATES.current), SESSION);
  assert.equal(
    get({ name: 'replacing', login: 'waiting', session: SESSION, history: failing }),
    SESSION,
  );
  assert.equal(
    get({ name: 'replacing', login: 'waiting', session: expired, history: failing }),
    error,
  );
  assert.equal(get({ name: 'replacing', login: 'waiting', session: expired, history }), expired);
  assert.equal(
    get({ name: 'logging-in', login: 'waiting', last: SESSION, history: failing }),
    error,
  );
  const first = { ...failing, logins: 0 };
  assert.equal(
    get({ name: 'logging-in', login: 'waiting', last: undefined, history: first }),
    undefined,
  );
});

/** What happens around the machine; each step answers something that it requested, or comes from outside. */
class World {
  readonly #random = seededRandom(5);
  #nowMs = 0;
  state = NO_SESSION;
  /** Whether a login was requested and has not ended. */
  isLoggingIn = false;
  /** Ids of renewals in progress. */
  readonly renewing: number[] = [];
  /** Id of a session -> the number of the identity that logged in. */
  readonly identities = new Map<number, number>();
  /** Ids of sessions that Vault or the agent ended. */
  readonly over = new Set<number>();
  identity = 0;
  #triedWith = 0;

  get #context(): SessionContext {
    return { nowMs: this.#nowMs, wallMs: 0, random: this.#random };
  }

  apply(event: SessionEvent): void {
    const before = this.state;
    const { state, effects, request } = transitionSession(before, event, this.#context);
    this.state = state;
    if (state.name !== before.name) {
      assert.ok(ARROWS.includes(`${before.name} ${event.type} ${state.name}`), event.type);
    }
    if (request?.type === 'log-in') {
      assert.ok(event.type === 'loginFailed' || !this.isLoggingIn, 'never two logins at a time');
      assert.ok(request.afterMs >= 0 && request.afterMs <= 300_000);
      this.isLoggingIn = true;
    }
    if (request?.type === 'renew') {
      assert.ok(!this.renewing.includes(request.session.id), 'never two renewals of a session');
      this.renewing.push(request.session.id);
    }
    const [was, is] = [currentOf(before)?.id, currentOf(state)?.id];
    const types = effects.map(({ type }) => type);
    assert.equal(types.includes('publish'), is !== undefined && is !== was, 'announced once');
    assert.equal(types.includes('withdraw'), was !== undefined && is === undefined);
  }

  /** What may happen, each with a number that the test draws. */
  readonly actions: readonly ((pick: number) => void)[] = [
    (pick) => (this.#nowMs += pick * 1000),
    () => {
      if (dueAtMs(this.state, this.#nowMs) <= this.#nowMs) this.apply({ type: 'due' });
    },
    () => {
      if (currentOf(this.state) === undefined) this.apply({ type: 'loginRequired' });
    },
    (pick) => {
      if (this.isLoggingIn) this.#login(pick);
    },
    (pick) => {
      const id = this.renewing[pick % this.renewing.length];
      if (id !== undefined) this.#renewal(id, pick);
    },
    () => {
      this.identity += 1;
      this.apply({ type: 'identityReplaced' });
    },
    (pick) => {
      const id = [...this.identities.keys()][pick % this.identities.size];
      if (id !== undefined) this.#end(pick % 5 === 0 ? 'ended' : 'invalidated', id);
    },
    (pick) => {
      const { retired } = this.state.history;
      const id = retired[pick % retired.length]?.id;
      if (id !== undefined) this.#end('forgotten', id);
    },
  ];

  #end(type: 'ended' | 'invalidated' | 'forgotten', id: number): void {
    this.over.add(id);
    this.apply({ type, id });
  }

  #login(pick: number): void {
    if ('login' in this.state && this.state.login === 'waiting') {
      this.#triedWith = this.identity;
      this.apply({ type: 'loginTried' });
    } else if (pick % 3 === 0) {
      const error = failure(pick % 2 === 0 ? 'ERR_VAULT_UNREACHABLE' : 'ERR_VAULT_LOGIN_WRAPPED');
      this.isLoggingIn = this.state.history.logins > 0 || error.retry !== 'never';
      this.apply({ type: 'loginFailed', error });
    } else if (pick % 7 === 0) {
      this.isLoggingIn = false;
      this.apply({ type: 'loginAborted' });
    } else {
      this.isLoggingIn = false;
      const renewable = pick % 2 === 0;
      this.identities.set(this.state.history.logins + 1, this.#triedWith);
      this.apply({ type: 'loggedIn', token: { ...TOKEN, ttlMs: pick * 10_000, renewable } });
    }
  }

  #renewal(id: number, pick: number): void {
    this.renewing.splice(this.renewing.indexOf(id), 1);
    const isInvalid = pick % 4 === 2;
    if (isInvalid) this.over.add(id);
    const error = failure(isInvalid ? 'ERR_VAULT_TOKEN_INVALID' : 'ERR_VAULT_UNREACHABLE');
    const grant = { ttlMs: pick * 10_000, renewable: true };
    if (pick % 4 === 0) this.apply({ type: 'renewalAborted', id });
    else if (pick % 4 === 1) this.apply({ type: 'renewed', id, grant });
    else this.apply({ type: 'renewalFailed', id, error });
  }

  check(): void {
    const { state, identities } = this;
    const { retired, logins } = state.history;
    const current = currentOf(state);
    const ids = [...retired.map(({ id }) => id), ...(current ? [current.id] : [])];
    assert.equal(
      new Set(ids).size,
      ids.length,
      'no session twice: one current, the others retired',
    );
    assert.ok(ids.every((id) => id <= logins && !this.over.has(id)));
    assert.equal(state.name === 'logging-in' || state.name === 'replacing', this.isLoggingIn);
    if (state.name === 'renewing') assert.ok(this.renewing.includes(state.session.id));
    if (state.name === 'current') assert.ok(!this.renewing.includes(state.session.id));
    if (state.name === 'current' || state.name === 'renewing') {
      const { id } = state.session;
      assert.equal(identities.get(id), this.identity, 'no step of an older identity is waited for');
    }
    if (state.name === 'outdated' || state.name === 'lost') {
      assert.ok(dueAtMs(state, this.#nowMs) <= this.#nowMs, 'a login is due');
    }
    for (const id of identities.keys()) {
      const isKept = ids.includes(id) || this.over.has(id) || this.#hasExpired(id);
      assert.ok(isKept, `session ${id} is neither kept nor over`);
    }
  }

  /** Expired sessions may be dropped at the next login; then their end has to be known. */
  #hasExpired(id: number): boolean {
    return (this.#ends.get(id) ?? Infinity) <= this.#nowMs;
  }

  readonly #ends = new Map<number, number>();

  noteEnds(): void {
    const current = currentOf(this.state);
    const all = [...this.state.history.retired, ...(current ? [current] : [])];
    for (const { id, plan } of all) this.#ends.set(id, plan.expiresAtMs);
  }
}

/** Indices of {@link World.actions}; time passes and requests are answered more often than tokens end. */
const KINDS = [0, 0, 0, 1, 1, 1, 1, 2, 2, 3, 3, 3, 3, 4, 4, 5, 6, 7];

test('no sequence of events leaves two current sessions, a lost one, or a step of an older identity', () => {
  const step = fc.tuple(fc.constantFrom(...KINDS), fc.noBias(fc.nat({ max: 1000 })));
  fc.assert(
    fc.property(fc.array(step, { minLength: 200, maxLength: 300 }), (steps) => {
      const world = new World();
      for (const [kind, pick] of steps) {
        world.noteEnds();
        world.actions[kind]?.(pick);
        world.check();
      }
    }),
    { numRuns: 200 },
  );
});
