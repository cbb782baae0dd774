/**
 * Vault's HTTP API by node-vault, on a transport of our own. The one file that knows node-vault.
 * node-vault builds the requests; everything else it would do (axios, reading VAULT_* variables, printing
 * bodies under DEBUG, keeping a token, judging statuses) is switched off here.
 */
import createClient from 'node-vault';
import {
  MAX_SHORT_BYTES,
  VouchsafeError,
  type Clock,
  type Random,
  type Secret,
} from '../core/index.ts';
import { createBackoff } from '../async/index.ts';
import { objectOf, openBody, type AnswerShape, type OpenedAnswer } from './answer.ts';
import type { JsonObject } from './json.ts';
import { refusalOf, type RefusedAnswer } from './refusal.ts';
import type { RequestMeter, Operation } from './request-meter.ts';
import { OPENER } from './opener.ts';
import { parseRetryAfter } from './retry-after.ts';
import type { BodyBounds, HttpResponse, TlsIdentity, Transport } from './transport.ts';
import type { AnswerOpener, AnswerRoom, RequestTurns } from './types.ts';

/** How often a request is sent again when a node has not caught up (HTTP 412), and the waits between. */
const CATCH_UP = { retries: 3, minMs: 100, maxMs: 1000 } as const;

/** Longest answer without a value: a login, a renewal, a refusal. What is longer counts as none of Vault's. */
const MAX_PLAIN_BYTES = 64 * 1024;

/** Nobody looks at what is longer. */
const PLAIN: BodyBounds = { keptBytes: MAX_PLAIN_BYTES + 1, grow: () => undefined };

/** What one call has in memory of an answer, until it is opened. */
class Reading implements BodyBounds {
  readonly keptBytes = Infinity;
  readonly #room: AnswerRoom | undefined;
  readonly #path: string;
  #taken = 0;

  /** Takes room for a short answer before anything is asked for: what Vault issued in vain would stay. */
  constructor(room: AnswerRoom | undefined, path: string) {
    this.#room = room;
    this.#path = path;
    this.grow(MAX_SHORT_BYTES);
  }

  grow(bytes: number): void {
    if (bytes <= this.#taken) return;
    this.#room?.take(bytes - this.#taken, this.#path);
    this.#taken = bytes;
  }

  end(): void {
    this.#room?.giveBack(this.#taken);
  }
}

/** One call of Vault's API. */
export interface ApiCall {
  readonly operation: Operation;
  /** Without `v1/`; names are encoded here. */
  readonly path: string;
  /** As it stands in the URL, e.g. `list=true`. */
  readonly query?: string;
  /** Makes the call a write. */
  readonly body?: object;
  readonly token?: Secret<string>;
  /** A JWT for `Authorization: Bearer`. */
  readonly bearer?: Secret<string>;
  /** Other secrets of the request, to keep out of messages. */
  readonly secrets?: readonly Secret<string>[];
  /** Whether Vault makes something for it that lives on: a token, or what may have a lease. Default: it does not. */
  readonly isMaking?: boolean;
  /** Client certificate, where it is not the one of {@link VaultApi.identity}. */
  readonly identity?: TlsIdentity;
  /** Makes the error of an answer that is no success, or takes it for one after all. Default: {@link refusalOf}. */
  readonly refuse?: (answer: RefusedAnswer) => VouchsafeError | JsonObject;
}

/** What a {@link VaultApi} needs. */
export interface VaultApiOptions {
  readonly address: URL;
  readonly namespace: string | undefined;
  readonly transport: Transport;
  readonly turns: RequestTurns | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly meter: RequestMeter;
  readonly opener?: AnswerOpener | undefined;
  readonly room?: AnswerRoom | undefined;
}

/** A value, and how long it is good. */
export type Opened = Exclude<OpenedAnswer, { readonly malformed: string }>;

/** Calls Vault. */
export class VaultApi {
  /** The client certificate that calls present. */
  identity: TlsIdentity | undefined;
  readonly #options: VaultApiOptions;
  readonly #vault: NodeVault;

  constructor(options: VaultApiOptions) {
    this.#options = options;
    this.#vault = createNodeVault(options);
  }

  /** The address as messages show it. */
  get origin(): string {
    return this.#options.address.origin;
  }

  /** The body of a successful answer, or undefined where it has none. Counts and times the call. */
  async call(call: ApiCall, signal: AbortSignal): Promise<JsonObject | undefined> {
    return await this.#options.meter.measure(call.operation, signal, async () =>
      this.#read(call, await this.#try(call, PLAIN, signal)),
    );
  }

  /** As {@link call}, for an answer that holds a value. */
  async value(call: ApiCall, shape: AnswerShape, signal: AbortSignal): Promise<Opened | undefined> {
    return await this.#options.meter.measure(call.operation, signal, async () => {
      const reading = new Reading(this.#options.room, call.path);
      try {
        const response = await this.#try(call, reading, signal);
        const opened = await this.#open(call, response, { shape, signal });
        if (opened === undefined || !('malformed' in opened)) return opened;
        throw this.malformed(call.path, opened.malformed);
      } finally {
        reading.end();
      }
    });
  }

  async #open(
    call: ApiCall,
    response: HttpResponse,
    { shape, signal }: { readonly shape: AnswerShape; readonly signal: AbortSignal },
  ): Promise<OpenedAnswer | undefined> {
    const { opener = OPENER, clock } = this.#options;
    const { body } = response;
    const nowMs = clock.now();
    if (!isSuccess(response)) return openBody(this.#refuse(call, response), shape, nowMs);
    if (body.byteLength === 0) return undefined;
    return await opener.open({ body, shape, path: call.path, nowMs }, signal);
  }

  async #try(call: ApiCall, reading: BodyBounds, signal: AbortSignal): Promise<HttpResponse> {
    const { clock, random } = this.#options;
    const backoff = createBackoff({ ...CATCH_UP, random });
    for (let tries = 0; ; tries += 1) {
      const response = await this.#send(call, reading, signal);
      if (response.status !== 412 || tries >= CATCH_UP.retries) return response;
      await clock.sleep(backoff.nextMs(), signal);
    }
  }

  async #send(call: ApiCall, reading: BodyBounds, signal: AbortSignal): Promise<HttpResponse> {
    const path = encodePath(call.path) + (call.query === undefined ? '' : `?${call.query}`);
    const identity = call.identity ?? this.identity;
    const options: TransportExtras & { headers: Record<string, string> } = {
      headers: headersOf(call),
      signal,
      reading,
      isLogin: call.operation === 'login',
      isMaking: call.isMaking ?? false,
      ...(identity === undefined ? {} : { identity }),
    };
    return await (call.body === undefined
      ? this.#vault.read(path, options)
      : this.#vault.write(path, call.body, options));
  }

  #read(call: ApiCall, response: HttpResponse): JsonObject | undefined {
    if (!isSuccess(response)) return this.#refuse(call, response);
    const body = plainBody(response);
    if (body !== undefined || response.body.byteLength === 0) return body;
    throw this.malformed(call.path, 'is not a JSON object');
  }

  /** Throws what an answer that is no success means, or gives what is to be taken for its body after all. */
  #refuse(call: ApiCall, response: HttpResponse): JsonObject {
    const { token, bearer, secrets = [] } = call;
    const judgement = (call.refuse ?? refusalOf)({
      status: response.status,
      body: plainBody(response),
      retryAfterMs: parseRetryAfter(response.retryAfter, this.#options.clock.now()),
      path: call.path,
      address: this.origin,
      secrets: [token, bearer, ...secrets].filter((secret) => secret !== undefined),
    });
    if (judgement instanceof VouchsafeError) throw judgement;
    return judgement;
  }

  /** The error of an answer that lacks what Vault always sends. */
  malformed(path: string, what: string): VouchsafeError {
    const text = `the answer of ${this.origin} to ${path} ${what}; is that address Vault?`;
    return new VouchsafeError('ERR_VAULT_MALFORMED', text, { details: { path } });
  }
}

/** What travels through node-vault's options to the transport. */
interface TransportExtras {
  readonly signal: AbortSignal;
  readonly reading: BodyBounds;
  readonly isLogin: boolean;
  readonly isMaking: boolean;
  readonly identity?: TlsIdentity;
}

/** The part of node-vault that is used. With its `handleVaultResponse` replaced it yields what the transport gave. */
interface NodeVault {
  read(path: string, options: object): Promise<HttpResponse>;
  write(path: string, body: object, options: object): Promise<HttpResponse>;
}

/** The options that node-vault passes to its `request-promise`. */
interface NodeVaultRequest extends TransportExtras {
  readonly method: string;
  readonly uri: string;
  readonly headers: Record<string, string>;
  readonly json?: object;
}

function createNodeVault({ address, namespace, transport, turns }: VaultApiOptions): NodeVault {
  const send = async (options: NodeVaultRequest): Promise<HttpResponse> => {
    const { method, uri, headers, json, signal, reading, isLogin, isMaking, identity } = options;
    return await transport.send({
      method,
      url: new URL(uri),
      headers,
      signal,
      reading,
      ...{ isLogin, isMaking },
      ...(json === undefined ? {} : { body: JSON.stringify(json) }),
      ...(identity === undefined ? {} : { identity }),
      ...(turns === undefined ? {} : { turns }),
    });
  };
  const vault = createClient({
    'request-promise': { defaults: () => send },
    // Its own would print bodies and tokens when DEBUG is set.
    debug: () => undefined,
    // Its own checks that path and method are texts, which the types have done; it is not in the bundle.
    tv4: Object.assign(() => undefined, { validate: () => true }),
    commands: {},
  });
  // Set afterwards, because in its options an empty value means "take it from the environment".
  Object.assign(vault, {
    endpoint: address.href.replace(/\/+$/, ''),
    namespace: namespace ?? '',
    token: '',
    pathPrefix: '',
    // Its own takes 202 for an error, and any path with `sys/health` in it for a success.
    handleVaultResponse: (response: unknown) => response,
  });
  return vault;
}

function headersOf({ token, bearer, body }: ApiCall): Record<string, string> {
  return {
    // Listeners with `require_request_header` refuse requests without it.
    'X-Vault-Request': 'true',
    Accept: 'application/json',
    ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
    ...(token === undefined ? {} : { 'X-Vault-Token': token.reveal() }),
    ...(bearer === undefined ? {} : { Authorization: `Bearer ${bearer.reveal()}` }),
  };
}

function encodePath(path: string): string {
  return path.split('/').map(encodeURIComponent).join('/');
}

function isSuccess({ status }: HttpResponse): boolean {
  return status >= 200 && status < 300;
}

function plainBody({ body }: HttpResponse): JsonObject | undefined {
  return body.byteLength > MAX_PLAIN_BYTES ? undefined : objectOf(body);
}
