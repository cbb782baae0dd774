import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { startWorkloadApi, type DevWorkloadApi } from '../../../src/dev/workload-api/index.ts';
import {
  createWorkloadApi,
  parseWorkloadApiAddress,
  type WorkloadApi,
} from '../../../src/spiffe/index.ts';
import { addressOfOtherName } from '../../../src/spiffe/socket-names.ts';
import { FakeClock } from '../../helpers/fake-clock.ts';
import { recordingLogger, type RecordingLogger } from '../../helpers/recorder.ts';

const never = new AbortController().signal;

interface Setup {
  readonly api: WorkloadApi;
  readonly clock: FakeClock;
  readonly directory: string;
  readonly logger: RecordingLogger;
  /** A Workload API whose only workload has that name as its ID. */
  readonly serve: (name: string) => Promise<DevWorkloadApi>;
  /** The ID that a JWT-SVID is issued for. */
  readonly subject: () => Promise<string | undefined>;
}

async function setup(t: TestContext, configured: string): Promise<Setup> {
  const clock = new FakeClock();
  const logger = recordingLogger();
  const directory = await mkdtemp(join(tmpdir(), 'vs-'));
  const api = createWorkloadApi({ address: `unix://${directory}/${configured}`, clock, logger });
  const servers: DevWorkloadApi[] = [];
  t.after(async () => {
    api.close();
    for (const server of servers) await server.close();
    await rm(directory, { recursive: true });
    assert.equal(clock.sleeping, 0);
  });
  const serve = async (name: string): Promise<DevWorkloadApi> => {
    const identities = [{ spiffeId: `spiffe://example.org/${name}` }];
    const address = `unix://${join(directory, name)}`;
    const server = await startWorkloadApi({ identities, clock, address });
    servers.push(server);
    return server;
  };
  const subject = async (): Promise<string | undefined> => {
    const [svid] = await api.fetchJwtSvids({ audiences: ['vault'] }, never);
    return svid?.spiffeId.uri;
  };
  return { api, clock, directory, logger, serve, subject };
}

for (const [configured, present] of [
  ['agent.sock', 'spire-agent.sock'],
  ['spire-agent.sock', 'agent.sock'],
] as const) {
  test(`${configured} is configured and only ${present} exists: that is used, and logged once`, async (t) => {
    const { directory, logger, serve, subject } = await setup(t, configured);
    await serve(present);
    assert.equal(await subject(), `spiffe://example.org/${present}`);
    assert.equal(await subject(), `spiffe://example.org/${present}`);
    const entries = logger.lines.filter(({ level }) => level === 'info');
    assert.deepEqual(
      entries.map(({ fields }) => fields),
      [
        {
          socket: `unix://${directory}/${present}`,
          configured: `unix://${directory}/${configured}`,
        },
      ],
    );
  });

  test(`${configured} is configured and both exist: the configured one is used`, async (t) => {
    const { logger, serve, subject } = await setup(t, configured);
    await serve(present);
    await serve(configured);
    assert.equal(await subject(), `spiffe://example.org/${configured}`);
    assert.deepEqual(logger.lines, []);
  });
}

test('a stream finds the other name, too', async (t) => {
  const { api, serve } = await setup(t, 'agent.sock');
  await serve('spire-agent.sock');
  const { svids } = await api.fetchX509Context(never);
  assert.deepEqual(
    svids.map(({ spiffeId }) => spiffeId.uri),
    ['spiffe://example.org/spire-agent.sock'],
  );
});

test('neither exists: one error names both and the directory; the one that comes is found', async (t) => {
  const { api, directory, serve, subject } = await setup(t, 'agent.sock');
  const missing = {
    code: 'ERR_SPIFFE_UNAVAILABLE',
    message: new RegExp(
      `at unix://${directory}/agent\\.sock: the socket does not exist.*\\(ENOENT\\); ` +
        `looked for agent\\.sock and spire-agent\\.sock in ${directory}$`,
    ),
  };
  await assert.rejects(subject(), missing);
  await assert.rejects(api.fetchX509Context(never), missing);
  await serve('spire-agent.sock');
  assert.equal(await subject(), 'spiffe://example.org/spire-agent.sock');
});

test('the configured one comes later: it is used from then on', async (t) => {
  const { serve, subject } = await setup(t, 'agent.sock');
  await serve('spire-agent.sock');
  await subject();
  await serve('agent.sock');
  assert.equal(await subject(), 'spiffe://example.org/agent.sock');
});

test('a socket that exists and does not answer is not replaced by the other one', async (t) => {
  const { directory, serve, subject } = await setup(t, 'agent.sock');
  await serve('spire-agent.sock');
  await writeFile(join(directory, 'agent.sock'), '');
  await assert.rejects(subject(), {
    code: 'ERR_SPIFFE_UNAVAILABLE',
    message: /agent\.sock: nothing listens there.*\(ECONNREFUSED\)$/,
  });
});

test('a denial names the socket that was asked', async (t) => {
  const { directory, serve, subject } = await setup(t, 'agent.sock');
  (await serve('spire-agent.sock')).setIdentities([]);
  await assert.rejects(subject(), {
    code: 'ERR_SPIFFE_DENIED',
    message: new RegExp(`at unix://${directory}/spire-agent\\.sock: `),
  });
});

test('a name of its own is the only one that is looked for', async (t) => {
  const { serve, subject } = await setup(t, 'api.sock');
  await serve('agent.sock');
  await serve('spire-agent.sock');
  await assert.rejects(subject(), { code: 'ERR_SPIFFE_UNAVAILABLE', message: /\(ENOENT\)$/ });
});

test('no call can begin after the end', async (t) => {
  const { api, serve, subject } = await setup(t, 'agent.sock');
  await serve('spire-agent.sock');
  await subject();
  api.close();
  await assert.rejects(api.fetchX509Context(never), TypeError);
});

for (const [uri, other] of [
  ['unix:///run/spire/sockets/agent.sock', 'unix:///run/spire/sockets/spire-agent.sock'],
  ['unix:///run/spire/sockets/spire-agent.sock', 'unix:///run/spire/sockets/agent.sock'],
  ['unix:///tmp/spire-agent/public/api.sock', undefined],
  ['unix:///run/agent.sock/api.sock', undefined],
  ['tcp://127.0.0.1:8081', undefined],
] as const) {
  test(`the other name of ${uri}: ${other ?? 'none'}`, () => {
    assert.equal(addressOfOtherName(parseWorkloadApiAddress(uri))?.uri, other);
  });
}
