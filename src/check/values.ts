/**
 * Checks the values of the webhook, and the CAs in them.
 */
import {
  parseInstallation,
  type Installation,
  type VaultConnection,
} from '../config/installation/index.ts';
import { parseDocumentText } from '../config/schema/index.ts';
import { hasCode, toVouchsafeError } from '../core/index.ts';
import { RESOURCE } from './cluster.ts';
import { textAt, type Context, type FoundInstallation } from './context.ts';
import { quoted, runCheck, type Finding, type Result, type ResultWith } from './finding.ts';
import { checkBundle } from './pem.ts';
import { checkKubelets, checkTrustBundle } from './trust-bundle.ts';

/** Returns the installation; undefined where its values are missing or invalid. */
export async function* checkValues(
  context: Context,
  installed: FoundInstallation,
): AsyncGenerator<Finding, Installation | undefined, undefined> {
  const run = (): Promise<ResultWith<Installation>> => readValues(context, installed);
  const { finding, value } = await runCheck('values', 'readable', run);
  yield finding;
  const connections = Object.entries(value?.vault.connections ?? {});
  for (const [name, connection] of connections) {
    const check = `connection-${name}`;
    yield (await runCheck('values', check, () => checkConnection(context, name, connection)))
      .finding;
  }
  if (connections.some(([, { clusterTrustBundle }]) => clusterTrustBundle !== undefined)) {
    yield (await runCheck('values', 'trust-bundle-nodes', () => checkKubelets(context))).finding;
  }
  return value;
}

async function checkConnection(
  context: Context,
  name: string,
  { address, proxy, caPem, caConfigMap, clusterTrustBundle }: VaultConnection,
): Promise<Result> {
  const way = proxy === undefined ? '' : ` through the proxy ${proxy}`;
  const what = `connection ${name}, ${address}${way}`;
  if (clusterTrustBundle !== undefined) {
    const result = await checkTrustBundle(context, clusterTrustBundle);
    return { ...result, message: `${what}: ${result.message}` };
  }
  if (caPem !== undefined) {
    const { status, message } = checkBundle(caPem, context.clock.now());
    return { status, message: `${what}: its CA ${message}` };
  }
  if (caConfigMap !== undefined) {
    const where = `ConfigMap ${caConfigMap.name} of each pod's namespace`;
    return { status: 'ok', message: `${what}: its CA is in the ${where}` };
  }
  if (address.startsWith('http:')) {
    return { status: 'warning', message: `${what}: tokens and secrets are sent unencrypted` };
  }
  return { status: 'ok', message: `${what}: its CA is one of the image` };
}

async function readValues(
  { cluster }: Context,
  { name, namespace }: FoundInstallation,
): Promise<ResultWith<Installation>> {
  const map = await cluster.get(RESOURCE.configMaps, name, namespace);
  const where = `ConfigMap ${name} in namespace ${namespace}`;
  if (map === undefined) {
    const message = `${where} does not exist: the webhook cannot start`;
    return { status: 'failure', message, remedy: 'upgrade the release' };
  }
  try {
    const value = parseInstallation(await parseDocumentText(textAt(map, 'data', 'values.yaml')));
    const count = value.vault.policies.length;
    const rule = count === 0 ? 'no policies: every pod may use all of them' : `${count} policies`;
    return { status: 'ok', message: `${where} is valid; ${rule}`, value };
  } catch (error) {
    if (!hasCode(error, 'ERR_CONFIG_INVALID', 'ERR_CONFIG_UNREADABLE')) throw error;
    const { message } = toVouchsafeError(error);
    return { status: 'failure', message: `${where}: ${quoted(message.replaceAll('\n', '; '))}` };
  }
}
