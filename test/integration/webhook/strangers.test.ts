/** The webhook as a process, with untrusted callers at its port: its memory, and the effect on the API server. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { test, type TestContext } from 'node:test';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { createTestCa } from '../../../src/dev/ca/index.ts';
import { Crowd } from '../../helpers/crowd.ts';
import { tempDirectory } from '../../helpers/temp-directory.ts';
import { until } from '../../helpers/until.ts';
import { MUTATE, reviewBody } from '../../unit/webhook/harness.ts';

const MAIN = fileURLToPath(new URL('../../../cmd/webhook/main.ts', import.meta.url));
const BODY_BYTES = 3 * 1024 * 1024 - 1;
/** Well below the 256 MiB of the chart. */
const MAX_RSS_MIB = 220;

interface Process {
  readonly port: number;
  readonly healthPort: number;
  readonly rssMiB: () => number;
  readonly review: () => Promise<number>;
}

async function start(t: TestContext): Promise<Process> {
  const directory = tempDirectory(t);
  const ca = createTestCa();
  const { certPem, keyPem } = ca.issue();
  const files = { 'tls-cert': certPem, 'tls-key': keyPem, 'tls-ca': ca.caPem };
  const words = Object.entries(files).map(([name, pem]) => {
    const path = join(directory, name);
    writeFileSync(path, pem, { mode: 0o600 });
    return `--${name}=${path}`;
  });
  const ports = ['--listen=127.0.0.1:0', '--health-listen=127.0.0.1:0', '--log-level=error'];
  const child = spawn(process.execPath, ['--max-semi-space-size=1', MAIN, ...words, ...ports], {
    env: {},
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit');
  t.after(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
  const { listening } = JSON.parse(line) as {
    listening: { listen: string; healthListen: string };
  };
  const [port, healthPort] = [listening.listen, listening.healthListen].map((address) =>
    Number(address.split(':')[1]),
  ) as [number, number]; // two in, two out
  const review = async (): Promise<number> => {
    const outgoing = request({ ...MUTATE, port, host: 'localhost', ca: ca.caPem, agent: false });
    outgoing.end(reviewBody());
    const [response] = (await once(outgoing, 'response')) as [import('node:http').IncomingMessage];
    response.resume();
    await once(response, 'end');
    return response.statusCode ?? 0;
  };
  return {
    port,
    healthPort,
    review,
    rssMiB() {
      const status = readFileSync(`/proc/${child.pid ?? 0}/status`, 'utf8');
      return Number(/VmHWM:\s+(\d+)/.exec(status)?.[1]) / 1024;
    },
  };
}

async function assertServing({ healthPort, review }: Process): Promise<void> {
  for (let count = 0; count < 10; count += 1) {
    assert.equal(await review(), 200);
    for (const path of ['/healthz', '/readyz']) {
      assert.equal((await fetch(`http://127.0.0.1:${healthPort}${path}`)).status, 200);
    }
  }
}

test('1,040 idle connections on the review port, 520 on the probe port: everything is answered', async (t) => {
  const webhook = await start(t);
  const { port, healthPort } = webhook;
  using tcp = await Crowd.gather({ port, size: 520 });
  using tls = await Crowd.gather({ port, size: 520, isTls: true });
  using probes = await Crowd.gather({ port: healthPort, size: 520 });
  await assertServing(webhook);
  assert.ok(tcp.closed + tls.closed >= 520 && probes.closed > 0);
  assert.ok(webhook.rssMiB() < MAX_RSS_MIB, `${webhook.rssMiB()} MiB`);
});

test('120 unfinished bodies of 3 MiB: memory is bounded, and everything is answered', async (t) => {
  const webhook = await start(t);
  const before = webhook.rssMiB();
  const headers = `host: a\r\ncontent-type: application/json\r\ncontent-length: ${BODY_BYTES}`;
  const says = `POST /mutate HTTP/1.1\r\n${headers}\r\n\r\n${' '.repeat(BODY_BYTES - 1)}`;
  using crowd = await Crowd.gather({ port: webhook.port, size: 120, isTls: true, says });
  const reviews = assertServing(webhook);
  await until(() => crowd.closed >= 120 - 6);
  await reviews;
  const after = webhook.rssMiB();
  t.diagnostic(
    `peak resident ${Math.round(before)} MiB at rest, ${Math.round(after)} MiB with the crowd`,
  );
  assert.ok(after < MAX_RSS_MIB, `${after} MiB`);
});
