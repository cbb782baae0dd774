/**
 * One node with a CSI driver on it: an embedded Vault that trusts the service-account tokens of a cluster, a kubelet,
 * pods, and real mounts. When the test ends, all output of the driver is searched for the secrets.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { chmodSync, existsSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { JWK } from 'jose';
import { planVolume, volumeGrants } from '../../src/admission/index.ts';
import { parseInstallation, type Installation } from '../../src/config/installation/index.ts';
import { NO_LOGGER } from '../../src/core/index.ts';
import { runDriver, type DriverOptions } from '../../src/csi/index.ts';
import { CALLS, type NodePublishVolumeRequest } from '../../src/csi/proto/csi.ts';
import { createTokenIssuer, type TokenIssuer } from '../../src/dev/tokens/index.ts';
import { startDevVault, type DevVault, type DevVaultOptions } from '../../src/dev/vault/index.ts';
import { startOidcProvider, type OidcProvider } from '../../src/dev/workload-api/index.ts';
import { serveMounter } from '../../src/mounter/index.ts';
import {
  createMetrics,
  systemClock,
  systemLocks,
  systemMounts,
  systemRandom,
} from '../../src/platform/index.ts';
import { eventually, RunningAgent } from './agent-process.ts';
import { Hunt } from './hunt.ts';
import { Kubelet, type RejectedCall } from './kubelet.ts';
import { localRenderer } from './local-renderer.ts';
import { mounterOf, mountForeign, unmount } from './mounting.ts';
import { recordingLogger, type RecordingLogger } from './recorder.ts';

/** Why tests that mount cannot run; false where they can. */
export const CANNOT_MOUNT =
  process.getuid?.() === 0
    ? false
    : 'only root can mount a volume: run as root to test the CSI driver';

const DRIVER_MAIN = fileURLToPath(new URL('../../cmd/csi/main.ts', import.meta.url));

export const DRIVER = 'csi.vouchsafe.test';
const POD_INFO = 'csi.storage.k8s.io/';
const TOKENS = `${POD_INFO}serviceAccount.tokens`;

export const POLICY = [
  'path "kv/*" { capabilities = ["read", "list"] }',
  'path "database/creds/*" { capabilities = ["read"] }',
  'path "sys/leases/revoke" { capabilities = ["update"] }',
].join('\n');

/** Tokens of Vault that do not belong to a pod. */
const ROOT_TOKENS = 1;

/** Publish calls that report sooner that the files are not ready. */
export const SHORT_CALLS = { firstPublishMs: 300, laterPublishMs: 300 } as const;

/** A pod with one volume. */
export interface TestPod {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly serviceAccount: string;
  readonly volumeId: string;
  readonly target: string;
}

/** How one call differs from the default. */
export interface PublishChange {
  readonly attributes?: Readonly<Record<string, string>>;
  /** Overrides the kubelet's keys; undefined removes a key. */
  readonly context?: Readonly<Record<string, string | undefined>>;
  /** Default: one for `vault`. Null: none. */
  readonly tokens?: string | null;
  /** Where the tokens are. */
  readonly tokensIn?: 'secrets' | 'context';
  readonly group?: string;
  readonly mountFlags?: readonly string[];
  readonly readonly?: boolean;
  readonly target?: string;
  readonly signal?: AbortSignal;
}

/** A driver in this process. */
export interface RunningDriver {
  readonly logger: RecordingLogger;
  readonly kubelet: Kubelet;
  readonly health: string;
  get(path: string): Promise<{ readonly status: number; readonly body: string }>;
  /** Ends it as SIGTERM does. */
  stop(): Promise<void>;
}

/** A driver in a process of its own. */
export interface DriverProcess {
  readonly agent: RunningAgent;
  readonly kubelet: Kubelet;
}

/** How a driver is started as a process. */
export interface ProcessOptions {
  /** More flags. */
  readonly words?: readonly string[];
  /** Of the installation; they take precedence. */
  readonly values?: Readonly<Record<string, unknown>>;
  /** Socket of another mounter than the one in this process. */
  readonly mounterSocket?: string;
  /** Without any capability, as in a cluster. */
  readonly isUnprivileged?: boolean;
}

const UNPRIVILEGED = ['setpriv', '--bounding-set=-all', '--inh-caps=-all', '--no-new-privs', '--'];

/** Keys that Vault trusts. */
type JwksOf = () => { readonly keys: readonly JWK[] };

/** One node. */
export class CsiWorld implements AsyncDisposable {
  vault: DevVault;
  readonly issuer: TokenIssuer;
  readonly oidc: OidcProvider;
  readonly hunt = new Hunt();
  /** The kubelet's directory. */
  readonly root = open(mkdtempSync(join(realpathSync(tmpdir()), 'vouchsafe-csi-')));
  /** On a tmpfs. */
  readonly state = mkdtempSync('/dev/shm/vouchsafe-csi-');
  readonly #jwks: JwksOf[];
  readonly #drivers: RunningDriver[] = [];
  readonly #processes: DriverProcess[] = [];
  readonly #logs: RecordingLogger[] = [];
  #mounter: { readonly ended: AbortController; readonly done: Promise<void> } | undefined;

  private constructor(
    vault: DevVault,
    trusted: { issuer: TokenIssuer; oidc: OidcProvider; jwks: JwksOf[] },
  ) {
    this.vault = vault;
    this.issuer = trusted.issuer;
    this.oidc = trusted.oidc;
    this.#jwks = trusted.jwks;
  }

  static async start(options: DevVaultOptions = {}): Promise<CsiWorld> {
    const issuer = createTokenIssuer();
    const jwks = [() => issuer.jwks()];
    const oidc = await startOidcProvider({
      jwks: () => ({ keys: jwks.flatMap((one) => one().keys) }),
    });
    const world = new CsiWorld(await startDevVault(options), { issuer, oidc, jwks });
    await world.#seed();
    return world;
  }

  get csiSocket(): string {
    return join(this.root, 'plugins', DRIVER, 'csi.sock');
  }

  get registrationSocket(): string {
    return join(this.root, 'plugins_registry', `${DRIVER}-reg.sock`);
  }

  /** Values of an installation; `more` takes precedence. */
  values(more: Readonly<Record<string, unknown>> = {}): Readonly<Record<string, unknown>> {
    return {
      csi: { enabled: true, driverName: DRIVER, minRefresh: '1s' },
      vault: { connections: { default: { address: this.vault.address } } },
      ...more,
    };
  }

  /** An installation; `more` takes precedence. */
  installation(more: Readonly<Record<string, unknown>> = {}): Installation {
    return parseInstallation(this.values(more));
  }

  /** Starts a driver in this process. */
  async driver(
    more: Partial<DriverOptions> = {},
    installation = this.installation(),
  ): Promise<RunningDriver> {
    const logger = recordingLogger();
    const metrics = createMetrics();
    const ended = new AbortController();
    const listening = Promise.withResolvers<string>();
    const options: DriverOptions = {
      driverName: DRIVER,
      version: '1.2.3',
      nodeName: 'node-1',
      volumeStats: true,
      csiSocket: this.csiSocket,
      kubeletPath: this.csiSocket,
      registrationSocket: this.registrationSocket,
      stateDirectory: this.state,
      listen: '127.0.0.1:0',
      exposition: metrics,
      metrics,
      logger,
      mounts: systemMounts,
      locks: systemLocks,
      mounter: mounterOf(this.root, { source: DRIVER, logger }),
      clock: systemClock,
      random: systemRandom,
      memoryLimitBytes: 512 * 2 ** 20,
      plan: (input, checkTemplate) => planVolume({ ...input, installation, checkTemplate }),
      renderer: localRenderer(),
      maxDependencies: installation.csi.maxDependencies,
      maxValueBytes: 16 * 2 ** 20,
      grants: (pod, config) => volumeGrants(installation, pod, config),
      svids: () => Promise.reject(new Error('this test needs no SVIDs')),
      ...more,
    };
    const done = runDriver(options, ended.signal, ({ listen }) => listening.resolve(listen ?? ''));
    done.catch((error: unknown) => listening.reject(error));
    const health = await listening.promise;
    const kubelet = new Kubelet(options.csiSocket);
    const driver: RunningDriver = {
      logger,
      kubelet,
      health,
      async get(path) {
        const response = await fetch(`http://${health}${path}`);
        return { status: response.status, body: await response.text() };
      },
      async stop() {
        kubelet.close();
        ended.abort(new DOMException('stopped by the test', 'AbortError'));
        await done;
      },
    };
    this.#drivers.push(driver);
    this.#logs.push(logger);
    return driver;
  }

  /** A pod on this node, its directory made as the kubelet makes it. */
  async pod(name = 'web', more: Partial<TestPod> = {}): Promise<TestPod> {
    const uid = randomUUID();
    const target = join(this.root, 'pods', uid, 'volumes/kubernetes.io~csi/secrets/mount');
    await mkdir(dirname(target), { recursive: true });
    return {
      namespace: 'shop',
      name,
      uid,
      serviceAccount: 'web',
      volumeId: `csi-${randomUUID()}`,
      target,
      ...more,
    };
  }

  /** The kubelet's tokens for a pod, as it sends them. */
  async tokens(pod: TestPod, audience = 'vault', ttlMs = 600_000): Promise<string> {
    const { namespace, serviceAccount, name, uid } = pod;
    const token = await this.issuer.mint({
      audience,
      ttlMs,
      issuer: 'https://kubernetes.default.svc',
      subject: `system:serviceaccount:${namespace}:${serviceAccount}`,
      claims: {
        'kubernetes.io': {
          namespace,
          pod: { name, uid },
          serviceaccount: { name: serviceAccount, uid: 'a-uid' },
        },
      },
    });
    this.hunt.plant(token);
    const expirationTimestamp = new Date(Date.now() + ttlMs).toISOString();
    return JSON.stringify({ [audience]: { token, expirationTimestamp } });
  }

  /** Publishes a volume as the kubelet does. */
  async publish(kubelet: Kubelet, pod: TestPod, change: PublishChange = {}): Promise<void> {
    const tokens = change.tokens === undefined ? await this.tokens(pod) : change.tokens;
    const { signal } = change;
    const request = publishRequest(pod, { ...change, tokens });
    await kubelet.call(CALLS.nodePublishVolume, request, signal === undefined ? {} : { signal });
  }

  /** Publishes again and again, as the kubelet does, until the files are there. */
  async published(kubelet: Kubelet, pod: TestPod, change: PublishChange = {}): Promise<void> {
    let last: unknown;
    await eventually(
      () =>
        this.publish(kubelet, pod, change).then(
          () => true,
          (error: unknown) => void (last = error),
        ),
      () => `the files never come: ${String(last)}`,
    );
  }

  /** Publishes until the error matches. */
  async rejectedWith(
    says: RegExp,
    kubelet: Kubelet,
    pod: TestPod,
    change: PublishChange = {},
  ): Promise<RejectedCall> {
    let last = '';
    return eventually(
      async () => {
        const refusal = await this.rejected(kubelet, pod, change);
        last = refusal.details;
        return says.test(last) ? refusal : undefined;
      },
      () => `never rejected with ${String(says)}: ${last}`,
    );
  }

  /** Publishes a volume, which must fail; returns the error. */
  async rejected(
    kubelet: Kubelet,
    pod: TestPod,
    change: PublishChange = {},
  ): Promise<RejectedCall> {
    return rejectionOf(this.publish(kubelet, pod, change));
  }

  async unpublish(kubelet: Kubelet, pod: TestPod): Promise<void> {
    await kubelet.call(CALLS.nodeUnpublishVolume, {
      volumeId: pod.volumeId,
      targetPath: pod.target,
    });
  }

  /** A file of a pod as its containers see it. */
  file(pod: TestPod, name: string): Promise<string> {
    return readFile(join(pod.target, name), 'utf8');
  }

  /** Waits until a file holds a text. */
  async holds(pod: TestPod, name: string, text: string): Promise<void> {
    await eventually(async () => {
      const found = await this.file(pod, name).catch(() => undefined);
      return found === text ? true : undefined;
    }, `${name} never holds ${text}`);
  }

  /** What another user reads of a file; undefined if it may not. */
  readAs(
    pod: TestPod,
    name: string,
    who: { readonly uid: number; readonly gid: number },
  ): string | undefined {
    const path = join(pod.target, name);
    const { status, stdout } = spawnSync('cat', [path], { ...who, encoding: 'utf8' });
    return status === 0 ? stdout : undefined;
  }

  /** The target as a reboot leaves it: an empty directory on the disk. */
  async makeTarget(pod: TestPod): Promise<void> {
    await mkdir(pod.target);
  }

  /** The kubelet has removed everything of the pod. */
  async forgetPod(pod: TestPod): Promise<void> {
    await rm(join(this.root, 'pods', pod.uid), { recursive: true });
  }

  /** Unmounts the volume behind the driver's back. */
  unmount(pod: TestPod): void {
    unmount(pod.target);
  }

  /** Mounts a foreign tmpfs at the target. */
  async mountForeign(pod: TestPod): Promise<void> {
    await this.makeTarget(pod);
    mountForeign(pod.target);
  }

  /** Lines of the kernel's table. */
  async mountinfo(): Promise<readonly string[]> {
    return (await readFile('/proc/self/mountinfo', 'utf8')).split('\n');
  }

  /** Mounts of volumes below this node's directory, as the kernel lists them. */
  async mounts(): Promise<readonly string[]> {
    const all = await systemMounts.list();
    return all.filter(({ target }) => target.startsWith(this.root)).map(({ target }) => target);
  }

  /** Waits until Vault holds no token of a pod and no lease. */
  async revoked(): Promise<void> {
    await eventually(() => {
      const isGone = this.vault.leaseIds.length === 0 && this.vaultTokens === 0;
      return Promise.resolve(isGone ? true : undefined);
    }, 'tokens or leases are left');
  }

  /** Waits until the driver has no state of any volume. */
  async forgotten(): Promise<void> {
    await eventually(
      async () => ((await readdir(this.state)).length === 0 ? true : undefined),
      'the state of a volume stays',
    );
  }

  /** How many valid tokens of pods there are. */
  get vaultTokens(): number {
    return this.vault.tokenAccessors.length - ROOT_TOKENS;
  }

  /** The socket of a mounter. */
  async mounterSocket(): Promise<string> {
    const socket = join(this.root, 'mounter.sock');
    if (this.#mounter === undefined) {
      const ended = new AbortController();
      const listening = Promise.withResolvers<undefined>();
      const mounter = mounterOf(this.root, { source: DRIVER });
      const options = { socket, mounter, logger: NO_LOGGER };
      const done = serveMounter(options, ended.signal, () => listening.resolve(undefined));
      this.#mounter = { ended, done };
      await Promise.race([listening.promise, done]);
    }
    return socket;
  }

  /** Starts a driver as a process of its own. */
  async process({
    words: more = [],
    values = {},
    ...start
  }: ProcessOptions = {}): Promise<DriverProcess> {
    const config = join(this.root, `installation-${this.#processes.length}.json`);
    await writeFile(config, JSON.stringify(this.values(values)));
    const words = [
      ...['--config', config, '--node-name', 'node-1', '--csi-socket', this.csiSocket],
      ...['--mounter-socket', start.mounterSocket ?? (await this.mounterSocket())],
      ...['--registration-directory', dirname(this.registrationSocket)],
      ...['--state-directory', this.state, '--listen', '127.0.0.1:0', '--log-level', 'debug'],
      ...more,
    ];
    const agent = new RunningAgent(words, '', {
      command: [
        ...(start.isUnprivileged === true ? UNPRIVILEGED : []),
        process.execPath,
        DRIVER_MAIN,
      ],
    });
    const running: DriverProcess = { agent, kubelet: new Kubelet(this.csiSocket) };
    this.#processes.push(running);
    await agent.logged(/"listening"/);
    return running;
  }

  /** How many logins Vault has received, including rejected ones. */
  get logins(): number {
    return this.vault.count({ path: 'auth/jwt/login' });
  }

  /** How many database credentials were requested. */
  get credentials(): number {
    return this.vault.count({ path: 'database/creds/app' });
  }

  /** Lets JWT-SVIDs with one of these SPIFFE IDs log in, by role `svid` of the same mount. */
  async trustSvids(jwks: JwksOf, subject: string): Promise<void> {
    this.#jwks.push(jwks);
    await this.vault.write('auth/jwt/role/svid', {
      role_type: 'jwt',
      user_claim: 'sub',
      bound_audiences: ['vault'],
      bound_claims_type: 'glob',
      bound_claims: { sub: subject },
      token_policies: ['web'],
      token_ttl: '1h',
    });
  }

  /** Writes a new version of the secret. */
  async change(version: number): Promise<void> {
    await this.vault.write('kv/app', {
      user: `user-${version}`,
      password: this.hunt.plant(`planted "pässword" ${version}`),
    });
  }

  /** Ends Vault; it forgets everything. */
  async stopVault(): Promise<void> {
    await this.vault.close();
  }

  async restartVault(): Promise<void> {
    const { port } = new URL(this.vault.address);
    this.vault = await startDevVault({ port: Number(port) });
    await this.#seed();
  }

  async #seed(): Promise<void> {
    const { vault } = this;
    await vault.write('sys/mounts/kv', { type: 'kv', options: { version: '1' } });
    await this.change(1);
    await vault.write('sys/mounts/database', { type: 'database' });
    await vault.write('database/config/app', {
      plugin_name: 'postgresql-database-plugin',
      allowed_roles: ['*'],
      connection_url: 'postgresql://{{username}}:{{password}}@db/app',
    });
    await vault.write('database/roles/app', {
      db_name: 'app',
      creation_statements: ['CREATE ROLE "{{name}}"'],
      default_ttl: '1h',
      max_ttl: '24h',
    });
    await vault.write('sys/policies/acl/web', { policy: POLICY });
    await vault.write('sys/auth/jwt', { type: 'jwt' });
    await vault.write('auth/jwt/config', { jwks_url: `${this.oidc.url}/keys` });
    await vault.write('auth/jwt/role/web', {
      role_type: 'jwt',
      user_claim: 'sub',
      bound_audiences: ['vault'],
      bound_subject: 'system:serviceaccount:shop:web',
      token_policies: ['web'],
      token_ttl: '1h',
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const driver of this.#drivers) await driver.stop();
    for (const { agent, kubelet } of this.#processes) {
      kubelet.close();
      await agent.kill('SIGKILL');
    }
    this.#mounter?.ended.abort();
    await this.#mounter?.done;
    await this.vault.close();
    await this.oidc.close();
    for (const target of await this.mounts()) unmount(target);
    rmSync(this.root, { recursive: true, force: true });
    rmSync(this.state, { recursive: true, force: true });
    assert.ok(!existsSync(this.root));
    for (const { agent } of this.#processes) this.hunt.assertNone({ 'the output': agent.output });
    for (const logger of this.#logs) this.hunt.assertNone({ 'the log': logger.text() });
  }
}

/** Attributes of a pod that needs a KV secret and a database credential. */
export const ATTRIBUTES = {
  role: 'web',
  'secret-app': 'kv/app',
  'secret-db': 'database/creds/app',
  'template-user': '{{secret "kv/app#user"}}:end',
} as const;

/** Containers see their volumes whatever the directories above are like; readers of the tests go through those. */
function open(path: string): string {
  chmodSync(path, 0o755);
  return path;
}

/** The request of a kubelet. */
function publishRequest(
  pod: TestPod,
  change: PublishChange & { readonly tokens: string | null },
): NodePublishVolumeRequest {
  const { tokens, tokensIn = 'context', mountFlags = [], group = '' } = change;
  const given: readonly (readonly [string, string])[] = tokens === null ? [] : [[TOKENS, tokens]];
  return {
    volumeId: pod.volumeId,
    publishContext: new Map(),
    stagingTargetPath: '',
    targetPath: change.target ?? pod.target,
    volumeCapability: {
      block: undefined,
      mount: { fsType: '', mountFlags, volumeMountGroup: group },
      accessMode: { mode: 1 },
    },
    readonly: change.readonly ?? true,
    secrets: new Map(tokensIn === 'secrets' ? given : []),
    volumeContext: contextOf(pod, change, tokensIn === 'context' ? given : []),
  };
}

/** The author's attributes, overridden by the kubelet's keys, overridden by those of the test. */
function contextOf(
  pod: TestPod,
  { attributes = ATTRIBUTES, context = {} }: PublishChange,
  tokens: readonly (readonly [string, string])[],
): ReadonlyMap<string, string> {
  const all = Object.entries<string | undefined>({
    ...attributes,
    [`${POD_INFO}ephemeral`]: 'true',
    [`${POD_INFO}pod.name`]: pod.name,
    [`${POD_INFO}pod.namespace`]: pod.namespace,
    [`${POD_INFO}pod.uid`]: pod.uid,
    [`${POD_INFO}serviceAccount.name`]: pod.serviceAccount,
    ...Object.fromEntries(tokens),
    ...context,
  });
  return new Map(all.flatMap(([key, value]) => (value === undefined ? [] : [[key, value]])));
}

/** The error of a call that must fail. */
export async function rejectionOf(call: Promise<unknown>): Promise<RejectedCall> {
  try {
    await call;
  } catch (error) {
    if (error instanceof Error && 'details' in error) return error as Error & RejectedCall;
    throw error;
  }
  throw new Error('the call was not rejected');
}
