/** The real Vault of the cluster: its dev server on the address of the node, with an audit log. */
import { readFileSync, writeFileSync } from 'node:fs';
import { createTestCa, type TestCa } from '../../../src/dev/ca/index.ts';
import { untilHealth, createVaultClient, type VaultAccess } from '../../helpers/vault-client.ts';
import { NODE_ADDRESS } from './network.ts';
import { ready, start, type Running } from './processes.ts';
import { place } from './workspace.ts';

/** How to reach it, and how to unseal it. */
export interface ClusterVault extends VaultAccess {
  readonly unsealKey: string;
  /** The same over TLS, where clients can show certificates. */
  readonly tls: { readonly address: string; readonly caPem: string };
}

const DAY_MS = 86_400_000;

/** Starts it; resolves when it answers. */
export async function startVault(
  program: string,
  token: string,
): Promise<{ readonly running: Running; readonly vault: ClusterVault }> {
  const listen = `${NODE_ADDRESS}:8200`;
  const listenTls = `${NODE_ADDRESS}:8300`;
  const ca = createTestCa();
  const running = start('vault', [
    ...[program, 'server', '-dev', '-dev-no-store-token', `-config=${listener(ca, listenTls)}`],
    ...[`-dev-root-token-id=${token}`, `-dev-listen-address=${listen}`],
  ]);
  const access = { address: `http://${listen}`, token, auditLog: place('logs', 'vault-audit.log') };
  await untilHealth(access, 200, () => !running.hasEnded);
  const client = createVaultClient(access);
  await client.write('sys/audit/file', { type: 'file', options: { file_path: access.auditLog } });
  // It is printed a moment after the server answers.
  const unsealKey = (): string | undefined =>
    /Unseal Key: (\S+)/.exec(readFileSync(running.log, 'utf8'))?.[1];
  await ready(running, () => unsealKey() !== undefined);
  const tls = { address: `https://${listenTls}`, caPem: ca.caPem };
  return { running, vault: { ...access, unsealKey: unsealKey() ?? '', tls } };
}

/** A file by which the dev server listens with TLS besides. */
function listener(ca: TestCa, address: string): string {
  const { certPem, keyPem } = ca.issue({ ips: [NODE_ADDRESS], ttlMs: DAY_MS });
  const [certificate, key] = [place('pki', 'vault.pem'), place('pki', 'vault.key')];
  writeFileSync(certificate, certPem);
  writeFileSync(key, keyPem, { mode: 0o600 });
  const path = place('vault.json');
  const tls = { tls_cert_file: certificate, tls_key_file: key };
  writeFileSync(path, JSON.stringify({ listener: [{ tcp: { address, ...tls } }] }));
  return path;
}
