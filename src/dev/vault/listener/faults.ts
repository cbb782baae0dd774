/**
 * What a test makes go wrong between the client and Vault.
 */

/** A request as rules and counters see it: no header, no value. */
export interface SeenRequest {
  /** `GET`, `POST`, ...; `LIST` also where a GET asks with `?list=true`. */
  readonly method: string;
  /** Below `/v1/`. */
  readonly path: string;
  /** Of the header `X-Vault-Namespace`, without slashes at the ends. */
  readonly namespace: string;
  /** Of the token, where there is a good one. */
  readonly accessor: string | undefined;
}

/** Which requests: all parts that are given must fit. */
export interface RequestFilter {
  readonly method?: string;
  readonly path?: string;
  readonly pathPrefix?: string;
}

/** What happens instead of Vault's answer, or before it. */
export type FaultResponse =
  /** Vault's error, or the text of something in between: a string is sent as text/html. */
  | {
      readonly status: number;
      readonly body?: object | string;
      readonly headers?: Readonly<Record<string, string>>;
    }
  /** 307 to the same path at another origin. */
  | { readonly redirect: string }
  /** Vault answers, but this much later by the clock. */
  | { readonly delayMs: number }
  /** No answer; the connection stays. */
  | 'hang'
  /** The connection is reset without an answer. */
  | 'reset'
  /** The answer ends in its middle. */
  | 'cut'
  /** Status 200 with a body that is no JSON. */
  | 'garbage';

/** A fault and when it happens. */
export interface FaultRule {
  readonly match: RequestFilter | ((request: SeenRequest) => boolean);
  /** How often; default for ever. */
  readonly times?: number;
  readonly respond: FaultResponse;
}

/** The rules in force; the first that fits a request counts. */
export class Faults {
  readonly #rules: { readonly rule: FaultRule; left: number }[] = [];

  /** Adds a rule; the function takes it away again. */
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

  /** The fault that befalls a request, counted as used. */
  take(request: SeenRequest): FaultResponse | undefined {
    const entry = this.#rules.find(({ rule, left }) => left > 0 && matches(rule.match, request));
    if (entry === undefined) return undefined;
    entry.left -= 1;
    return entry.rule.respond;
  }
}

/** Whether a request is among those that a filter means. */
export function matches(match: FaultRule['match'], request: SeenRequest): boolean {
  if (typeof match === 'function') return match(request);
  const { method = request.method, path = request.path, pathPrefix = '' } = match;
  return request.method === method && request.path === path && request.path.startsWith(pathPrefix);
}
