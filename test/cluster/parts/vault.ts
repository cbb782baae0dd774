/** The real Vault of the cluster: its dev server on the address of the node, with an audit log. */
import { readFileSync } from 'node:fs';
import { untilHealth, createVaultClient, type VaultAccess } from '../../helpers/vault-client.ts';
import { NODE_ADDRESS } from './network.ts';
import { ready, start, type Running } from './processes.ts';
import { place } from './workspace.ts';

/** How to reach it, and how to unseal it. */
export interface ClusterVault extends VaultAccess {
  readonly unsealKey: string;
}

/** Starts it; resolves when it answers. */
export async function startVault(
  program: string,
  token: string,
): Promise<{ readonly running: Running; readonly vault: ClusterVault }> {
  const listen = `${NODE_ADDRESS}:8200`;
  const running = start('vault', [
    ...[program, 'server', '-dev', '-dev-no-store-token'],
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
  return { running, vault: { ...access, unsealKey: unsealKey() ?? '' } };
}
