/** What tests of pods with a CSI volume share: their namespaces, pods and what becomes of them. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { List, Pod } from './objects.ts';
import { api, eventually, FOREVER, shellContainer, shellPod, Space, world } from './suite.ts';

/** Name of the driver. */
export const DRIVER = 'csi.vouchsafe.dev';
/** Tells what it reads before anything else, and stays. */
export const READ = `cat /vault/secrets/password; echo; ${FOREVER}`;
/** Events come late where many pods start. */
const EVENTS_MS = 120_000;
/**
 * The kubelet's longest wait between two tries is two minutes, and for a pod that runs it calls each minute and a half.
 */
export const KUBELET_MS = 240_000;

/** A namespace whose pods log in with the tokens that the kubelet gives the driver. */
export async function withSecret(metadata: object = {}, role: object = {}): Promise<Space> {
  const space = await Space.create(metadata);
  await space.grant(`
    path "secret/data/${space.name}/*" { capabilities = ["read"] }
    path "${space.users}" { capabilities = ["read"] }
  `);
  await space.trustAccounts(role);
  await space.put({ password: 'first' });
  return space;
}

/** Annotations of a pod that reads the secret of its namespace. */
export function settings(space: Space, more: Record<string, string> = {}): Record<string, string> {
  return {
    ...space.login,
    mode: 'csi',
    refresh: '2s',
    'secret-password': `${space.secret}#password`,
    ...more,
  };
}

/** A pod that says by hand what the webhook would write. */
export function handWritten(name: string, attributes: Record<string, string>, line: string): Pod {
  const mount = { name: 'mine', mountPath: '/vault/secrets', readOnly: true };
  return shellPod(name, {}, line, {
    containers: [{ ...shellContainer('app', line), volumeMounts: [mount] }],
    volumes: [
      { name: 'mine', csi: { driver: DRIVER, readOnly: true, volumeAttributes: attributes } },
    ],
  });
}

/** Changes the secret, and waits until the pod sees it. */
export async function changes(
  space: Space,
  name: string,
  value: string,
  patienceMs = 60_000,
): Promise<void> {
  await space.put({ password: value });
  await sees(space, name, value, patienceMs);
}

/** Waits until the pod reads this value. */
export async function sees(
  space: Space,
  name: string,
  value: string,
  patienceMs: number,
): Promise<void> {
  await eventually(
    `pod ${name} sees ${value}`,
    async () => ((await password(space, name)) === value ? true : undefined),
    patienceMs,
  );
}

/** What the pod reads now. */
export function password(space: Space, name: string): Promise<string> {
  return space.exec(name, 'app', 'cat', '/vault/secrets/password');
}

/** Waits until the pod's events have the reason, with the pod still waiting for its volume. */
export async function waitsBecause(space: Space, name: string, why: RegExp): Promise<void> {
  await eventually(
    `the events of ${name} have the reason`,
    async () => {
      const { uid } = (await space.pod(name)).metadata; // one of the same name may have been there before
      const events = (await space.events(name)).filter((one) => one.involvedObject.uid === uid);
      return events.some((one) => one.reason === 'FailedMount' && why.test(one.message))
        ? true
        : undefined;
    },
    EVENTS_MS,
  );
  const pod = await space.pod(name);
  const [status] = pod.status?.containerStatuses ?? [];
  assert.equal(status?.state?.waiting?.reason, 'ContainerCreating');
}

/** Waits until there is no such pod, at the kubelet's pace. */
export async function gone(space: Space, name: string): Promise<void> {
  await eventually(
    `pod ${name} is gone`,
    async () => {
      const { items } = await api.get<List<Pod>>(space.pods);
      return items.some(({ metadata }) => metadata.name === name) ? undefined : true;
    },
    KUBELET_MS,
  );
}

/** Waits until Vault has nothing of the namespace. */
export async function revoked(space: Space): Promise<void> {
  await eventually('token and leases are revoked', async () =>
    (await space.tokens()) === 0 && (await space.leases()) === 0 ? true : undefined,
  );
}

/** Whether PostgreSQL takes user and password, asked as an application would. */
export async function logsIn(login: string): Promise<boolean> {
  const { Client } = (await import('pg')).default;
  const client = new Client({ connectionString: `postgres://${login}@${world.database}` });
  try {
    await client.connect();
    await client.query('select 1');
    return true;
  } catch {
    return false;
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** Whether the driver has mounted the pod's volume. The tests see the mounts of the node. */
export function isMounted({ metadata }: Pod): boolean {
  const lines = readFileSync('/proc/self/mounts', 'utf8').split('\n');
  return lines.some((line) => line.startsWith(`${DRIVER} `) && line.includes(metadata.uid ?? '-'));
}
