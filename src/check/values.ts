/**
 * Checks the values of the webhook, and the CAs in them.
 */
import { parseInstallation, type Installation } from '../config/installation/index.ts';
import { parseDocumentText } from '../config/schema/index.ts';
import { hasCode, toVouchsafeError } from '../core/index.ts';
import { RESOURCE } from './cluster.ts';
import { textAt, type Context, type FoundInstallation } from './context.ts';
import { quoted, runCheck, type ResultWith, type Finding } from './finding.ts';
import { checkBundle } from './pem.ts';

/** Returns the installation; undefined where its values are missing or invalid. */
export async function* checkValues(
  context: Context,
  installed: FoundInstallation,
): AsyncGenerator<Finding, Installation | undefined, undefined> {
  const run = (): Promise<ResultWith<Installation>> => readValues(context, installed);
  const { finding, value } = await runCheck('values', 'readable', run);
  yield finding;
  for (const [name, { address, proxy, caPem, caConfigMap }] of Object.entries(
    value?.vault.connections ?? {},
  )) {
    const common = { group: 'values', check: `connection-${name}` } as const;
    const way = proxy === undefined ? '' : ` through the proxy ${proxy}`;
    const what = `connection ${name}, ${address}${way}`;
    if (caPem !== undefined) {
      const { status, message } = checkBundle(caPem, context.clock.now());
      yield { ...common, status, message: `${what}: its CA ${message}` };
    } else if (caConfigMap !== undefined) {
      const where = `ConfigMap ${caConfigMap.name} of each pod's namespace`;
      yield { ...common, status: 'ok', message: `${what}: its CA is in the ${where}` };
    } else if (address.startsWith('http:')) {
      const message = `${what}: tokens and secrets are sent unencrypted`;
      yield { ...common, status: 'warning', message };
    } else {
      yield { ...common, status: 'ok', message: `${what}: its CA is one of the image` };
    }
  }
  return value;
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
