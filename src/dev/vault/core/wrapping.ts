/**
 * Response wrapping: a response stored under a single-use token.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import type { Clock } from '../../../core/index.ts';
import { asObject, formatInstant, parseVaultDuration, seconds } from './fields.ts';
import { Refusal, type Json, type VaultRequest } from './messages.ts';

interface Wrapped {
  readonly body: Json;
  readonly expiresAtMs: number;
}

/** Stores wrapped responses until they are fetched or expire. */
export class Wrapping {
  readonly #wrapped = new Map<string, Wrapped>();
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The response itself, or with `X-Vault-Wrap-TTL` one that has only the wrapping token. */
  wrapIfAsked(request: VaultRequest, body: Json): Json {
    const ttlMs = parseVaultDuration(request.headers['x-vault-wrap-ttl'] ?? '');
    if (ttlMs <= 0) return body;
    const nowMs = this.#clock.now();
    const auth = asObject(body['auth']);
    const token = `hvs.${randomBytes(24).toString('base64url')}`;
    this.#wrapped.set(token, { body, expiresAtMs: nowMs + ttlMs });
    return {
      request_id: '',
      lease_id: '',
      renewable: false,
      lease_duration: 0,
      data: null,
      wrap_info: {
        token,
        accessor: randomBytes(18).toString('base64url'),
        ttl: seconds(ttlMs),
        creation_time: formatInstant(nowMs),
        creation_path: request.path,
        ...(auth === undefined ? {} : { wrapped_accessor: auth['accessor'] }),
      },
      warnings: null,
      auth: null,
      mount_type: '',
    };
  }

  /** @throws Refusal 400 for a token that was used, has expired, or never existed. */
  unwrap(token: string): Json {
    const wrapped = this.#wrapped.get(token);
    this.#wrapped.delete(token);
    if (wrapped === undefined || wrapped.expiresAtMs <= this.#clock.now()) {
      throw new Refusal(400, 'wrapping token is not valid or does not exist');
    }
    return { ...wrapped.body, request_id: randomUUID() };
  }
}
