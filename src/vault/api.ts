/**
 * Vault's HTTP API through node-vault, on our own transport. Only this file imports node-vault.
 * node-vault builds the requests; everything else it does (axios, reading VAULT_* variables, printing
 * bodies under DEBUG, storing a token, interpreting statuses) is disabled here.
 */
import createClient from 'node-vault';
import type { ClientCertificate } from '../contracts/index.ts';
import { isRecord, VouchsafeError, type Clock, type Random, type Secret } from '../core/index.ts';
import { createBackoff } from '../async/index.ts';
import { parseObject, parseBody, type ResponseShape, type ParsedResponse } from './response.ts';
import { bareKindOf, wrappingProblem, type ResponseProblem } from './response-problem.ts';
import { notJsonError, problemError } from './unusable-response.ts';
import type { JsonObject } from './json.ts';
import { errorForResponse, type ErrorResponse } from './error-response.ts';
import { ReservedMemory } from './reserved-memory.ts';
import type { RequestMeter, Operation } from './request-meter.ts';
import { INLINE_PARSER } from './inline-parser.ts';
import { parseRetryAfter } from './retry-after.ts';
import type { BodyBounds } from './response-body.ts';
import type { HttpResponse, Transport } from './transport.ts';
import type { ResponseParser, ResponseBudget, RequestLimiter } from './types.ts';

/** Retries, and the waits between them, while a node has not caught up (HTTP 412). */
const CATCH_UP = { retries: 3, minMs: 100, maxMs: 1000 } as const;

/** Longest response without a value: a login, a renewal, an error. A longer one is not taken for Vault's. */
const MAX_PLAIN_BYTES = 64 * 1024;

/** For responses without a value; the rest of a longer one is dropped. */
const PLAIN: BodyBounds = { keptBytes: MAX_PLAIN_BYTES + 1, grow: () => undefined };

/** One call to Vault's API. */
export interface ApiCall {
  readonly operation: Operation;
  /** Without `v1/`; names are encoded here. */
  readonly path: string;
  /** As in the URL, e.g. `list=true`. */
  readonly query?: string;
  /** Makes the call a write. */
  readonly body?: object;
  readonly token?: Secret<string>;
  /** A JWT for `Authorization: Bearer`. */
  readonly bearer?: Secret<string>;
  /** Other secrets of the request, redacted from messages. */
  readonly secrets?: readonly Secret<string>[];
  /** Whether Vault may create a token or a lease for it. Default: false. */
  readonly isCreating?: boolean;
  /** Client certificate. Default: {@link VaultApi.identity}. */
  readonly identity?: ClientCertificate;
  /** Converts an unsuccessful response to an error, or to a body if it counts as success. Default: {@link errorForResponse}. */
  readonly onErrorResponse?: (answer: ErrorResponse) => VouchsafeError | JsonObject;
}

export interface VaultApiOptions {
  readonly address: URL;
  readonly namespace: string | undefined;
  readonly transport: Transport;
  readonly limiter: RequestLimiter | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly meter: RequestMeter;
  readonly parser?: ResponseParser | undefined;
  readonly budget?: ResponseBudget | undefined;
}

/** A value and its validity. */
export type ParsedValue = Exclude<ParsedResponse, { readonly problem: ResponseProblem }>;

/** Calls Vault. */
export class VaultApi {
  /** The client certificate that calls present. */
  identity: ClientCertificate | undefined;
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

  /**
   * The body of a successful response; undefined if it is empty. Counts and times the call.
   */
  async call(call: ApiCall, signal: AbortSignal): Promise<JsonObject | undefined> {
    return await this.#options.meter.measure(call.operation, signal, async () =>
      this.#bodyOf(call, await this.#sendUntilCaughtUp(call, PLAIN, signal)),
    );
  }

  /** As {@link call}, for a response with a value. */
  async value(
    call: ApiCall,
    shape: ResponseShape,
    signal: AbortSignal,
  ): Promise<ParsedValue | undefined> {
    return await this.#options.meter.measure(call.operation, signal, async () => {
      const memory = new ReservedMemory(this.#options.budget, call.path);
      try {
        const response = await this.#sendUntilCaughtUp(call, memory, signal);
        const parsed = await this.#parse(call, response, { shape, signal });
        if (parsed === undefined || !('problem' in parsed)) return parsed;
        throw this.problem(call.path, parsed.problem);
      } finally {
        memory.release();
      }
    });
  }

  async #parse(
    call: ApiCall,
    response: HttpResponse,
    { shape, signal }: { readonly shape: ResponseShape; readonly signal: AbortSignal },
  ): Promise<ParsedResponse | undefined> {
    const { parser = INLINE_PARSER, clock } = this.#options;
    const { body } = response;
    const nowMs = clock.now();
    if (!isSuccess(response)) return parseBody(this.#onErrorResponse(call, response), shape, nowMs);
    if (body.byteLength === 0) return undefined;
    const bare = bareKindOf(body);
    if (bare !== undefined) throw notJsonError(call.path, bare);
    return await parser.parse({ body, shape, path: call.path, nowMs }, signal);
  }

  async #sendUntilCaughtUp(
    call: ApiCall,
    bodyBounds: BodyBounds,
    signal: AbortSignal,
  ): Promise<HttpResponse> {
    const { clock, random } = this.#options;
    const backoff = createBackoff({ ...CATCH_UP, random });
    for (let tries = 0; ; tries += 1) {
      const response = await this.#send(call, bodyBounds, signal);
      if (response.status !== 412 || tries >= CATCH_UP.retries) return response;
      await clock.sleep(backoff.nextMs(), signal);
    }
  }

  async #send(call: ApiCall, bodyBounds: BodyBounds, signal: AbortSignal): Promise<HttpResponse> {
    const path = encodePath(call.path) + (call.query === undefined ? '' : `?${call.query}`);
    const identity = call.identity ?? this.identity;
    const options: TransportExtras & { headers: Record<string, string> } = {
      headers: headersOf(call),
      signal,
      bodyBounds,
      isLogin: call.operation === 'login',
      isCreating: call.isCreating ?? false,
      ...(identity === undefined ? {} : { identity }),
    };
    return await (call.body === undefined
      ? this.#vault.read(path, options)
      : this.#vault.write(path, call.body, options));
  }

  #bodyOf(call: ApiCall, response: HttpResponse): JsonObject | undefined {
    if (!isSuccess(response)) return this.#onErrorResponse(call, response);
    const body = plainBody(response);
    if (body !== undefined || response.body.byteLength === 0) return body;
    throw this.malformed(call.path, 'is not a JSON object');
  }

  /** Throws the error of an unsuccessful response, or returns the body that `onErrorResponse` makes of it. */
  #onErrorResponse(call: ApiCall, response: HttpResponse): JsonObject {
    const { token, bearer, secrets = [] } = call;
    const outcome = (call.onErrorResponse ?? errorForResponse)({
      status: response.status,
      body: plainBody(response),
      retryAfterMs: parseRetryAfter(response.retryAfter, this.#options.clock.now()),
      path: call.path,
      address: this.origin,
      secrets: [token, bearer, ...secrets].filter((secret) => secret !== undefined),
    });
    if (outcome instanceof VouchsafeError) throw outcome;
    return outcome;
  }

  /** The error for a response that lacks what Vault always sends. */
  malformed(path: string, what: string): VouchsafeError {
    return this.problem(path, { kind: 'malformed', what });
  }

  /** The error for a success without a value. */
  noValue(path: string, what: string): VouchsafeError {
    return this.problem(path, { kind: 'no-value', what });
  }

  /** The error for a response that is not usable. */
  problem(path: string, problem: ResponseProblem): VouchsafeError {
    return problemError(path, this.origin, problem);
  }

  /** The members of an object that a response must have, as `data` or `auth`. @throws VouchsafeError */
  member(path: string, body: JsonObject | undefined, name: 'auth' | 'data'): JsonObject {
    const wrapping = wrappingProblem(body);
    if (wrapping !== undefined) throw this.problem(path, wrapping);
    const value = body?.[name];
    if (isRecord(value)) return value;
    throw this.malformed(path, body === undefined ? 'is empty' : `has no ${name}`);
  }
}

/** Options that node-vault passes on to the transport. */
interface TransportExtras {
  readonly signal: AbortSignal;
  readonly bodyBounds: BodyBounds;
  readonly isLogin: boolean;
  readonly isCreating: boolean;
  readonly identity?: ClientCertificate;
}

/** The part of node-vault that is used. With `handleVaultResponse` replaced it returns the transport's response. */
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

function createNodeVault({ address, namespace, transport, limiter }: VaultApiOptions): NodeVault {
  const send = async (options: NodeVaultRequest): Promise<HttpResponse> => {
    const { method, uri, headers, json, signal, bodyBounds, isLogin, isCreating, identity } =
      options;
    return await transport.send({
      method,
      url: new URL(uri),
      headers,
      signal,
      bodyBounds,
      isLogin,
      isCreating,
      ...(json === undefined ? {} : { body: JSON.stringify(json) }),
      ...(identity === undefined ? {} : { identity }),
      ...(limiter === undefined ? {} : { limiter }),
    });
  };
  const vault = createClient({
    'request-promise': { defaults: () => send },
    // The default prints bodies and tokens when DEBUG is set.
    debug: () => undefined,
    // The default checks that path and method are strings, which the types ensure; tv4 is not in the bundle.
    tv4: Object.assign(() => undefined, { validate: () => true }),
    commands: {},
  });
  // Set afterwards, because an empty value in the options means "read it from the environment".
  Object.assign(vault, {
    endpoint: address.href.replace(/\/+$/, ''),
    namespace: namespace ?? '',
    token: '',
    pathPrefix: '',
    // The default treats 202 as an error, and any path containing `sys/health` as a success.
    handleVaultResponse: (response: unknown) => response,
  });
  return vault;
}

function headersOf({ token, bearer, body }: ApiCall): Record<string, string> {
  return {
    // Listeners with `require_request_header` reject requests without it.
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
  return body.byteLength > MAX_PLAIN_BYTES ? undefined : parseObject(body);
}
