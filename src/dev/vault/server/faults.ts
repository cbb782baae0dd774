/**
 * Faults that a test injects between the client and Vault.
 */

/** A request as rules and counters see it: no header, no value. */
export interface SeenRequest {
  /** `GET`, `POST`, ...; `LIST` also for a GET with `?list=true`. */
  readonly method: string;
  /** Below `/v1/`. */
  readonly path: string;
  /** Of the header `X-Vault-Namespace`, without slashes at the ends. */
  readonly namespace: string;
  /** Of the token, if it is valid. */
  readonly accessor: string | undefined;
  /** Serial number of the client's certificate. */
  readonly certificate: string | undefined;
}

/** Filter for requests: all given parts must match. */
interface RequestFilter {
  readonly method?: string;
  readonly path?: string;
  readonly pathPrefix?: string;
}

/** What happens instead of Vault's response, or before it. */
export type FaultResponse =
  /** Vault's error, or the text of a proxy: a string is sent as text/html. */
  | {
      readonly status: number;
      readonly body?: object | string;
      readonly headers?: Readonly<Record<string, string>>;
    }
  /** 307 to the same path at another origin. */
  | { readonly redirect: string }
  /** Delays Vault's response, by the clock. */
  | { readonly delayMs: number }
  /** No response; the connection stays open. */
  | 'hang'
  /** The connection is reset without a response. */
  | 'reset'
  /** The response is truncated. */
  | 'cut'
  /** Status 200 with a body that is not JSON. */
  | 'garbage';

/** A fault and when it happens. */
export interface FaultRule {
  readonly match: RequestFilter | ((request: SeenRequest) => boolean);
  /** How often; default for ever. */
  readonly times?: number;
  readonly respond: FaultResponse;
}

/** The active rules; the first that matches a request applies. */
export class Faults {
  readonly #rules: { readonly rule: FaultRule; left: number }[] = [];

  /** Adds a rule; the returned function removes it. */
  add(rule: FaultRule): () => void {
    const entry = { rule, left: rule.times ?? Infinity };
    this.#rules.push(entry);
    return () => {
      entry.left = 0;
    };
  }

  clear(): void {
    this.#rules.length = 0;
  }

  /** The fault for a request; counts as one use. */
  take(request: SeenRequest): FaultResponse | undefined {
    const entry = this.#rules.find(({ rule, left }) => left > 0 && matches(rule.match, request));
    if (entry === undefined) return undefined;
    entry.left -= 1;
    return entry.rule.respond;
  }
}

/** Whether a request matches a filter. */
export function matches(match: FaultRule['match'], request: SeenRequest): boolean {
  if (typeof match === 'function') return match(request);
  const { method = request.method, path = request.path, pathPrefix = '' } = match;
  return request.method === method && request.path === path && request.path.startsWith(pathPrefix);
}
