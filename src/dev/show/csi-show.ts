/**
 * `npm start -- --mode csi`: the CSI driver on this machine, without a cluster. A pod's volume is published, refreshed
 * and unpublished; the pod itself does not run.
 */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { VouchsafeError, type Clock } from '../../core/index.ts';
import { startDevVault, type DevVault } from '../vault/index.ts';
import { parseLine } from './agent-process.ts';
import { startChild, type Command } from './child-process.ts';
import type { ShowConsole } from './console.ts';
import { startCsiIdentities, type CsiIdentities, type CsiIdentity } from './csi-identity.ts';
import type { KnownPod } from './local-cluster.ts';
import { LocalKubelet, registerDriver, type ShownPod } from './local-kubelet.ts';

/** How long a new value may take to reach the file; the secret is read every second. */
const REFRESH_TIMEOUT_MS = 30_000;
const LOOK_MS = 100;

/** Directory for the driver's state: a tmpfs. */
const MEMORY = '/dev/shm';

/** Attributes of the pod's volume. */
const ATTRIBUTES = { role: 'web', 'template-db': '{{secret "kv/web#password"}}', refresh: '1s' };

export interface CsiShowOptions {
  /** Ends after one refresh. */
  readonly once: boolean;
  /** How the driver obtains the pod's identity. */
  readonly identity: CsiIdentity;
  /** Command of the driver. */
  readonly driverCommand: Command;
  /** Whether this process may mount. */
  readonly mayMount: boolean;
  readonly clock: Clock;
}

/**
 * Shows one volume until `signal` aborts, or until its first refresh with `once`. Removes everything at its end.
 *
 * @throws VouchsafeError `ERR_USAGE` without the permission to mount.
 */
export async function showVolume(
  options: CsiShowOptions,
  console: ShowConsole,
  signal: AbortSignal,
): Promise<void> {
  if (!options.mayMount) {
    throw new VouchsafeError(
      'ERR_USAGE',
      'mode csi mounts a volume on this machine: run it as root',
    );
  }
  const { clock } = options;
  await using stack = new AsyncDisposableStack();
  const directory = await scratch(tmpdir(), stack);
  const state = await scratch(MEMORY, stack);
  const [known, vault] = [podOfShow(), stack.use(await startDevVault({ clock }))];
  const identities = await startCsiIdentities(options.identity, known, { clock, stack });
  const [title = '', ...facts] = identities.says;
  console.step(title);
  for (const fact of facts) console.fact(fact);
  await seed(vault, identities);
  console.fact(`${vault.address}, role web for ${identities.subject}`);
  console.step('starting the driver of this node, and registering it as the kubelet does');
  const socket = join(directory, 'csi.sock');
  await startDriver(options, { directory, state, vault, identities }, { console, stack });
  const name = await registerDriver(join(directory, 'registry', `${DRIVER}-reg.sock`), clock);
  const kubelet = new LocalKubelet(socket, clock);
  stack.defer(() => kubelet.close());
  console.fact(`${name} at ${socket}`);
  const pod = await shownPod(directory, known, identities);
  await publish(kubelet, pod, { console, clock });
  stack.defer(() => end(kubelet, pod, { vault, console }));
  console.step('rotating kv/web in Vault');
  await vault.write('kv/web', { password: randomUUID() });
  await changed(pod, options, signal);
  console.fact('the file has the new value; nothing of Vouchsafe runs in the pod');
  if (!options.once) await untilAborted(signal);
}

const DRIVER = 'csi.vouchsafe.dev';
const NODE = 'this-machine';

interface Output {
  readonly console: ShowConsole;
}

async function scratch(parent: string, stack: AsyncDisposableStack): Promise<string> {
  const directory = await mkdtemp(join(parent, 'vouchsafe-csi-'));
  stack.defer(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

async function seed(vault: DevVault, { jwksUrl, subject }: CsiIdentities): Promise<void> {
  await vault.write('sys/mounts/kv', { type: 'kv', options: { version: '1' } });
  await vault.write('kv/web', { password: randomUUID() });
  await vault.write('sys/policies/acl/web', {
    policy: 'path "kv/web" { capabilities = ["read"] }',
  });
  await vault.write('sys/auth/jwt', { type: 'jwt' });
  await vault.write('auth/jwt/config', { jwks_url: jwksUrl });
  await vault.write('auth/jwt/role/web', {
    bound_audiences: ['vault'],
    bound_subject: subject,
    token_policies: ['web'],
  });
}

interface Places {
  readonly directory: string;
  readonly state: string;
  readonly vault: DevVault;
  readonly identities: CsiIdentities;
}

/** Starts the driver; the stack stops it, and leaves its volumes to a successor. */
async function startDriver(
  { driverCommand }: CsiShowOptions,
  places: Places,
  { console, stack }: Output & { readonly stack: AsyncDisposableStack },
): Promise<void> {
  const { directory, state, vault, identities } = places;
  const config = join(directory, 'values.json');
  const connections = { default: { address: vault.address } };
  const { spiffe, identity } = identities.values;
  const csi = { enabled: true, driverName: DRIVER, minRefresh: '1s', identity };
  await writeFile(config, JSON.stringify({ csi, spiffe, vault: { connections } }));
  const flags = [
    ...['--config', config, '--node-name', NODE, ...identities.flags],
    ...['--csi-socket', join(directory, 'csi.sock')],
    ...['--pods-directory', join(directory, 'pods')],
    ...['--registration-directory', join(directory, 'registry')],
    ...['--state-directory', state, '--listen', '127.0.0.1:0'],
  ];
  const listening = Promise.withResolvers<undefined>();
  const child = startChild([...driverCommand, ...flags], {
    onLine(line, stream) {
      if (stream === 'stdout') listening.resolve(undefined);
      else console.agentLine('driver', parseLine(line));
    },
  });
  stack.defer(() => child.stop());
  const exited = child.exited.then(() => {
    throw new VouchsafeError('ERR_SERVER_LISTEN', 'the driver has exited');
  });
  await Promise.race([listening.promise, exited]);
  exited.catch(() => undefined); // at its end
}

function podOfShow(): KnownPod {
  const [namespace, name, serviceAccount] = ['shop', 'web-1', 'web'];
  return { namespace, name, serviceAccount, uid: randomUUID(), nodeName: NODE };
}

async function shownPod(
  directory: string,
  pod: KnownPod,
  { attributes, tokens }: CsiIdentities,
): Promise<ShownPod> {
  const { uid } = pod;
  const target = join(directory, 'pods', uid, 'volumes', 'kubernetes.io~csi', 'secrets', 'mount');
  await mkdir(dirname(target), { recursive: true });
  const volumeId = `csi-${uid}`;
  return { ...pod, target, volumeId, attributes: { ...ATTRIBUTES, ...attributes }, tokens };
}

async function publish(
  kubelet: LocalKubelet,
  pod: ShownPod,
  { console, clock }: Output & { readonly clock: Clock },
): Promise<void> {
  console.step(`pod ${pod.namespace}/${pod.name} requests a volume`);
  for (const [name, text] of Object.entries(pod.attributes)) console.fact(`${name}: ${text}`);
  const startedAtMs = clock.monotonicMs();
  await kubelet.publish(pod);
  console.fact(`ready after ${Math.round(clock.monotonicMs() - startedAtMs)} ms: ${pod.target}/db`);
}

async function changed(
  pod: ShownPod,
  { clock }: Pick<CsiShowOptions, 'clock'>,
  signal: AbortSignal,
): Promise<void> {
  const path = join(pod.target, 'db');
  const before = await readFile(path, 'utf8');
  const limit = AbortSignal.any([signal, AbortSignal.timeout(REFRESH_TIMEOUT_MS)]);
  while ((await readFile(path, 'utf8')) === before) await clock.sleep(LOOK_MS, limit);
}

async function end(
  kubelet: LocalKubelet,
  pod: ShownPod,
  { vault, console }: Output & { readonly vault: DevVault },
): Promise<void> {
  console.step('the pod ends');
  await kubelet.unpublish(pod);
  await vault.waitFor(
    { path: 'auth/token/revoke-self' },
    1,
    AbortSignal.timeout(REFRESH_TIMEOUT_MS),
  );
  console.fact('the volume is gone, and its token revoked');
}

async function untilAborted(signal: AbortSignal): Promise<void> {
  if (!signal.aborted) await once(signal, 'abort');
}
