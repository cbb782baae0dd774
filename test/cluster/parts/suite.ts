/** What the tests of the suite are written with: namespaces of their own, pods, and what they can be asked. */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { createVaultClient, type VaultClient } from '../../helpers/vault-client.ts';
import type { World } from '../world.ts';
import { createApi, type Api } from './api.ts';
import type { Action } from './control.ts';
import { eventually, PATIENCE_MS } from './eventually.ts';
import { SHELL_IMAGE } from './images.ts';
import type { Pod, PodSpec } from './objects.ts';
import { CGROUP } from './workspace.ts';

/** The world that the runner has started. */
export const world: World = worldOfTests();
export const api: Api = createApi(world.kubeconfig);
export const vault: VaultClient = createVaultClient(world.vault);

const run = promisify(execFile);
const env = { ...process.env, KUBECONFIG: world.kubeconfig };
const PREFIX = 'vouchsafe.dev';

function worldOfTests(): World {
  const text = process.env['VOUCHSAFE_TEST_CLUSTER'];
  if (text === undefined) throw new Error('run this suite with: npm run test:cluster');
  return JSON.parse(text) as World; // from the runner
}

/** kubectl, to its end. */
export async function kubectl(...args: string[]): Promise<string> {
  const { stdout } = await run(world.programs.kubernetes, ['kubectl', ...args], {
    env,
    maxBuffer: 64 * 1024 * 1024,
  });
  return stdout;
}

/** Helm, to its end. */
export async function helm(...args: string[]): Promise<string> {
  return (await run(world.programs.helm, args, { env, maxBuffer: 64 * 1024 * 1024 })).stdout;
}

/** Hurts or heals the world; see control.ts. */
export async function act(action: Action, namespace = ''): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<undefined>();
  const path = `/${action}/${namespace}`;
  httpRequest({ socketPath: world.control, method: 'POST', path }, (response) => {
    let text = '';
    response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    response.on('end', () => {
      if (response.statusCode === 200) resolve(undefined);
      else reject(new Error(`${action}: ${text}`));
    });
  })
    .on('error', reject)
    .end();
  await promise;
}

export { eventually } from './eventually.ts';

const CREATE_USER = `CREATE ROLE "{{name}}" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'`;

/** Annotations of a pod without the prefix. */
export function annotations(settings: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(settings).map(([name, value]) => [`${PREFIX}/${name}`, value]),
  );
}

/** A pod of busybox that runs a line of shell. */
export function shellPod(
  name: string,
  settings: Readonly<Record<string, string>>,
  line: string,
  more: Partial<PodSpec> = {},
): Pod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, annotations: annotations(settings) },
    spec: {
      containers: [shellContainer('app', line)],
      terminationGracePeriodSeconds: 5,
      ...more,
    },
  };
}

/** A container of busybox that passes the restricted standard. */
export function shellContainer(name: string, line: string): PodSpec['containers'][number] {
  return {
    name,
    image: SHELL_IMAGE,
    imagePullPolicy: 'Never',
    command: ['/bin/sh', '-c', line],
    securityContext: {
      runAsNonRoot: true,
      allowPrivilegeEscalation: false,
      capabilities: { drop: ['ALL'] },
      seccompProfile: { type: 'RuntimeDefault' },
    },
  };
}

/** Waits, but ends at SIGTERM. */
export const FOREVER = 'trap exit TERM; while :; do sleep 1 & wait $!; done';

/** A namespace with a Vault mount, policy and role of its own, so that what it asks can be counted. */
export class Space implements AsyncDisposable {
  readonly name: string;

  private constructor(name: string) {
    this.name = name;
  }

  /** With these labels and annotations. Where it is not registered, its pods get no SVID until it is admitted. */
  static async create(metadata: object = {}, { isRegistered = true } = {}): Promise<Space> {
    const name = `test-${randomBytes(4).toString('hex')}`;
    // Before there is anything to register: the agent of SPIRE would hear late of a deletion.
    if (!isRegistered) await act('withhold', name);
    await api.create('/api/v1/namespaces', { metadata: { ...metadata, name } });
    await eventually('there is a service account', () =>
      api.get<object>(`/api/v1/namespaces/${name}/serviceaccounts/default`),
    );
    return new Space(name);
  }

  /** One that is there and stays, without anything of its own in Vault. */
  static of(name: string): Space {
    return new Space(name);
  }

  get pods(): string {
    return `/api/v1/namespaces/${this.name}/pods`;
  }

  /** Where its pods log in. */
  get mount(): string {
    return `jwt-${this.name}`;
  }

  /** Annotations that log in as this namespace. */
  get login(): Record<string, string> {
    return { inject: 'true', 'auth-mount': this.mount, role: 'app' };
  }

  /** How often its pods logged in. */
  logins(): Promise<number> {
    return vault.count(`auth/${this.mount}/login`);
  }

  /** Makes mount, policy and role for the service account `default`. */
  async grant(policy: string, role: object = {}): Promise<void> {
    await vault.write(`sys/auth/${this.mount}`, { type: 'jwt' });
    const { url, caPem } = world.issuer;
    await vault.write(`auth/${this.mount}/config`, {
      oidc_discovery_url: url,
      oidc_discovery_ca_pem: caPem,
    });
    await vault.write(`sys/policies/acl/${this.name}`, { policy });
    await vault.write(`auth/${this.mount}/role/app`, {
      role_type: 'jwt',
      user_claim: 'sub',
      bound_audiences: 'vault',
      bound_subject: `spiffe://example.org/ns/${this.name}/sa/default`,
      token_policies: this.name,
      token_ttl: '1h',
      ...role,
    });
  }

  /** Has its pods log in with tokens of their service accounts instead of JWT-SVIDs. After {@link grant}. */
  async trustAccounts(role: object = {}): Promise<void> {
    const { url, caPem } = world.accountKeys;
    await vault.write(`auth/${this.mount}/config`, { jwks_url: url, jwks_ca_pem: caPem });
    await vault.write(`auth/${this.mount}/role/app`, {
      role_type: 'jwt',
      user_claim: 'sub',
      bound_audiences: 'vault',
      bound_subject: `system:serviceaccount:${this.name}:default`,
      token_policies: this.name,
      token_ttl: '1h',
      ...role,
    });
  }

  /** A KV secret `app` of its own, and the right to read it. */
  async grantSecret(data: object, role: object = {}): Promise<void> {
    await this.grant(`path "secret/data/${this.name}/*" { capabilities = ["read"] }`, role);
    await this.put(data);
  }

  /** PostgreSQL users of its own, and the right to get them. Their life is in Vault's words. */
  async grantUsers(life: object): Promise<void> {
    await vault.write(`database/roles/${this.name}`, {
      db_name: 'main',
      creation_statements: [CREATE_USER],
      ...life,
    });
  }

  /** Path of the PostgreSQL user. */
  get users(): string {
    return `database/creds/${this.name}`;
  }

  /** Leases of PostgreSQL users that are held. */
  async leases(): Promise<number> {
    return (await vault.list(`sys/leases/lookup/${this.users}`)).length;
  }

  /** Vault tokens of its pods that live. */
  async tokens(): Promise<number> {
    const found = await Promise.all(
      (await vault.list('auth/token/accessors')).map(async (accessor) => {
        const token = await vault
          .write('auth/token/lookup-accessor', { accessor })
          .catch(() => undefined); // gone meanwhile
        return JSON.stringify(token ?? '').includes(`auth/${this.mount}/login`);
      }),
    );
    return found.filter(Boolean).length;
  }

  /** Changes the secret. */
  async put(data: object): Promise<void> {
    await vault.write(`secret/data/${this.name}/app`, { data });
  }

  /** Path of the secret, as an annotation has it. */
  get secret(): string {
    return `secret/${this.name}/app`;
  }

  async create(pod: Pod): Promise<Pod> {
    return (await api.create<Pod>(this.pods, pod)).object;
  }

  pod(name: string): Promise<Pod> {
    return api.get<Pod>(`${this.pods}/${name}`);
  }

  /** Waits until the pod is Ready. */
  ready(name: string, patienceMs = PATIENCE_MS): Promise<Pod> {
    return this.until(name, isReady, patienceMs);
  }

  /** Waits for a pod to be as the condition says; the error has its last state. */
  async until(
    name: string,
    condition: (pod: Pod) => boolean,
    patienceMs = PATIENCE_MS,
  ): Promise<Pod> {
    let last: Pod | undefined;
    try {
      return await eventually(
        `pod ${name}`,
        async () => {
          last = await this.pod(name);
          return condition(last) ? last : undefined;
        },
        patienceMs,
      );
    } catch (error) {
      throw new Error(`${String(error)}: ${JSON.stringify(last?.status, null, 1)}`, {
        cause: error,
      });
    }
  }

  /** Deletes a pod, and waits until it is gone. */
  async remove(name: string): Promise<void> {
    await api.remove(`${this.pods}/${name}`);
    await eventually(`pod ${name} is gone`, async () => {
      const { items } = await api.get<{ items: readonly Pod[] }>(this.pods);
      return items.some((pod) => pod.metadata.name === name) ? undefined : true;
    });
  }

  logs(name: string, container: string): Promise<string> {
    return api.text(`${this.pods}/${name}/log?container=${container}`);
  }

  /** What a container that runs has printed, once it is so many lines: it may not have come to them yet. */
  printed(name: string, container: string, lines = 1): Promise<string> {
    return eventually(`${container} of ${name} prints ${lines} lines`, async () => {
      const text = await this.logs(name, container);
      return text.split('\n').length > lines ? text : undefined;
    });
  }

  /** Runs a command in a container; gives what it prints. */
  exec(name: string, container: string, ...command: string[]): Promise<string> {
    return kubectl('exec', `--namespace=${this.name}`, name, `-c=${container}`, '--', ...command);
  }

  /** Messages of the events about an object. */
  async events(name: string): Promise<readonly KubernetesEvent[]> {
    const path = `/api/v1/namespaces/${this.name}/events?fieldSelector=involvedObject.name%3D${name}`;
    return (await api.get<{ items: readonly KubernetesEvent[] }>(path)).items;
  }

  /** Lets its pods go, at their own pace. */
  async [Symbol.asyncDispose](): Promise<void> {
    await api.remove(`/api/v1/namespaces/${this.name}`);
    await eventually(
      `namespace ${this.name} has no pods`,
      async () =>
        (await api.get<{ items: readonly Pod[] }>(this.pods)).items.length === 0 ? true : undefined,
      300_000, // of some there are hundreds
    );
  }
}

/** An event as kubectl describe shows it. */
export interface KubernetesEvent {
  readonly reason: string;
  readonly message: string;
  readonly type: string;
  readonly involvedObject: { readonly uid?: string };
}

export function isReady(pod: Pod): boolean {
  return (pod.status?.conditions ?? []).some(
    ({ type, status }) => type === 'Ready' && status === 'True',
  );
}

/** State of a container of any kind. */
export function containerStatus(pod: Pod, name: string): NonNullable<ContainerStatus> {
  const all = [
    ...(pod.status?.initContainerStatuses ?? []),
    ...(pod.status?.containerStatuses ?? []),
  ];
  const found = all.find((one) => one.name === name);
  if (found === undefined) throw new Error(`${pod.metadata.name} has no container ${name} yet`);
  return found;
}

type ContainerStatus = NonNullable<NonNullable<Pod['status']>['containerStatuses']>[number];

/** Directories of a container's cgroup for a controller. */
export function cgroupOf(pod: Pod, container: string, controller: string): string {
  const id = (containerStatus(pod, container).containerID ?? '').replace(/^.*\/\//, '');
  const top = join('/sys/fs/cgroup', controller, CGROUP);
  const found = readdirSync(top, { recursive: true, encoding: 'utf8' }).find(
    (path) => id !== '' && path.endsWith(`/${id}`),
  );
  if (found === undefined) throw new Error(`container ${id} has no cgroup`);
  return join(top, found);
}

/** Processes of a container, as this machine numbers them. */
export function processesOf(pod: Pod, container: string): readonly number[] {
  const path = join(cgroupOf(pod, container, 'pids'), 'cgroup.procs');
  return readFileSync(path, 'utf8').split('\n').filter(Boolean).map(Number);
}
