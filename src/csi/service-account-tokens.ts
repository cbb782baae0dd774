/**
 * The pod's service-account tokens, as the kubelet passes them. They are kept only in memory, and never printed.
 */
import { fieldsOf, Secret, VouchsafeError, type Clock, type ErrorCode } from '../core/index.ts';
import { Latest } from '../async/index.ts';
import type { TokenPort } from '../agent/index.ts';

/** Key of the tokens, in the secrets of a request or in its volume context. */
export const TOKENS_KEY = 'csi.storage.k8s.io/serviceAccount.tokens';

/** Longest text of all tokens of a pod, in bytes. */
const MAX_TOKENS_BYTES = 256 * 1024;

/** A token with less time left than this may expire on its way to Vault. */
const MIN_LIFE_MS = 2000;

/** One token. */
interface PodToken {
  readonly token: Secret<string>;
  readonly expiresAtMs: number;
}

/** Audience -> token; the empty audience is the API server's own. */
export type PodTokens = ReadonlyMap<string, PodToken>;

/** The subject that each token must have. */
export interface TokenOwner {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly uid: string;
}

/**
 * Parses what the kubelet sends: `{"audience": {"token": "…", "expirationTimestamp": "…"}}`. Rejects a token whose claims
 * name another pod: where the kubelet sends none, the author of a pod could have written it.
 *
 * @throws VouchsafeError `ERR_CSI_TOKEN`
 */
export function parsePodTokens(text: string, owner: TokenOwner): PodTokens {
  if (text.length > MAX_TOKENS_BYTES) throw invalidTokens('are too long');
  const tokens = new Map<string, PodToken>();
  for (const [audience, entry] of entriesOf(parse(text))) {
    const { token, expirationTimestamp } = fieldsOf(entry);
    const expiresAtMs = Date.parse(
      typeof expirationTimestamp === 'string' ? expirationTimestamp : '',
    );
    if (typeof token !== 'string' || Number.isNaN(expiresAtMs)) {
      throw invalidTokens('have an unexpected format');
    }
    checkOwner(token, owner);
    tokens.set(audience, { token: new Secret(token), expiresAtMs });
  }
  return tokens;
}

/** Rejects a request whose tokens lack the audience that logs in. @throws VouchsafeError `ERR_CSI_TOKEN` */
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

  /** Why a login is waiting for the kubelet; undefined if none is. */
  get problem(): { readonly code: ErrorCode; readonly message: string } | undefined {
    if (this.#waiting === 0) return undefined;
    const message =
      'waiting for a valid service-account token; the kubelet sends one with its next call';
    return { code: 'ERR_CSI_TOKEN', message };
  }

  /** Takes newer tokens. */
  set(tokens: PodTokens): void {
    this.#latest.set(tokens);
  }

  /** The newest token; if it is missing or about to expire, the next one that the kubelet sends. */
  async token(_: unknown, signal: AbortSignal): Promise<Secret<string>> {
    this.#waiting += 1;
    try {
      for await (const tokens of this.#latest.updates(signal)) {
        const found = tokens.get(this.#audience);
        if (found === undefined) throw missingAudience(tokens, this.#audience);
        if (found.expiresAtMs - this.#clock.now() >= MIN_LIFE_MS) return found.token;
      }
      throw signal.reason; // the updates end only by an abort
    } finally {
      this.#waiting -= 1;
    }
  }
}

function checkOwner(token: string, { namespace, serviceAccount, uid }: TokenOwner): void {
  const [, payload, signature, ...rest] = token.split('.');
  if (payload === undefined || signature === undefined || rest.length > 0) {
    throw invalidTokens('are not JWTs');
  }
  const claims = fieldsOf(parse(Buffer.from(payload, 'base64url').toString()));
  const pod = fieldsOf(fieldsOf(claims['kubernetes.io'])['pod']);
  const isOwn =
    claims['sub'] === `system:serviceaccount:${namespace}:${serviceAccount}` && pod['uid'] === uid;
  if (!isOwn)
    throw invalidTokens(`do not belong to this pod and service account ${serviceAccount}`);
}

function missingAudience(tokens: PodTokens | undefined, audience: string): VouchsafeError {
  const names = [...(tokens?.keys() ?? [])].map((one) => JSON.stringify(one.slice(0, 100)));
  const found =
    names.length === 0 ? 'and none at all' : `only for ${names.slice(0, 10).join(', ')}`;
  return new VouchsafeError(
    'ERR_CSI_TOKEN',
    `the kubelet sent no service-account token for audience ${JSON.stringify(audience)}, ${found}: add it to tokenRequests of the CSIDriver object (csi.tokenAudiences of the installation)`,
  );
}

function invalidTokens(problem: string): VouchsafeError {
  return new VouchsafeError(
    'ERR_CSI_TOKEN',
    `the service-account tokens of the request ${problem}`,
  );
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw invalidTokens('are not valid JSON'); // the error of the parser quotes the text
  }
}

function entriesOf(value: unknown): [string, unknown][] {
  return Object.entries(fieldsOf(value));
}
