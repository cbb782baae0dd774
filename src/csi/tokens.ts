/**
 * The pod's service-account tokens, as the kubelet hands them in. They are kept in memory alone, and never
 * printed.
 */
import { Secret, VouchsafeError, type Clock, type ErrorCode } from '../core/index.ts';
import { Latest } from '../async/index.ts';
import type { TokenPort } from '../agent/index.ts';

/** Key of the tokens, in the secrets of a request or in its volume context. */
export const TOKENS_KEY = 'csi.storage.k8s.io/serviceAccount.tokens';

/** Longest text of all tokens of a pod. */
const MAX_TOKENS_BYTES = 256 * 1024;

/** A token with less life than this may expire on its way to Vault. */
const MIN_LIFE_MS = 2000;

/** One token. */
export interface PodToken {
  readonly token: Secret<string>;
  readonly expiresAtMs: number;
}

/** Audience -> token; the empty audience is the API server's own. */
export type PodTokens = ReadonlyMap<string, PodToken>;

/** Who a token must be for. */
export interface TokenOwner {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly uid: string;
}

/**
 * Reads what the kubelet sends: `{"audience": {"token": "…", "expirationTimestamp": "…"}}`. A token that says of
 * itself that it is another's is refused: where the kubelet sends none, an author of pods could write one.
 *
 * @throws VouchsafeError `ERR_CSI_TOKEN`
 */
export function parsePodTokens(text: string, owner: TokenOwner): PodTokens {
  if (text.length > MAX_TOKENS_BYTES) throw invalidTokens('are too long');
  const tokens = new Map<string, PodToken>();
  for (const [audience, entry] of entriesOf(parse(text))) {
    const { token, expirationTimestamp } = objectOf(entry);
    const expiresAtMs = Date.parse(
      typeof expirationTimestamp === 'string' ? expirationTimestamp : '',
    );
    if (typeof token !== 'string' || Number.isNaN(expiresAtMs)) {
      throw invalidTokens('are not what the kubelet sends');
    }
    checkOwner(token, owner);
    tokens.set(audience, { token: new Secret(token), expiresAtMs });
  }
  return tokens;
}

/** Refuses a request whose tokens lack the audience that logs in. */
export function requireAudience(tokens: PodTokens | undefined, audience: string): void {
  if (tokens?.has(audience) !== true) throw missingAudience(tokens, audience);
}

/** The newest tokens of one pod. */
export class TokenSource implements TokenPort {
  readonly #audience: string;
  readonly #clock: Pick<Clock, 'now'>;
  readonly #latest = new Latest<PodTokens>();
  #waiting = 0;

  /** `audience` is that of the token that logs in. */
  constructor(audience: string, clock: Pick<Clock, 'now'>) {
    this.#audience = audience;
    this.#clock = clock;
  }

  /** Why a login does not go on, where it waits for the kubelet. */
  get problem(): { readonly code: ErrorCode; readonly message: string } | undefined {
    if (this.#waiting === 0) return undefined;
    const message =
      'waits for a service-account token that is still valid; the kubelet sends one with its next call';
    return { code: 'ERR_CSI_TOKEN', message };
  }

  /** Takes newer tokens. */
  set(tokens: PodTokens): void {
    this.#latest.set(tokens);
  }

  /** The newest token; where there is none, or an expired one, the next that the kubelet hands in. */
  async token(_: unknown, signal: AbortSignal): Promise<Secret<string>> {
    this.#waiting += 1;
    try {
      for await (const tokens of this.#latest.updates(signal)) {
        const found = tokens.get(this.#audience);
        if (found === undefined) throw missingAudience(tokens, this.#audience);
        if (found.expiresAtMs - this.#clock.now() >= MIN_LIFE_MS) return found.token;
      }
      throw signal.reason; // the updates end by an abort alone
    } finally {
      this.#waiting -= 1;
    }
  }
}

function checkOwner(token: string, { namespace, serviceAccount, uid }: TokenOwner): void {
  const [, payload, signature, ...rest] = token.split('.');
  if (payload === undefined || signature === undefined || rest.length > 0) {
    throw invalidTokens('are no JWTs');
  }
  const claims = objectOf(parse(Buffer.from(payload, 'base64url').toString()));
  const pod = objectOf(objectOf(claims['kubernetes.io'])['pod']);
  const isOwn =
    claims['sub'] === `system:serviceaccount:${namespace}:${serviceAccount}` && pod['uid'] === uid;
  if (!isOwn)
    throw invalidTokens(`are not those of this pod and of service account ${serviceAccount}`);
}

function missingAudience(tokens: PodTokens | undefined, audience: string): VouchsafeError {
  const names = [...(tokens?.keys() ?? [])].map((one) => JSON.stringify(one.slice(0, 100)));
  const found = names.length === 0 ? 'none at all' : `only for ${names.slice(0, 10).join(', ')}`;
  const wanted = JSON.stringify(audience);
  return new VouchsafeError(
    'ERR_CSI_TOKEN',
    `the kubelet sent no service-account token for audience ${wanted}, ${found}: add it to tokenRequests of the CSIDriver object (csi.tokenAudiences of the installation)`,
  );
}

function invalidTokens(what: string): VouchsafeError {
  return new VouchsafeError('ERR_CSI_TOKEN', `the service-account tokens of the request ${what}`);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw invalidTokens('cannot be read'); // the error of the parser quotes the text
  }
}

function entriesOf(value: unknown): [string, unknown][] {
  return Object.entries(objectOf(value));
}

function objectOf(value: unknown): Readonly<Record<string, unknown>> {
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
  return isObject ? { ...value } : {};
}
