import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { reachableStates } from '../../../.tools/docs/state-diagram.ts';
import { VOLUME_EVENTS, VOLUME_MACHINE } from '../../../.tools/docs/volume-machine.ts';
import {
  hasEngine,
  hasFiles,
  initialState,
  isOver,
  isPublished,
  transition,
  type VolumeEffect,
  type VolumeEvent,
  type VolumeState,
} from '../../../src/csi/volume-state.ts';

/** The states that differ in more than the kubelet's calls and the last error. */
const STATES = [
  'waiting',
  'waiting, published',
  'starting',
  'filled',
  'published',
  'refilling',
  'remounting, engine',
  'remounting',
  'remounting, files, engine',
  'remounting, files',
  'remounting, published, engine',
  'remounting, published',
  'remounting, published, files, engine',
  'remounting, published, files',
  'failed',
  'ending, engine',
  'ending',
  'ending, files, engine',
  'ending, files',
  'suspended, engine',
  'suspended',
  'suspended, files, engine',
  'suspended, files',
] as const;
type Name = (typeof STATES)[number];

/** A state with what its data say. */
function nameOf(state: VolumeState): string {
  const flags = [
    ...('isPublished' in state && state.isPublished ? ['published'] : []),
    ...('hasFiles' in state && state.hasFiles ? ['files'] : []),
    ...('hasEngine' in state && state.hasEngine ? ['engine'] : []),
  ];
  return [state.kind, ...flags].join(', ');
}

const { labelOf } = VOLUME_MACHINE;
const FOUND = new Map(reachableStates(VOLUME_MACHINE).map((state) => [nameOf(state), state]));

function stateOf(name: Name): VolumeState {
  const state = FOUND.get(name);
  assert.ok(state !== undefined, name);
  return state;
}

/** State -> event -> next state and effects. What is not here leaves the state as it is, without effects. */
type Row = readonly [next: Name, ...effects: VolumeEffect[]];
const TABLE: Readonly<Record<Name, Readonly<Record<string, Row>>>> = {
  waiting: {
    start: ['starting', 'start-engine'],
    unmounted: ['remounting'],
    end: ['ending'],
    suspend: ['suspended'],
  },
  'waiting, published': {
    start: ['published', 'start-engine'],
    unmounted: ['remounting, published, files'],
    end: ['ending, files'],
    suspend: ['suspended, files'],
  },
  starting: {
    delivered: ['filled', 'report-filled'],
    recorded: ['refilling'],
    'engine-failed for good': ['failed', 'report-failed'],
    unmounted: ['remounting, engine', 'stop-engine'],
    end: ['ending, engine', 'stop-engine'],
    suspend: ['suspended, engine', 'stop-engine'],
  },
  filled: {
    delivered: ['filled', 'report-filled'],
    recorded: ['published'],
    unmounted: ['remounting, files, engine', 'stop-engine'],
    end: ['ending, files, engine', 'stop-engine'],
    suspend: ['suspended, files, engine', 'stop-engine'],
  },
  published: {
    delivered: ['published', 'report-filled'],
    unmounted: ['remounting, published, files, engine', 'stop-engine'],
    end: ['ending, files, engine', 'stop-engine'],
    suspend: ['suspended, files, engine', 'stop-engine'],
  },
  refilling: {
    delivered: ['published', 'report-filled'],
    unmounted: ['remounting, published, engine', 'stop-engine'],
    end: ['ending, engine', 'stop-engine'],
    suspend: ['suspended, engine', 'stop-engine'],
  },
  'remounting, engine': {
    'engine-ended': ['remounting'],
    recorded: ['remounting, published, engine'],
    end: ['ending, engine'],
    suspend: ['suspended, engine'],
  },
  remounting: {
    remounted: ['starting', 'start-engine'],
    recorded: ['remounting, published'],
    end: ['ending'],
    suspend: ['suspended'],
  },
  'remounting, files, engine': {
    'engine-ended': ['remounting, files'],
    recorded: ['remounting, published, files, engine'],
    end: ['ending, files, engine'],
    suspend: ['suspended, files, engine'],
  },
  'remounting, files': {
    remounted: ['starting', 'await-files', 'start-engine'],
    recorded: ['remounting, published, files'],
    end: ['ending, files'],
    suspend: ['suspended, files'],
  },
  'remounting, published, engine': {
    'engine-ended': ['remounting, published'],
    end: ['ending, engine'],
    suspend: ['suspended, engine'],
  },
  'remounting, published': {
    remounted: ['refilling', 'start-engine'],
    end: ['ending'],
    suspend: ['suspended'],
  },
  'remounting, published, files, engine': {
    'engine-ended': ['remounting, published, files'],
    end: ['ending, files, engine'],
    suspend: ['suspended, files, engine'],
  },
  'remounting, published, files': {
    remounted: ['refilling', 'await-files', 'start-engine'],
    end: ['ending, files'],
    suspend: ['suspended, files'],
  },
  failed: { end: ['ending'] },
  'ending, engine': { 'engine-ended': ['ending'] },
  ending: {},
  'ending, files, engine': { 'engine-ended': ['ending, files'] },
  'ending, files': {},
  'suspended, engine': { 'engine-ended': ['suspended'], end: ['ending, engine'] },
  suspended: { end: ['ending'] },
  'suspended, files, engine': {
    'engine-ended': ['suspended, files'],
    end: ['ending, files, engine'],
  },
  'suspended, files': { end: ['ending, files'] },
};

test('the table has every state that can be reached', () => {
  assert.deepEqual([...FOUND.keys()].sort(), [...STATES].sort());
});

for (const name of STATES) {
  test(`every event in the state: ${name}`, () => {
    const state = stateOf(name);
    for (const event of VOLUME_EVENTS) {
      const [next, ...effects] = TABLE[name][labelOf(event)] ?? [name];
      const got = transition(state, event, 0);
      assert.deepEqual([nameOf(got.state), ...got.effects], [next, ...effects], labelOf(event));
    }
    const labels = VOLUME_EVENTS.map(labelOf);
    assert.deepEqual(
      Object.keys(TABLE[name]).filter((label) => !labels.includes(label)),
      [],
    );
  });

  test(`a call of the kubelet only counts in the state: ${name}`, () => {
    const state = stateOf(name);
    const once = transition(state, { kind: 'called' }, 5);
    assert.deepEqual(once, { state: { ...state, calls: { count: 1, lastMs: 5 } }, effects: [] });
    const { calls } = transition(once.state, { kind: 'called' }, 9).state;
    assert.deepEqual(calls, { count: 2, lastMs: 9 });
  });
}

test('the calls and the last error outlive a change of the state', () => {
  const error = VOLUME_EVENTS.find((event) => event.kind === 'delayed')?.error;
  let state = initialState(false, 3);
  assert.deepEqual(state.calls, { count: 0, lastMs: 3 });
  for (const event of [{ kind: 'called' }, ...VOLUME_EVENTS] satisfies readonly VolumeEvent[]) {
    state = transition(state, event, 7).state;
  }
  assert.equal(state.kind, 'ending');
  assert.deepEqual(state.calls, { count: 1, lastMs: 7 });
  assert.ok(error !== undefined && state.lastError !== undefined);
});

test('the reason of a delay is reported until an engine starts, and that of an engine afterwards', () => {
  const [delayed, failed] = ['delayed', 'engine-failed'].map((kind) =>
    VOLUME_EVENTS.find((event) => event.kind === kind),
  );
  assert.ok(delayed?.kind === 'delayed' && failed?.kind === 'engine-failed');
  const waiting = transition(initialState(true, 0), delayed, 0).state;
  assert.equal(waiting.lastError, delayed.error);
  assert.equal(transition(waiting, failed, 0).state.lastError, delayed.error);
  const running = transition(waiting, { kind: 'start' }, 0).state;
  assert.equal(transition(running, failed, 0).state.lastError, failed.error);
  assert.equal(transition(running, delayed, 0).state, running);
});

/** Engines as `Volume` runs them: what an engine reports comes only while it runs, whether or not it was stopped. */
class Engines {
  running = 0;
  isStopped = false;

  execute(effects: readonly VolumeEffect[]): void {
    for (const effect of effects) {
      if (effect === 'start-engine') {
        this.running += 1;
        this.isStopped = false;
      } else if (effect === 'stop-engine') this.isStopped = true;
    }
  }

  mayReport({ kind }: VolumeEvent): boolean {
    if (kind === 'engine-ended') return this.running > 0 && this.isStopped;
    return (kind !== 'delivered' && kind !== 'engine-failed') || this.running > 0;
  }
}

const RUNS = fc.record({
  wasPublished: fc.boolean(),
  events: fc.array(fc.constantFrom<VolumeEvent>({ kind: 'called' }, ...VOLUME_EVENTS), {
    maxLength: 60,
  }),
});

test('whatever happens in whatever order, a volume keeps its promises', () => {
  fc.assert(
    fc.property(RUNS, ({ wasPublished, events }) => {
      let state = initialState(wasPublished, 0);
      const engines = new Engines();
      for (const event of events) {
        if (!engines.mayReport(event)) continue;
        const before = state;
        const { state: after, effects } = transition(before, event, 0);
        engines.execute(effects);
        if (event.kind === 'engine-ended' || after.kind === 'failed') engines.running = 0;
        check(before, after, effects);
        assert.ok(engines.running <= 1, 'two engines at once');
        assert.equal(engines.running > 0, hasEngine(after), `${event.kind}: ${nameOf(after)}`);
        state = after;
      }
    }),
    { numRuns: 2000 },
  );
});

/** What holds for each step. */
function check(before: VolumeState, after: VolumeState, effects: readonly VolumeEffect[]): void {
  const isStarting = effects.includes('start-engine');
  if (isStarting) assert.ok(!hasEngine(before), 'an engine starts while another one lingers');
  if (before.kind === 'ending') {
    assert.equal(after.kind, 'ending', 'what is being removed does not come back');
    assert.deepEqual(effects, [], 'and no engine works on it');
  }
  if (before.kind === 'suspended') {
    assert.ok(!isStarting, 'no engine starts once a successor is to go on');
    assert.ok(after.kind === 'suspended' || after.kind === 'ending');
  }
  if (isPublished(before)) {
    const isLeft = after.kind === 'ending' || after.kind === 'suspended';
    assert.ok(isLeft || isPublished(after), 'what is published stays published, and never fails');
  }
  if (hasFiles(before) && !hasFiles(after)) {
    assert.equal(before.kind, 'remounting', 'files are gone only with their mount');
  }
  checkReports(before, after, effects);
}

/** What calls that wait for the files are answered. */
function checkReports(
  before: VolumeState,
  after: VolumeState,
  effects: readonly VolumeEffect[],
): void {
  if (effects.includes('report-filled')) assert.ok(hasFiles(after));
  assert.equal(
    effects.includes('report-failed'),
    after.kind === 'failed' && before.kind !== 'failed',
  );
  if (isOver(before)) assert.ok(isOver(after));
}
