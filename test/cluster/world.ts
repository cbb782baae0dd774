/**
 * What the suite runs in: cluster, Vault, PostgreSQL, identity and the chart, from inside the cluster's network.
 * Runs the test files that it is given against them, or stays up until it is ended.
 */
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Postgres } from '../helpers/postgres.ts';
import { createVaultClient } from '../helpers/vault-client.ts';
import type { Api } from './parts/api.ts';
import { startCluster, type Cluster, type Programs } from './parts/cluster.ts';
import { API_SERVER } from './parts/control-plane.ts';
import { startControl } from './parts/control.ts';
import { startCsi } from './parts/csi.ts';
import { startIdentity, type Issuer } from './parts/identity.ts';
import type { Archive } from './parts/images.ts';
import { NODE_ADDRESS, POD_RANGE } from './parts/network.ts';
import { CHART, chartValues, RELEASE, VALUES_FILE } from './parts/release.ts';
import { startVault, type ClusterVault } from './parts/vault.ts';
import { place, WORKSPACE } from './parts/workspace.ts';

/** What tests are given, as JSON in VOUCHSAFE_TEST_CLUSTER. */
export interface World {
  readonly kubeconfig: string;
  readonly programs: Programs;
  readonly vault: ClusterVault;
  /** SPIRE's discovery provider, for Vault. */
  readonly issuer: Issuer;
  /** SPIRE's X.509 authority, for Vault. */
  readonly bundlePem: string;
  /** The API server as the issuer of service-account tokens and their keys, for Vault. */
  readonly accountKeys: { readonly issuer: string; readonly url: string; readonly caPem: string };
  /** Where pods reach PostgreSQL, as `host:port/name`. */
  readonly database: string;
  /** Socket of parts/control.ts. */
  readonly control: string;
}

function required(variable: string): string {
  const value = process.env[variable];
  if (value === undefined) throw new Error('run this with: npm run test:cluster');
  return value;
}

async function install(cluster: Cluster, values: object): Promise<void> {
  writeFileSync(VALUES_FILE, JSON.stringify(values));
  const flags = [`--namespace=${RELEASE}`, '--create-namespace', '--wait', '--timeout=2m'];
  await cluster.helm('install', RELEASE, CHART, ...flags, `--values=${VALUES_FILE}`);
}

/** Lets anybody read the keys of service-account tokens, as clusters do whose issuer is public. */
async function publishAccountKeys(api: Api): Promise<void> {
  const group = 'rbac.authorization.k8s.io';
  await api.create(`/apis/${group}/v1/clusterrolebindings`, {
    metadata: { name: 'service-account-keys' },
    roleRef: {
      apiGroup: group,
      kind: 'ClusterRole',
      name: 'system:service-account-issuer-discovery',
    },
    subjects: [{ apiGroup: group, kind: 'Group', name: 'system:unauthenticated' }],
  });
}

async function startWorld(stack: AsyncDisposableStack): Promise<World> {
  const programs = {
    kubernetes: required('VOUCHSAFE_TEST_KUBERNETES'),
    helm: required('VOUCHSAFE_TEST_HELM'),
    containerd: required('VOUCHSAFE_TEST_CONTAINERD'),
  };
  const archives = JSON.parse(required('VOUCHSAFE_TEST_IMAGES')) as readonly Archive[]; // from .tools
  const cluster = stack.use(await startCluster(programs, archives));
  const { running, vault } = await startVault(required('VOUCHSAFE_TEST_VAULT'), randomUUID());
  stack.defer(() => running.stop());
  const directory = mkdtempSync(join(WORKSPACE, 'postgres-'));
  const database = stack.use(
    await Postgres.create({ directory, host: NODE_ADDRESS, network: POD_RANGE }),
  );
  const operator = createVaultClient(vault);
  await operator.write('sys/mounts/database', { type: 'database' });
  await operator.write('database/config/main', database.vaultConfig);
  const csi = await startCsi(required('VOUCHSAFE_TEST_CSI'), cluster.api);
  stack.defer(() => csi.stop());
  await publishAccountKeys(cluster.api);
  const [identity] = await Promise.all([
    startIdentity(cluster.api),
    install(cluster, chartValues(vault)),
  ]);
  stack.use(identity);
  const control = stack.use(await startControl(cluster, identity));
  return {
    kubeconfig: cluster.kubeconfig,
    programs,
    vault,
    issuer: identity.issuer,
    bundlePem: identity.bundlePem,
    accountKeys: {
      issuer: API_SERVER,
      url: `${API_SERVER}/openid/v1/jwks`,
      caPem: cluster.caPem,
    },
    database: `${NODE_ADDRESS}:${database.port}/postgres`,
    control: control.path,
  };
}

async function main(files: readonly string[]): Promise<number> {
  const ended = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => ended.abort());
  }
  const started = performance.now();
  await using stack = new AsyncDisposableStack();
  const world = JSON.stringify(await startWorld(stack));
  process.stderr.write(`cluster: up in ${Math.round((performance.now() - started) / 1000)} s\n`);
  if (files.length === 0) {
    writeFileSync(place('world.json'), world, { mode: 0o600 });
    process.stderr.write('cluster: no test files; it stays until Ctrl-C\n');
    if (!ended.signal.aborted) await once(ended.signal, 'abort');
    return 0;
  }
  const args = ['--test', '--test-concurrency=1', '--test-reporter=spec', ...files];
  const env = { ...process.env, VOUCHSAFE_TEST_CLUSTER: world };
  const tests = spawn(process.execPath, args, { stdio: 'inherit', env });
  ended.signal.addEventListener('abort', () => tests.kill('SIGTERM'));
  const [code] = (await once(tests, 'exit')) as [number | null];
  return code ?? 1;
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2));
