/**
 * Runs the agent of a bundle once, so that V8 compiles what a start needs, and keeps that beside the files. The
 * servers that it talks to are those of `vouchsafe dev`.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { headOf } from '../src/renderer/index.ts';
import { encodeFrame } from '../src/worker-pool/frames.ts';
import { RENDER_LIMITS } from '../src/template/index.ts';
import { startDevVault } from '../src/dev/vault/index.ts';
import { startOidcProvider, startWorkloadApi } from '../src/dev/workload-api/index.ts';
import { imageCommand } from './image-command.ts';

const PRELOADED = join(dirname(fileURLToPath(import.meta.url)), 'keep-compiled.cjs');
const SPIFFE_ID = 'spiffe://example.org/ns/default/sa/build';
const PATIENCE_MS = 60_000;
/** Before each frame of a pool stands what marks its answer; here nobody looks. */
const NO_MARK = new Uint8Array();

/** Puts `<file>.cache` beside each file of the bundle that an agent loads, or a process that renders. */
export async function keepCompiled(bundle: string): Promise<void> {
  runRenderer(bundle);
  await using stack = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), 'vouchsafe-compile-'));
  stack.defer(() => rm(directory, { recursive: true, force: true }));
  const api = stack.use(await startWorkloadApi({ identities: [{ spiffeId: SPIFFE_ID }] }));
  const oidc = stack.use(await startOidcProvider({ jwks: () => ({ keys: api.jwks().keys }) }));
  const vault = await startDevVault();
  stack.defer(() => vault.close());
  await vault.write('sys/mounts/kv', { type: 'kv', options: { version: '2' } });
  await vault.write('kv/data/app', { data: { username: 'user', password: 'password' } });
  await vault.write('sys/policies/acl/app', { policy: 'path "kv/*" { capabilities = ["read"] }' });
  await vault.write('sys/auth/jwt', { type: 'jwt' });
  await vault.write('auth/jwt/config', { jwks_url: `${oidc.url}/keys` });
  await vault.write('auth/jwt/role/app', {
    role_type: 'jwt',
    user_claim: 'sub',
    bound_audiences: 'vault',
    bound_subject: SPIFFE_ID,
    token_policies: 'app',
  });
  await runAgent(bundle, {
    apiVersion: 'vouchsafe.dev/v1',
    kind: 'AgentConfig',
    spiffe: { socket: api.address },
    vault: { address: vault.address },
    auth: { role: 'app' },
    output: { directory: join(directory, 'secrets') },
    stateDirectory: join(directory, 'state'),
    listen: '127.0.0.1:0',
    files: [
      { name: 'json', secret: 'kv/app', format: 'json' },
      { name: 'own', template: '{{#with (secret "kv/app")}}{{username}}:{{password}}{{/with}}' },
    ],
  });
}

/** Has a template rendered: the driver starts such a process anew whenever one is killed, and pods wait for it. */
function runRenderer(bundle: string): void {
  const [node, ...args] = imageCommand(bundle);
  const template = { name: 'own', source: '{{#with (secret "kv/app")}}{{username}}{{/with}}' };
  const frames = [
    { limits: RENDER_LIMITS },
    { operation: 'render', jobs: [{ template }], values: [] },
  ];
  const { status, stderr } = spawnSync(node, ['--require', PRELOADED, ...args, 'renderer'], {
    input: Buffer.concat(frames.flatMap((frame) => encodeFrame([NO_MARK, headOf(frame)]))),
    env: {},
    timeout: PATIENCE_MS,
  });
  if (status !== 0) throw new Error(`the renderer of the bundle does not work:\n${String(stderr)}`);
}

/** Runs the agent until the files are there, then stops it. */
async function runAgent(bundle: string, config: object): Promise<void> {
  const [node, ...args] = imageCommand(bundle);
  const child = spawn(node, ['--require', PRELOADED, ...args, 'agent'], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { VOUCHSAFE_CONFIG: JSON.stringify(config) },
    signal: AbortSignal.timeout(PATIENCE_MS),
  });
  let printed = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    printed += text;
    if (text.includes('files delivered')) child.kill('SIGTERM');
  });
  await once(child, 'close');
  if (child.exitCode !== 0) throw new Error(`the agent of the bundle does not work:\n${printed}`);
}
