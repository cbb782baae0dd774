import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { GATE_SOCKET } from '../../../src/agent/index.ts';
import { EXIT, type Clock } from '../../../src/core/index.ts';
import { runAgent, type RunAgentOptions } from '../../../src/agent-runtime/index.ts';
import { systemClock, systemRandom } from '../../../src/platform/index.ts';
import { Hunt } from '../../helpers/hunt.ts';
import { recordingLogger } from '../../helpers/recorder.ts';
import { tempDirectory } from '../../helpers/temp-directory.ts';
import { until } from '../../helpers/until.ts';
import { PLANTED, Pod } from './bench.ts';

const HOOK = fileURLToPath(new URL('../../../cmd/start-gate/main.ts', import.meta.url));
const MAIN = fileURLToPath(new URL('../../../cmd/agent/main.ts', import.meta.url));

interface Run {
  readonly code: Promise<number>;
  readonly logger: ReturnType<typeof recordingLogger>;
  readonly printed: string[];
  readonly stop: AbortController;
}

/** Runs the agent in this process, on the real clock. */
function run(
  document: object | string | undefined,
  more: Partial<Pick<RunAgentOptions, 'once' | 'clock' | 'memoryLimitBytes'>> = {},
): Run {
  const logger = recordingLogger();
  const printed: string[] = [];
  const stop = new AbortController();
  const code = runAgent(
    {
      configPath: undefined,
      configText: typeof document === 'object' ? JSON.stringify(document) : document,
      environment: {},
      once: false,
      clock: systemClock,
      random: systemRandom,
      createLogger: () => logger,
      print: (line) => printed.push(line),
      ...more,
    },
    stop.signal,
  );
  return { code, logger, printed, stop };
}

test('a single run ends with 0 and the files in place', async (t) => {
  const pod = await Pod.start(t);
  const { code, printed } = run(pod.document(), { once: true });
  assert.equal(await code, EXIT.ok);
  assert.equal(pod.file('two'), PLANTED[1]);
  assert.deepEqual(printed, []);
});

test('the agent serves its port while it runs, and ends with 0 when it is stopped', async (t) => {
  const pod = await Pod.start(t);
  const { code, logger, stop } = run(pod.document({ listen: '127.0.0.1:0' }));
  const listening = (): unknown =>
    logger.lines.find(({ message }) => message === 'listening')?.fields['address'];
  await until(() => listening() !== undefined);
  const get = async (path: string): Promise<Response> =>
    fetch(`http://${String(listening())}${path}`, { headers: { connection: 'close' } });
  while ((await get('/startup')).status !== 200);
  assert.equal((await get('/readyz')).status, 200);
  const metrics = await (await get('/metrics')).text();
  assert.match(metrics, /vouchsafe_ready 1/);
  assert.match(metrics, /vouchsafe_logins_total\{result="ok"\} 1/);
  assert.match(metrics, /vouchsafe_file_age_seconds\{file="db"\}/);
  assert.match(metrics, /# TYPE vouchsafe_connections_closed_total counter/);
  for (const secret of PLANTED) assert.ok(!metrics.includes(secret));
  stop.abort(new DOMException('stopped by SIGTERM', 'AbortError'));
  assert.equal(await code, EXIT.ok);
  assert.deepEqual(pod.vault.leaseIds, []);
});

test('a start that fails leaves exit code and reason, and no secret in it', async (t) => {
  const pod = await Pod.start(t);
  pod.vault.seal();
  const terminationLog = join(pod.directory, 'termination');
  const { code, logger } = run(pod.document({ terminationLog, initDeadline: '4s' }), {
    once: true,
  });
  assert.equal(await code, EXIT.deadline);
  const reason = readFileSync(terminationLog, 'utf8');
  assert.match(
    reason,
    /^ERR_AGENT_DEADLINE: the files were not written within 4s; last cause: ERR_VAULT_SEALED/,
  );
  assert.ok(logger.lines.some(({ message }) => message === 'agent ends'));
  const hunt = new Hunt();
  hunt.plant('planted');
  hunt.assertNone({ reason, log: logger.text() });
});

/** The start hook as the kubelet runs it. */
async function runHook(socket: string): Promise<unknown> {
  const [code] = (await once(spawn(process.execPath, [HOOK, socket]), 'exit')) as unknown[];
  return code;
}

test('a try of a start leaves its reason in message and hook, and the next one needs no login', async (t) => {
  const pod = await Pod.start(t);
  const terminationLog = join(pod.directory, 'termination');
  const document = pod.document({
    terminationLog,
    startGate: 'hook',
    files: [{ name: 'late', secret: 'kvv2/late' }],
  });
  const socket = join(pod.stateDirectory, GATE_SOCKET);
  // The first try of a start ends when the secret was looked for twice, instead of after 8 s.
  const isLookedFor = (): boolean => pod.vault.count({ path: 'kvv2/data/late' }) > 1;
  const clock: Clock = {
    ...systemClock,
    sleep: (ms, signal) => (ms === 8000 ? until(isLookedFor) : systemClock.sleep(ms, signal)),
  };
  const first = run(document, { clock });
  await until(() => existsSync(socket));
  const hook = text(connect(socket));
  assert.equal(await first.code, EXIT.deadline);
  const reason =
    /^ERR_AGENT_START_PENDING: the files were not written within 8s, .*last cause: ERR_VAULT_NOT_FOUND/;
  assert.match(readFileSync(terminationLog, 'utf8'), reason);
  assert.match(await hook, reason);
  // One of the tokens is the root token.
  assert.deepEqual([pod.logins, pod.vault.tokenAccessors.length], [1, 2]);

  await pod.vault.write('kvv2/data/late', { data: { a: 'b' } });
  const second = run(document, { clock: systemClock });
  assert.equal(await runHook(socket), 0);
  assert.match(pod.file('late'), /b/);
  second.stop.abort(new DOMException('stopped by SIGTERM', 'AbortError'));
  assert.equal(await second.code, EXIT.ok);
  assert.deepEqual([pod.logins, pod.vault.tokenAccessors.length], [1, 1]);
  assert.ok(!existsSync(socket));
});

test('a set for which the agent has too little memory is an error, before the kernel ends it', async (t) => {
  const pod = await Pod.start(t);
  const terminationLog = join(pod.directory, 'termination');
  const template = 'x'.repeat(250_000);
  const files = ['a', 'b', 'c', 'd', 'e', 'f'].map((name) => ({ name, template }));
  const document = pod.document({ terminationLog, files, initDeadline: '3s' });
  const { code } = run(document, { once: true, memoryLimitBytes: 32 * 1024 * 1024 });
  await code;
  assert.match(
    readFileSync(terminationLog, 'utf8'),
    /ERR_OUTPUT_FULL: values and files of this pod/,
  );
});

test('a termination message is cut to what the kubelet takes', async (t) => {
  const pod = await Pod.start(t);
  const terminationLog = join(pod.directory, 'termination');
  const template = Array.from({ length: 200 }, (_, n) => `{{${'ä'.repeat(40)}${n} 1}}`).join('\n');
  const { code } = run(pod.document({ terminationLog, files: [{ name: 'a', template }] }), {
    once: true,
  });
  assert.equal(await code, EXIT.template);
  const bytes = readFileSync(terminationLog);
  assert.ok(bytes.length > 4000 && bytes.length <= 4096);
  assert.ok(!bytes.toString().includes('\ufffd'), 'cut between characters');
});

test('an init container that is stopped before it is done does not look as if it were', async (t) => {
  const pod = await Pod.start(t);
  pod.vault.seal();
  const terminationLog = join(pod.directory, 'termination');
  const { code, stop } = run(pod.document({ terminationLog }), { once: true });
  await until(() => pod.logins > 0);
  stop.abort(new DOMException('stopped by SIGTERM', 'AbortError'));
  assert.equal(await code, EXIT.stopped);
  assert.match(readFileSync(terminationLog, 'utf8'), /^ERR_AGENT_STOPPED/);
});

test('a sidecar that is stopped in the middle of its start ends with 0', async (t) => {
  const pod = await Pod.start(t);
  pod.vault.seal();
  const { code, stop } = run(pod.document());
  await until(() => pod.logins > 0);
  stop.abort(new DOMException('stopped by SIGTERM', 'AbortError'));
  assert.equal(await code, EXIT.ok);
});

test('a Workload API without X.509-SVIDs ends the start with its own code, not as a defect', async (t) => {
  const pod = await Pod.start(t);
  pod.api.fault('FetchX509SVID', { kind: 'code', code: 12, message: 'not here' });
  const { code, logger } = run(pod.document({ files: [], x509Svid: true }));
  assert.equal(await code, EXIT.identity);
  assert.match(logger.text(), /ERR_SPIFFE_UNIMPLEMENTED/);
});

test('a Workload API that stops sending X.509-SVIDs later does not end the agent', async (t) => {
  const pod = await Pod.start(t);
  const { code, logger, stop } = run(pod.document({ x509Svid: true }));
  await until(() => logger.lines.some(({ message }) => message === 'files delivered'));
  pod.api.fault('FetchX509SVID', { kind: 'code', code: 12, message: 'not here' });
  await until(() => /ERR_SPIFFE_UNIMPLEMENTED/.test(logger.text()));
  stop.abort(new DOMException('stopped by SIGTERM', 'AbortError'));
  assert.equal(await code, EXIT.ok);
});

test('settings that cannot be used end with a line for a person', async (t) => {
  const directory = tempDirectory(t);
  for (const [document, expected] of [
    [undefined, EXIT.usage],
    ['{', EXIT.config],
    ['{}', EXIT.config],
    [{ apiVersion: 'vouchsafe.dev/v1', kind: 'AgentConfig', planted: 'x' }, EXIT.config],
  ] as const) {
    const { code, printed } = run(document);
    assert.equal(await code, expected);
    assert.equal(printed.length, 1);
    assert.match(printed[0] ?? '', /^vouchsafe: ERR_/);
  }
  const pod = await Pod.start(t);
  const vault = { address: pod.vault.address, caFile: join(directory, 'missing.pem') };
  const { code, logger } = run(pod.document({ vault }));
  assert.equal(await code, EXIT.config);
  assert.match(logger.text(), /ERR_CONFIG_UNREADABLE/);
});

test('a port that is taken ends the start with its own code', async (t) => {
  const pod = await Pod.start(t);
  const listen = new URL(pod.vault.address).host;
  assert.equal(await run(pod.document({ listen })).code, EXIT.server);
});

test('a real process that is killed is followed by one without a login', async (t) => {
  const pod = await Pod.start(t);
  const config = join(pod.directory, 'config.json');
  writeFileSync(config, JSON.stringify(pod.document()));
  const start = (...words: string[]): ChildProcess => {
    const child = spawn(process.execPath, [MAIN, '--config', config, ...words], {
      stdio: 'ignore',
    });
    t.after(() => child.kill('SIGKILL'));
    return child;
  };
  const killed = start();
  await until(() => existsSync(join(pod.filesDirectory, 'db')));
  const first = pod.file('db');
  killed.kill('SIGKILL');
  await once(killed, 'exit');
  const next = start('--once');
  const [code] = (await once(next, 'exit')) as [number | null]; // the event's arguments
  assert.equal(code, EXIT.ok);
  assert.equal(pod.file('db'), first);
  assert.deepEqual([pod.logins, pod.credentials], [1, 1]);
});
