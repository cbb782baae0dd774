/** What tests of pods with a CSI volume share: their namespaces, pods and what becomes of them. */
import assert from 'node:assert/strict';
import type { Pod } from './objects.ts';
import { eventually, FOREVER, shellContainer, shellPod, Space } from './suite.ts';

/** Name of the driver. */
export const DRIVER = 'csi.vouchsafe.dev';
/** Tells what it reads before anything else, and stays. */
export const READ = `cat /vault/secrets/password; echo; ${FOREVER}`;
/** Events come late where many pods start. */
const EVENTS_MS = 120_000;

/** A namespace whose pods log in with the tokens that the kubelet gives the driver. */
export async function withSecret(metadata: object = {}): Promise<Space> {
  const space = await Space.create(metadata);
  await space.grant(`
    path "secret/data/${space.name}/*" { capabilities = ["read"] }
    path "${space.users}" { capabilities = ["read"] }
  `);
  await space.trustAccounts();
  await space.put({ password: 'first' });
  return space;
}

/** Annotations of a pod that reads the secret of its namespace. */
export function settings(space: Space, more: Record<string, string> = {}): Record<string, string> {
  return {
    ...{ ...space.login, mode: 'csi', refresh: '2s' },
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
export async function changes(space: Space, name: string, value: string): Promise<void> {
  await space.put({ password: value });
  await eventually(`pod ${name} sees ${value}`, async () => {
    const text = await space.exec(name, 'app', 'cat', '/vault/secrets/password');
    return text === value ? true : undefined;
  });
}

/** Waits until the pod's events tell the reason, with the pod still waiting for its volume. */
export async function waitsBecause(space: Space, name: string, why: RegExp): Promise<void> {
  await eventually(
    `the events of ${name} tell the reason`,
    async () => {
      const events = await space.events(name);
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

/** Waits until Vault has nothing of the namespace. */
export async function revoked(space: Space): Promise<void> {
  await eventually('token and leases are revoked', async () =>
    (await space.tokens()) === 0 && (await space.leases()) === 0 ? true : undefined,
  );
}
