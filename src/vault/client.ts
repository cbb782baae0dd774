/**
 * The Vault client, assembled from transport, API and operations.
 */
import { hasCode, NO_LOGGER, NO_METRICS, VouchsafeError, type Secret } from '../core/index.ts';
import { VaultApi } from './api.ts';
import { login } from './login.ts';
import { Reader } from './read.ts';
import { createRequestMeter } from './request-meter.ts';
import { renewLease, renewToken, revokeLease, revokeToken, tokenIsValid } from './tokens.ts';
import { Transport } from './transport.ts';
import type {
  VaultClient,
  VaultClientOptions,
  VaultConnections,
  VaultConnectionsOptions,
} from './types.ts';

/**
 * Creates connections to be shared by clients of Vaults with the same CA and TLS server name.
 *
 * @throws VouchsafeError `ERR_VAULT_ADDRESS` when the proxy is invalid.
 */
export function createVaultConnections(options: VaultConnectionsOptions): VaultConnections {
  const { proxy, ...rest } = options;
  return new Transport(
    proxy === undefined ? rest : { ...rest, proxy: parseOrigin(proxy, 'proxy') },
  );
}

/**
 * Creates a client of one Vault. It connects at its first call.
 *
 * @throws VouchsafeError `ERR_VAULT_ADDRESS` when the address, the proxy or the namespace is invalid.
 */
export function createVaultClient(options: VaultClientOptions): VaultClient {
  const { clock, random, namespace, limiter, logger = NO_LOGGER, metrics = NO_METRICS } = options;
  const address = parseOrigin(options.address, 'address');
  if (namespace !== undefined && !/^[\x21-\x7e]+$/.test(namespace)) {
    const text = 'the Vault namespace must not be empty or contain spaces or non-ASCII characters';
    throw new VouchsafeError('ERR_VAULT_ADDRESS', text);
  }
  const { connections } = options;
  const shared = connections === undefined ? undefined : transportOf(connections);
  const transport = shared ?? ownTransport(options);
  const meter = createRequestMeter(clock, logger, metrics);
  const { parser, budget } = options;
  const api = new VaultApi({
    address,
    namespace,
    transport,
    limiter,
    parser,
    budget,
    clock,
    random,
    meter,
  });
  const reader = new Reader(api);
  const close = (): void => {
    if (shared === undefined) transport.close();
  };
  return { ...operations(api, reader, namespace), close };
}

function operations(
  api: VaultApi,
  reader: Reader,
  namespace: string | undefined,
): Omit<VaultClient, 'close'> {
  /**
   * Distinguishes an unknown token from one whose policies do not suffice: OpenBao and older versions of Vault deny the
   * requests of both with the same text.
   */
  const withTokenCheck = async <T>(
    token: Secret<string>,
    signal: AbortSignal,
    run: () => Promise<T>,
  ): Promise<T> => {
    try {
      return await run();
    } catch (error) {
      if (!(error instanceof VouchsafeError) || error.code !== 'ERR_VAULT_DENIED') throw error;
      if (await stillValid(api, token, signal)) throw error;
      const text = 'Vault no longer accepts the token; it has expired or was revoked';
      throw new VouchsafeError('ERR_VAULT_TOKEN_INVALID', text, { details: error.details });
    }
  };

  return {
    present: (certificate) => {
      api.identity = certificate;
    },
    login: (request, signal) => login(api, request, namespace, signal),
    fetch: (token, dependency, signal) =>
      withTokenCheck(token, signal, () => reader.fetch(dependency, { token, signal })),
    renewToken: (token, signal, incrementMs) =>
      withTokenCheck(token, signal, () => renewToken(api, token, signal, incrementMs)),
    tokenIsValid: (token, signal) => tokenIsValid(api, token, signal),
    revokeToken: async (token, signal) => {
      try {
        await withTokenCheck(token, signal, () => revokeToken(api, token, signal));
      } catch (error) {
        if (!hasCode(error, 'ERR_VAULT_TOKEN_INVALID')) throw error;
      }
    },
    renewLease: (token, id, incrementMs, signal) =>
      withTokenCheck(token, signal, () => renewLease(api, token, { id, incrementMs }, signal)),
    revokeLease: (token, leaseId, signal) =>
      withTokenCheck(token, signal, () => revokeLease(api, token, leaseId, signal)),
  };
}

function ownTransport(options: VaultClientOptions): Transport {
  const { clock, random } = options;
  return new Transport({
    ca: options.ca ?? (() => undefined),
    tlsServerName: options.tlsServerName,
    timeoutMs: options.timeoutMs,
    ...(options.redirectHosts !== undefined && { redirectHosts: options.redirectHosts }),
    ...(options.lookup !== undefined && { lookup: options.lookup }),
    ...(options.proxy !== undefined && { proxy: parseOrigin(options.proxy, 'proxy') }),
    clock,
    random,
  });
}

function transportOf(connections: VaultConnections): Transport {
  if (connections instanceof Transport) return connections;
  throw new TypeError('connections must come from createVaultConnections');
}

/** If the lookup itself fails, the denial stands: only Vault's own verdict leads to a new login. */
async function stillValid(
  api: VaultApi,
  token: Secret<string>,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    return await tokenIsValid(api, token, signal);
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof VouchsafeError) return true;
    throw error;
  }
}

function parseOrigin(text: string, what: 'address' | 'proxy'): URL {
  const url = URL.parse(text);
  const usable =
    url !== null &&
    (url.protocol === 'https:' || url.protocol === 'http:') &&
    url.username + url.password + url.search + url.hash === '';
  if (usable) return url;
  const message = `the Vault ${what} must be http:// or https:// with a host, and without user, query or fragment`;
  throw new VouchsafeError('ERR_VAULT_ADDRESS', message);
}
