/**
 * Vault's CA bundle, reloaded when its file changes.
 */
import { VouchsafeError, type Logger } from '../core/index.ts';
import type { VaultConfig } from '../config/agent/index.ts';
import { readTextFile, trustPublicAuthorities, watchFiles } from '../platform/index.ts';

const MAX_CA_BYTES = 1024 * 1024;

/** The newest CA bundle, if one is configured. */
export interface CaBundle {
  /** PEM, or undefined for the system's trust store. */
  readonly current: () => string | undefined;
  /** Reloads the file when it changes, until `signal` aborts; while it cannot be read, the last good bundle stays. */
  run(signal: AbortSignal): Promise<void>;
}

/**
 * Loads the CA bundle of a connection.
 *
 * @throws VouchsafeError `ERR_CONFIG_UNREADABLE` when the file cannot be read or contains no certificate.
 */
export async function loadCaBundle(config: VaultConfig, logger: Logger): Promise<CaBundle> {
  const { address, proxy = '', caFile, caPem } = config;
  if (caFile === undefined) {
    const usesTls = address.startsWith('https:') || proxy.startsWith('https:');
    if (caPem === undefined && usesTls) trustPublicAuthorities();
    return { current: () => caPem, run: () => Promise.resolve() };
  }
  let pem = await readCa(caFile);
  return {
    current: () => pem,
    async run(signal) {
      for await (const _ of watchFiles([caFile], signal)) {
        try {
          pem = await readCa(caFile);
        } catch (error) {
          logger.warn('CA file cannot be used; the last good one stays', { path: caFile, error });
        }
      }
    },
  };
}

async function readCa(path: string): Promise<string> {
  let text: string;
  try {
    text = await readTextFile(path, MAX_CA_BYTES);
  } catch (error) {
    throw new VouchsafeError('ERR_CONFIG_UNREADABLE', `cannot read the CA file ${path}`, {
      cause: error,
    });
  }
  if (text.includes('-----BEGIN CERTIFICATE-----')) return text;
  throw new VouchsafeError('ERR_CONFIG_UNREADABLE', `${path} contains no PEM certificate`);
}
