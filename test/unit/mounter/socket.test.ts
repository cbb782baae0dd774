/** The mounter's socket, with an engine behind it that was taken over, and one that was not. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { statSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { VouchsafeError, type Clock } from '../../../src/core/index.ts';
import {
  MounterClient,
  serveMounter,
  type MounterPort,
  type MountSpec,
} from '../../../src/mounter/index.ts';
import { systemClock } from '../../../src/platform/index.ts';
import { recordingLogger } from '../../helpers/recorder.ts';
import { socketPath, tempDirectory } from '../../helpers/temp-directory.ts';
import { until } from '../../helpers/until.ts';

const never = new AbortController().signal;
const SPEC: MountSpec = { pod: 'a', volume: 'b', sizeBytes: 4096, group: 7, selinux: null };
const REQUEST = { id: 1, kind: 'mount', ...SPEC };

/** Clients of a test: a mounter that ends waits for them. */
const clients = new WeakMap<TestContext, MounterClient[]>();

/** Records requests; a mount waits for `gate`. */
class Asked implements MounterPort {
  readonly mounts: MountSpec[] = [];
  readonly unmounts: unknown[] = [];
  gate: Promise<unknown> = Promise.resolve();
  error: Error | undefined;

  async mount(spec: MountSpec): Promise<void> {
    this.mounts.push(spec);
    await this.gate;
    if (this.error !== undefined) throw this.error;
  }

  unmount(place: unknown): Promise<void> {
    this.unmounts.push(place);
    return Promise.resolve();
  }
}

/** A mounter that listens, until the test ends it. */
async function serve(t: TestContext, socket = socketPath(tempDirectory(t), 'mounter.sock')) {
  const [mounter, logger, ended] = [new Asked(), recordingLogger(), new AbortController()];
  const listening = Promise.withResolvers<undefined>();
  const connections: Socket[] = [];
  const done = serveMounter({ socket, mounter, logger }, ended.signal, () =>
    listening.resolve(undefined),
  );
  await Promise.race([listening.promise, done]);
  t.after(async () => {
    for (const one of connections) one.destroy();
    for (const one of clients.get(t) ?? []) one.close();
    ended.abort();
    await done;
  });
  const raw = async (): Promise<Socket> => {
    const one = connect(socket);
    connections.push(one);
    one.on('error', () => undefined); // its end is what is looked at
    await once(one, 'connect');
    return one;
  };
  return { socket, mounter, logger, raw, stop: () => ended.abort(), done };
}

/** A client that is closed when the test ends. */
function client(t: TestContext, socket: string, clock: Clock = systemClock): MounterClient {
  const made = new MounterClient({ socket, clock });
  clients.set(t, [...(clients.get(t) ?? []), made]);
  t.after(() => made.close());
  return made;
}

/** What arrives until the other side closes. */
async function rest(socket: Socket): Promise<string> {
  let text = '';
  socket.setEncoding('utf8').on('data', (part: string) => (text += part));
  await closed(socket);
  return text;
}

/** Its end, by whatever error. */
function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.once('close', () => resolve()));
}

/** A clock whose long waits are short. */
const hasty: Clock = {
  now: () => systemClock.now(),
  monotonicMs: () => systemClock.monotonicMs() * 100,
  sleep: (ms, signal) => systemClock.sleep(ms / 100, signal),
};

test('requests of the engine arrive unchanged, and nothing else; errors come back with their messages', async (t) => {
  const { socket, mounter } = await serve(t);
  const engine = client(t, socket);
  await engine.mount({ ...SPEC, more: 'of the engine' } as MountSpec, never);
  await engine.unmount({ pod: 'a', volume: 'b' });
  const [asked] = mounter.mounts;
  assert.deepEqual({ ...asked }, { id: 1, kind: 'mount', ...SPEC });
  assert.equal(mounter.unmounts.length, 1);
  mounter.error = new VouchsafeError('ERR_CSI_MOUNT', 'cannot mount /pods/a: it is full');
  await assert.rejects(engine.mount(SPEC, never), {
    code: 'ERR_CSI_MOUNT',
    message: 'cannot mount /pods/a: it is full',
  });
});

test('only root may connect', async (t) => {
  const { socket } = await serve(t);
  assert.equal(statSync(socket).mode & 0o777, 0o600);
});

test('an unexpected error is reported without its text', async (t) => {
  const { socket, mounter } = await serve(t);
  mounter.error = new Error('a secret of the process');
  const refused = client(t, socket).mount(SPEC, never);
  await assert.rejects(refused, (error: Error) => !error.message.includes('a secret'));
});

const NOT_REQUESTS: Readonly<Record<string, string | Uint8Array>> = {
  'an empty line': '\n',
  'no JSON': 'mount /etc\n',
  HTTP: 'GET / HTTP/1.1\r\nHost: mounter\r\n\r\n',
  'a list': '[1]\n',
  null: 'null\n',
  'another kind': line({ ...REQUEST, kind: 'remount' }),
  'a kind that every object has': line({ ...REQUEST, kind: 'constructor' }),
  'only a kind': line({ kind: 'constructor' }),
  'such a kind with an ID': line({ kind: '__defineGetter__', id: 1 }),
  'a kind that is a list': line({ ...REQUEST, kind: ['mount'] }),
  'one key more': line({ ...REQUEST, target: '/etc' }),
  'one key more, of its prototype': `{"__proto__":{},${JSON.stringify(REQUEST).slice(1)}\n`,
  'one key less': line({ ...REQUEST, group: undefined }),
  'an unmount with a size': line({ ...REQUEST, kind: 'unmount' }),
  'a size as text': line({ ...REQUEST, sizeBytes: '4096' }),
  'a group as text': line({ ...REQUEST, group: '7,mode=0777' }),
  'a context as a list': line({ ...REQUEST, selinux: ['suid'] }),
  'a pod as a list': line({ ...REQUEST, pod: ['..'] }),
  'a pod as null': line({ ...REQUEST, pod: null }),
  'an ID as text': line({ ...REQUEST, id: '1' }),
  'an ID that is not an integer': line({ ...REQUEST, id: 1.5 }),
  bytes: new Uint8Array([0xff, 0xfe, 0x00, 0x0a]),
  'a line without an end': 'a'.repeat(3000),
  'a long line': line({ ...REQUEST, pod: 'a'.repeat(3000) }),
  'deep lists': `${'['.repeat(1500)}\n`,
};

function line(value: object): string {
  return `${JSON.stringify(value)}\n`;
}

for (const [what, bytes] of Object.entries(NOT_REQUESTS)) {
  test(`disconnected, without effect on others: ${what}`, async (t) => {
    const { socket, mounter, raw } = await serve(t);
    const stranger = await raw();
    const ended = rest(stranger);
    stranger.write(bytes);
    // A request on the heels of it is not looked at.
    stranger.write(line({ ...REQUEST, id: 2 }));
    assert.equal(await ended, '');
    assert.deepEqual(mounter.mounts, []);
    await client(t, socket).mount(SPEC, never);
    assert.equal(mounter.mounts.length, 1);
  });
}

test('a request in pieces is one', async (t) => {
  const { mounter, raw } = await serve(t);
  const engine = await raw();
  engine.setNoDelay(true);
  const text = line(REQUEST);
  engine.write(text.slice(0, 20));
  engine.write(text.slice(20));
  const [answer] = (await once(engine, 'data')) as [Buffer];
  assert.deepEqual(JSON.parse(answer.toString()), { id: 1, error: null });
  assert.equal(mounter.mounts.length, 1);
});

test('more than 64 requests at once: the connection is closed, and requests in flight end', async (t) => {
  const { socket, mounter, raw } = await serve(t);
  const gate = Promise.withResolvers<undefined>();
  mounter.gate = gate.promise;
  const stranger = await raw();
  const ended = rest(stranger);
  for (let id = 0; id < 1000; id += 1) stranger.write(line({ ...REQUEST, id }));
  await ended;
  assert.equal(mounter.mounts.length, 64);
  gate.resolve(undefined);
  await client(t, socket).mount(SPEC, never);
});

test('answers that are not read do not pile up', async (t) => {
  const { socket, mounter, raw, logger } = await serve(t);
  mounter.error = new VouchsafeError('ERR_CSI_MOUNT', 'x'.repeat(2000));
  const stranger = await raw();
  stranger.pause();
  const ended = closed(stranger);
  const isCut = (): boolean =>
    logger.lines.some(({ fields }) => fields['reason'] === 'the peer does not read answers');
  // Each answer makes room for the next request, until nothing can be written any more.
  for (let count = 0; count < 20_000 && !isCut(); count += 32) {
    for (let id = count; id < count + 32; id += 1) stranger.write(line({ ...REQUEST, id }));
    await until(() => isCut() || mounter.mounts.length === count + 32);
  }
  assert.ok(isCut());
  stranger.resume();
  await ended;
  mounter.error = undefined;
  await client(t, socket).mount(SPEC, never);
});

test('a crowd of connections does not affect the existing one', async (t) => {
  const { socket, raw } = await serve(t);
  const engine = client(t, socket);
  await engine.mount(SPEC, never);
  const crowd = await Promise.all(Array.from({ length: 20 }, () => raw()));
  await until(() => crowd.filter(({ destroyed }) => destroyed).length >= 17);
  await engine.mount(SPEC, never);
});

test('after an abort it serves existing connections until they close, and no new ones', async (t) => {
  const { socket, stop, done, mounter } = await serve(t);
  const engine = client(t, socket);
  await engine.mount(SPEC, never);
  stop();
  await engine.unmount({ pod: 'a', volume: 'b' });
  assert.equal(mounter.unmounts.length, 1);
  await assert.rejects(client(t, socket, hasty).mount(SPEC, never), {
    code: 'ERR_CSI_MOUNT',
    message: /cannot be reached \(ENOENT|ECONNREFUSED\)/,
  });
  engine.close();
  await done;
});

test('an engine that starts first waits for the mounter', async (t) => {
  const socket = socketPath(tempDirectory(t), 'mounter.sock');
  const asked = client(t, socket).mount(SPEC, never);
  const { mounter } = await serve(t, socket);
  await asked;
  assert.equal(mounter.mounts.length, 1);
});

test('a mounter that dies with a request in flight: an error, and the next mounter gets the next request', async (t) => {
  const socket = socketPath(tempDirectory(t), 'mounter.sock');
  const first = createServer((one) => {
    one.on('error', () => undefined);
    one.once('data', () => {
      first.close();
      one.destroy();
    });
  });
  first.listen(socket);
  await once(first, 'listening');
  const engine = client(t, socket);
  const refusal = { code: 'ERR_CSI_MOUNT', message: /closed the connection/ };
  await assert.rejects(engine.mount(SPEC, never), refusal);
  const { mounter } = await serve(t, socket);
  await engine.mount(SPEC, never);
  assert.equal(mounter.mounts.length, 1);
});

test('no mounter: an error that says where to look', async (t) => {
  const engine = client(t, socketPath(tempDirectory(t), 'mounter.sock'), hasty);
  await assert.rejects(engine.mount(SPEC, never), {
    code: 'ERR_CSI_MOUNT',
    message: /cannot be reached \(ENOENT\): see the log of container mounter/,
  });
});

test('a mounter that does not answer: an error, and the engine does not wait for ever', async (t) => {
  const { socket, mounter } = await serve(t);
  const gate = Promise.withResolvers<undefined>();
  mounter.gate = gate.promise;
  const engine = client(t, socket, hasty);
  await assert.rejects(engine.mount(SPEC, never), {
    code: 'ERR_CSI_MOUNT',
    message: /does not answer/,
  });
  gate.resolve(undefined);
  await engine.mount(SPEC, never);
});

test('a caller that aborts does not wait', async (t) => {
  const { socket, mounter } = await serve(t);
  mounter.gate = new Promise(() => undefined);
  const gone = new AbortController();
  const asked = client(t, socket).mount(SPEC, gone.signal);
  await until(() => mounter.mounts.length === 1);
  gone.abort(new Error('the caller is gone'));
  await assert.rejects(asked, /the caller is gone/);
});

for (const [what, says] of [
  ['not JSON', 'done\n'],
  ['a line without an end', 'a'.repeat(3000)],
  ['an answer with more', '{"id":1,"error":null,"more":1}\n'],
] as const) {
  test(`a peer that answers and is not a mounter is disconnected, and the request fails: ${what}`, async (t) => {
    const socket = socketPath(tempDirectory(t), 'mounter.sock');
    const peer = createServer((one) => {
      one.on('error', () => undefined);
      one.once('data', () => one.write(says));
    });
    peer.listen(socket);
    await once(peer, 'listening');
    t.after(() => peer.close());
    const engine = client(t, socket);
    for (let count = 0; count < 2; count += 1) {
      await assert.rejects(engine.mount(SPEC, never), {
        code: 'ERR_CSI_MOUNT',
        message: /closed the connection/,
      });
    }
  });
}
