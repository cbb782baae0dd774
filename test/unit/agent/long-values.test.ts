/** Values too long to be written again and again are left to a successor in files of their own. */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { savedBytes, StateFile } from '../../../src/agent/index.ts';
import { Handover } from '../../../src/agent/handover.ts';
import { loginTable } from '../../../src/agent/logins.ts';
import type { ObtainedValue, LeaseRef } from '../../../src/agent/obtain.ts';
import { Sessions } from '../../../src/agent/sessions.ts';
import { Values } from '../../../src/agent/values.ts';
import { parseAgentConfig } from '../../../src/config/agent/index.ts';
import { JsonText, NO_LOGGER, NO_METRICS, Secret } from '../../../src/core/index.ts';
import { CANNOT_MOUNT } from '../../helpers/csi-world.ts';
import { FakeClock } from '../../helpers/fake-clock.ts';
import { directoryWithMounts, mountSmall } from '../../helpers/mounting.ts';
import { tempDirectory } from '../../helpers/temp-directory.ts';

const MIB = 2 ** 20;
const HOUR_MS = 3_600_000;
const never = (): Promise<never> => Promise.reject(new Error('nobody is asked'));

/** One process of a pod: what it holds, and what it leaves. */
class Process {
  readonly sessions: Sessions;
  readonly values: Values;
  readonly handover: Handover;
  readonly clock = new FakeClock();

  constructor(directory: string) {
    const random = { next: () => 0.5 };
    const common = { clock: this.clock, random, logger: NO_LOGGER, metrics: NO_METRICS };
    const quiet = { onChange: () => undefined, onFailure: () => undefined };
    const obtainer = { fetch: never, renew: never };
    this.sessions = new Sessions({
      ...common,
      ...quiet,
      login: never,
      vault: { renewToken: never },
    });
    this.values = new Values({ ...common, ...quiet, obtainer });
    const config = parseAgentConfig({
      apiVersion: 'vouchsafe.dev/v1',
      kind: 'AgentConfig',
      vault: { address: 'http://127.0.0.1:8200' },
      spiffe: { socket: '/run/spire/agent.sock' },
      auth: { method: 'jwt', role: 'web' },
      files: [{ name: 'a', secret: 'kv/a#a' }],
    });
    this.handover = new Handover(config, {
      stateFile: new StateFile(directory, this.clock),
      logins: loginTable([{ name: undefined, sessions: this.sessions }]),
      values: this.values,
      notifiedDigests: new Map(),
      clock: this.clock,
      logger: NO_LOGGER,
    });
  }

  logIn(): void {
    const plan = { action: 'renew', atMs: HOUR_MS, expiresAtMs: 2 * HOUR_MS } as const;
    const life = { startedAtMs: 0, fullTtlMs: 2 * HOUR_MS, isBatch: false, renewable: true };
    this.sessions.resume({ token: new Secret('hvs.planted'), ...life, plan }, 1);
  }

  hold(path: string, value: unknown, dueMs = HOUR_MS): void {
    const lease: LeaseRef = { id: `${path}/1`, session: 1, fullMs: 2 * HOUR_MS };
    const plan = { action: 'renew', atMs: dueMs, expiresAtMs: 2 * HOUR_MS } as const;
    this.values.resume({ kind: 'read', path }, HOUR_MS, { value, lease, plan });
  }

  held(path: string): ObtainedValue | undefined {
    return [...this.values.entries].find(({ key }) => key.includes(path))?.held;
  }
}

function filesIn(directory: string): readonly string[] {
  return readdirSync(directory).filter((name) => name.startsWith('value-'));
}

/** A process that has left two long values and a short one. */
function left(t: TestContext): { directory: string; first: Process; long: readonly JsonText[] } {
  const directory = join(tempDirectory(t), 'state');
  const first = new Process(directory);
  first.logIn();
  const long = ['a', 'b'].map((letter) => JsonText.of({ letter, text: '"\\é'.repeat(MIB) }));
  first.hold('database/creds/short', JsonText.of({ password: 'short' }));
  for (const [index, value] of long.entries()) first.hold(`database/creds/long-${index}`, value);
  first.handover.save('good');
  return { directory, first, long };
}

test('a successor goes on with long values, byte by byte, and with short ones', (t) => {
  const { directory, long } = left(t);
  const second = new Process(directory);
  assert.equal(second.handover.resume(), 'good');
  for (const [index, value] of long.entries()) {
    const held = second.held(`long-${index}`);
    assert.deepEqual(held?.value, value);
    assert.equal(held.lease?.id, `database/creds/long-${index}/1`);
  }
  assert.deepEqual(second.held('short')?.value, { password: 'short' });
});

test('what changes beside a long value costs no more than what changes: it is written once', async (t) => {
  const { directory, first } = left(t);
  const inodes = (): readonly number[] =>
    filesIn(directory).map((name) => statSync(join(directory, name)).ino);
  const before = inodes();
  assert.equal(before.length, 2);
  const state = (): string => readFileSync(join(directory, 'state.json'), 'utf8');
  const saved = state();
  assert.ok(saved.length < 4096, `${saved.length} bytes`);
  first.hold('database/creds/other', JsonText.of({ password: 'other' }));
  first.handover.save('good');
  assert.notEqual(state(), saved);
  assert.deepEqual(inodes(), before);
  // A successor does not write them again either.
  const second = new Process(directory);
  second.handover.resume();
  second.hold('database/creds/third', JsonText.of({ password: 'third' }));
  second.handover.save('good');
  assert.deepEqual(inodes(), before);
  assert.ok((await savedBytes(directory)) > 8 * MIB, 'they count as memory');
});

test('only their owner can read long values, and they are deleted with the state that names them', (t) => {
  const { directory, first } = left(t);
  for (const name of filesIn(directory)) {
    assert.equal(statSync(join(directory, name)).mode & 0o777, 0o600);
  }
  // As a process leaves one that is killed before it has written the state.
  writeFileSync(join(directory, `value-${'0'.repeat(36)}.json`), '{}');
  first.values.dropAllExcept(new Set());
  first.handover.save('good');
  assert.deepEqual(readdirSync(directory), ['state.json']);
  first.hold('database/creds/again', JsonText.of('x'.repeat(MIB)));
  first.handover.save('good');
  assert.equal(filesIn(directory).length, 1);
  first.handover.saveTombstone('good');
  assert.deepEqual(readdirSync(directory), ['state.json']);
  first.handover.deleteState();
  assert.deepEqual(readdirSync(directory), []);
});

test('a missing long value is read again; token and other values are resumed', (t) => {
  const { directory } = left(t);
  const [name = ''] = filesIn(directory);
  rmSync(join(directory, name));
  const second = new Process(directory);
  assert.equal(second.handover.resume(), 'good');
  assert.equal(second.sessions.current?.token.reveal(), 'hvs.planted');
  assert.equal([...second.values.entries].length, 2);
});

test(
  'a full volume keeps nothing half-written: once there is room the state is saved',
  { skip: CANNOT_MOUNT },
  (t) => {
    const directory = join(directoryWithMounts(t), 'state');
    mkdirSync(directory);
    mountSmall(directory, 4 * MIB);
    const filler = join(directory, 'filler');
    writeFileSync(filler, 'x'.repeat(3 * MIB + MIB / 2));
    const first = new Process(directory);
    first.logIn();
    first.hold('database/creds/long', JsonText.of('x'.repeat(MIB)));
    first.handover.save('good');
    assert.deepEqual(readdirSync(directory), ['filler']);
    rmSync(filler);
    first.handover.save('good');
    const second = new Process(directory);
    assert.equal(second.handover.resume(), 'good');
    assert.ok(second.held('long'));
  },
);

for (const name of ['../state.json', '/etc/hostname', 'state.json', 7, null]) {
  test(`a state that names ${String(name)} as a long value has none`, (t) => {
    const { directory } = left(t);
    const path = join(directory, 'state.json');
    const text = readFileSync(path, 'utf8');
    writeFileSync(path, text.replaceAll(/"value-[0-9a-f-]{36}\.json"/g, JSON.stringify(name)));
    const second = new Process(directory);
    assert.equal(second.handover.resume(), 'good');
    assert.equal([...second.values.entries].length, 1);
  });
}
