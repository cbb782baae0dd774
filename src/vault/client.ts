/**
 * The Vault client: puts address, transport, API and operations together.
 */
import { NO_LOGGER, NO_METRICS, VouchsafeError, type Secret } from '../core/index.ts';
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

/** Makes connections for several clients of Vaults that have the same CA and name. */
export function createVaultConnections(options: VaultConnectionsOptions): VaultConnections {
  return new Transport(options);
}

/**
 * Makes a client of one Vault. Connects when first asked.
 *
 * @throws VouchsafeError `ERR_VAULT_ADDRESS` when address or namespace cannot be used.
 */
export function createVaultClient(options: VaultClientOptions): VaultClient {
  const { clock, random, namespace, turns, logger = NO_LOGGER, metrics = NO_METRICS } = options;
  const address = parseAddress(options.address);
  if (namespace !== undefined && !/^[\x21-\x7e]+$/.test(namespace)) {
    const text = 'the Vault namespace is empty or has spaces or characters other than ASCII';
    throw new VouchsafeError('ERR_VAULT_ADDRESS', text);
  }
  const { connections } = options;
  const shared = connections === undefined ? undefined : transportOf(connections);
  const transport =
    shared ??
    new Transport({
      ca: options.ca ?? (() => undefined),
      tlsServerName: options.tlsServerName,
      timeoutMs: options.timeoutMs,
      ...(options.redirectHosts !== undefined && { redirectHosts: options.redirectHosts }),
      ...(options.lookup !== undefined && { lookup: options.lookup }),
      ...{ clock, random },
    });
  const meter = createRequestMeter(clock, logger, metrics);
  const { opener, room } = options;
  const api = new VaultApi({
    ...{ address, namespace, transport, turns, opener, room, clock, random, meter },
  });
  const reader = new Reader(api);

  /** Tells a token that is not known from one whose policies do not suffice: the first needs a new login. */
  const judged = async <T>(
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
    login: (request, signal) => login(api, request, namespace, signal),
    fetch: (token, dependency, signal) =>
      judged(token, signal, () => reader.fetch(dependency, { token, signal })),
    renewToken: (token, signal, incrementMs) =>
      judged(token, signal, () => renewToken(api, token, signal, incrementMs)),
    tokenIsValid: (token, signal) => tokenIsValid(api, token, signal),
    revokeToken: (token, signal) => revokeToken(api, token, signal),
    renewLease: (token, id, incrementMs, signal) =>
      judged(token, signal, () => renewLease(api, token, { id, incrementMs }, signal)),
    revokeLease: (token, leaseId, signal) => revokeLease(api, token, leaseId, signal),
    close: () => (shared === undefined ? transport.close() : undefined),
  };
}

function transportOf(connections: VaultConnections): Transport {
  if (connections instanceof Transport) return connections;
  throw new TypeError('connections are made by createVaultConnections');
}

/** Where the question itself fails, the denial stands: a new login is asked for on Vault's word alone. */
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

function parseAddress(text: string): URL {
  const url = URL.parse(text);
  const usable =
    url !== null &&
    (url.protocol === 'https:' || url.protocol === 'http:') &&
    url.username + url.password + url.search + url.hash === '';
  if (usable) return url;
  const message =
    'the Vault address must be http:// or https:// with a host, and without user, query or fragment';
  throw new VouchsafeError('ERR_VAULT_ADDRESS', message);
}
