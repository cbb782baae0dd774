/** etcd, API server, controller manager and scheduler. */
import { execFileSync } from 'node:child_process';
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { chmodSync, writeFileSync } from 'node:fs';
import { createTestCa, type TestCa } from '../../../src/dev/ca/index.ts';
import { NODE_ADDRESS, SERVICE_RANGE } from './network.ts';
import { ready, start, type Running } from './processes.ts';
import { directory, place } from './workspace.ts';

export const API_SERVER = `https://${NODE_ADDRESS}:6443`;

/** Where Debian's etcd listens; loopback of the cluster's network. */
const ETCD = 'http://127.0.0.1:2379';

const QUIET = { stdio: 'ignore' } as const;

/** Who calls the API server, with the groups that RBAC knows. */
const CALLERS = {
  admin: 'system:masters',
  'system:kube-controller-manager': '',
  'system:kube-scheduler': '',
  'system:kube-proxy': '',
  'system:node:node': 'system:nodes',
} as const;

/** Somebody who calls the API server. */
export type Caller = keyof typeof CALLERS;

/** The API server and what it trusts. */
export interface ControlPlane {
  readonly ca: TestCa;
  readonly running: readonly Running[];
  /** Path of a kubeconfig. */
  kubeconfig(caller: Caller): string;
}

/** Starts the control plane; resolves when the API server is ready. */
export async function startControlPlane(program: string): Promise<ControlPlane> {
  const ca = createTestCa();
  writeFileSync(place('pki', 'ca.pem'), ca.caPem);
  const tokens = writeTokens();
  const etcd = start(
    'etcd',
    [
      'etcd',
      ...[`--data-dir=${directory('etcd')}`, '--unsafe-no-fsync'],
      ...[`--listen-client-urls=${ETCD}`, `--advertise-client-urls=${ETCD}`],
      '--listen-peer-urls=http://127.0.0.1:2380',
    ],
    { ETCD_UNSUPPORTED_ARCH: process.arch },
  );
  const kubeconfig = (caller: Caller): string => writeKubeconfig(caller, tokens.get(caller) ?? '');
  const apiServer = start('kube-apiserver', [program, 'kube-apiserver', ...apiServerFlags(ca)]);
  const admin = kubeconfig('admin');
  await ready(apiServer, () => {
    execFileSync(program, ['kubectl', `--kubeconfig=${admin}`, 'get', '--raw=/readyz'], QUIET);
    return true;
  });
  const running = [
    etcd,
    apiServer,
    start('kube-controller-manager', [
      ...[program, 'kube-controller-manager'],
      `--kubeconfig=${kubeconfig('system:kube-controller-manager')}`,
      `--root-ca-file=${place('pki', 'ca.pem')}`,
      `--service-account-private-key-file=${place('pki', 'service-account.key')}`,
      ...['--use-service-account-credentials', '--leader-elect=false', '--bind-address=127.0.0.1'],
    ]),
    start('kube-scheduler', [
      ...[program, 'kube-scheduler', `--kubeconfig=${kubeconfig('system:kube-scheduler')}`],
      ...['--leader-elect=false', '--bind-address=127.0.0.1'],
    ]),
  ];
  return { ca, running, kubeconfig };
}

function apiServerFlags(ca: TestCa): readonly string[] {
  const serving = ca.issue({
    dnsNames: ['localhost', 'kubernetes', 'kubernetes.default', 'kubernetes.default.svc'],
    ips: [NODE_ADDRESS, '127.0.0.1', SERVICE_RANGE.replace(/0\/24$/, '1')],
  });
  const kubelets = ca.issue({ commonName: 'kube-apiserver-kubelet-client', dnsNames: [], ips: [] });
  const accounts = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const accountKey = write(
    'service-account.key',
    accounts.privateKey.export({ format: 'pem', type: 'pkcs8' }),
  );
  const accountPublic = write(
    'service-account.pub',
    accounts.publicKey.export({ format: 'pem', type: 'spki' }),
  );
  return [
    `--etcd-servers=${ETCD}`,
    ...[`--bind-address=${NODE_ADDRESS}`, `--advertise-address=${NODE_ADDRESS}`],
    `--tls-cert-file=${write('apiserver.pem', serving.certPem)}`,
    `--tls-private-key-file=${write('apiserver.key', serving.keyPem)}`,
    `--kubelet-client-certificate=${write('kubelet-client.pem', kubelets.certPem)}`,
    `--kubelet-client-key=${write('kubelet-client.key', kubelets.keyPem)}`,
    '--kubelet-preferred-address-types=InternalIP',
    `--token-auth-file=${place('pki', 'tokens.csv')}`,
    '--authorization-mode=Node,RBAC',
    '--enable-admission-plugins=NodeRestriction',
    ...[`--service-cluster-ip-range=${SERVICE_RANGE}`, '--allow-privileged'],
    // Where Vault finds its discovery document: there is no DNS.
    `--service-account-issuer=${API_SERVER}`,
    ...[
      `--service-account-key-file=${accountPublic}`,
      `--service-account-signing-key-file=${accountKey}`,
    ],
  ];
}

function writeTokens(): ReadonlyMap<string, string> {
  const rows = Object.entries(CALLERS).map(
    ([user, groups]) => [user, groups, randomUUID()] as const,
  );
  const lines = rows.map(([user, groups, token]) => `${token},${user},${user},"${groups}"\n`);
  write('tokens.csv', lines.join(''));
  return new Map(rows.map(([user, , token]) => [user, token]));
}

function writeKubeconfig(caller: Caller, token: string): string {
  const path = place('pki', `${caller.replaceAll(':', '-')}.kubeconfig`);
  const named = { name: 'vouchsafe' };
  const document = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      {
        ...named,
        cluster: { server: API_SERVER, 'certificate-authority': place('pki', 'ca.pem') },
      },
    ],
    users: [{ ...named, user: { token } }],
    contexts: [{ ...named, context: { cluster: 'vouchsafe', user: 'vouchsafe' } }],
    'current-context': 'vouchsafe',
  };
  writeFileSync(path, JSON.stringify(document));
  chmodSync(path, 0o600);
  return path;
}

function write(name: string, content: string | Buffer): string {
  const path = place('pki', name);
  writeFileSync(path, content, { mode: 0o600 });
  return path;
}
