/**
 * The pipeline of each request: seal, namespace, token, policy, mount, lease, envelope.
 */
import { randomUUID } from 'node:crypto';
import type { Clock } from '../../../core/index.ts';
import { capabilitiesOn } from './acl.ts';
import { seconds } from './fields.ts';
import { LeaseStore } from './leases.ts';
import {
  listedRefusal,
  Refusal,
  type Answer,
  type Json,
  type TokenGrant,
  type VaultRequest,
} from './messages.ts';
import { effective, type Mount } from './mounts.ts';
import type { Namespace } from './namespace.ts';
import { TokenStore, type Token, type TokenOrigin } from './tokens.ts';
import { Wrapping } from './wrapping.ts';

/** The response to the client. */
export interface Reply {
  readonly status: number;
  readonly contentType: string;
  /** Empty for 204. */
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
}

const ROOT_GRANT: TokenGrant = {
  policies: ['root'],
  metadata: null,
  displayName: 'root',
  type: 'service',
  renewable: false,
  numUses: 0,
  noDefaultPolicy: false,
  entityId: '',
  ttlMs: 0,
  maxTtlMs: 0,
};

/** A Vault without its listener. */
export class VaultCore {
  readonly clock: Clock;
  readonly tokens: TokenStore;
  readonly leases: LeaseStore;
  readonly wrapping: Wrapping;
  /** While true, everything but the status of the server fails with 503. */
  sealed = false;
  readonly #namespaces = new Map<string, Namespace>();
  #ignoresNamespaces = true;

  constructor(clock: Clock) {
    this.clock = clock;
    this.leases = new LeaseStore(clock);
    this.tokens = new TokenStore(clock, (token) => this.leases.revokeOf(token.id));
    this.wrapping = new Wrapping(clock);
  }

  /** Adds a namespace; the root one has an empty path. If there are others, unknown ones are rejected. */
  addNamespace(namespace: Namespace): void {
    this.#namespaces.set(namespace.path, namespace);
    if (namespace.path !== '') this.#ignoresNamespaces = false;
  }

  /** Creates a root token without expiry; returns its ID, random by default. */
  createRootToken(id?: string): string {
    const origin = { path: 'auth/token/root', namespace: '', mountDefaultMs: 0, mountMaxMs: 0 };
    return this.tokens.create({ ...ROOT_GRANT, ...(id === undefined ? {} : { id }) }, origin).token
      .id;
  }

  /** Applies everything that is due: expiry of tokens and leases, rotations. */
  tick(): void {
    this.tokens.expire();
    this.leases.expire();
    for (const namespace of this.#namespaces.values()) {
      for (const mount of namespace.mounts.list()) mount.backend.tick?.();
    }
  }

  /** Handles a request; never rejects for an error of the client. */
  async handle(request: VaultRequest): Promise<Reply> {
    try {
      return await this.#serve(request);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      return jsonReply(error.status, { errors: [error.message] });
    }
  }

  /** The token of a request. @throws Refusal 403 when there is none or it is no longer valid. */
  authenticate(request: VaultRequest): Token {
    if (request.token === undefined) throw new Refusal(403, 'permission denied');
    const token = this.tokens.get(request.token);
    if (token === undefined) throw listedRefusal(403, 'permission denied', 'invalid token');
    return token;
  }

  async #serve(asked: VaultRequest): Promise<Reply> {
    this.tick();
    if (this.sealed && !/^sys\/(health|seal-status|unseal)$/.test(asked.path)) {
      throw new Refusal(503, 'Vault is sealed');
    }
    const namespace = this.#namespaceOf(asked);
    const request = inNamespace(asked, namespace);
    const mount = namespace.mounts.find(request.path);
    const below = request.path.slice(mount?.path.length ?? 0);
    const operation = refine(request, mount, below);
    if (mount !== undefined && isOpen(mount, below)) {
      const answer = await mount.backend.handle({ ...request, path: below, operation });
      return this.#reply(request, mount, answer, this.tokens.get(request.token ?? ''));
    }
    const token = this.authenticate(request);
    if (token.grant.numUses > 0) token.usesLeft -= 1;
    try {
      this.#authorize(namespace, token, { ...request, operation });
      if (mount === undefined) throw noRoute(request.path);
      const answer = await mount.backend.handle({ ...request, path: below, operation });
      return this.#reply(request, mount, answer, token);
    } finally {
      if (token.grant.numUses > 0 && token.usesLeft <= 0) this.tokens.revoke(token);
    }
  }

  /** The namespace selected by header and path. */
  #namespaceOf(request: VaultRequest): Namespace {
    const asked = this.#ignoresNamespaces ? '' : request.namespace;
    const whole = fullPath(asked, request.path);
    const [innermost] = [...this.#namespaces.values()]
      .filter(({ path }) => path === '' || whole.startsWith(`${path}/`))
      .sort((a, b) => b.path.length - a.path.length);
    if (innermost === undefined || innermost.path.length < asked.length) throw noRoute(whole);
    return innermost;
  }

  #authorize(namespace: Namespace, token: Token, request: VaultRequest): void {
    const home = token.origin.namespace;
    const isRoot = token.policies.includes('root');
    if (isRoot && (home === '' || home === namespace.path)) return;
    const rules = namespace.rulesOf(token.policies);
    const granted = capabilitiesOn(rules, request.path, request.operation);
    if (home === namespace.path && granted.has(request.operation)) return;
    throw listedRefusal(403, 'permission denied');
  }

  #reply(request: VaultRequest, mount: Mount, answer: Answer, token: Token | undefined): Reply {
    if (answer.raw !== undefined) {
      return { status: answer.status ?? 200, ...answer.raw };
    }
    const status = answer.status ?? (isSilent(answer) ? 204 : 200);
    if (status === 204) return { status, contentType: 'application/json', body: '' };
    if (isSilent(answer)) return jsonReply(status, { errors: [] });
    const body = this.#envelope(request, mount, answer, token);
    return jsonReply(status, this.wrapping.wrapIfAsked(request, body));
  }

  #envelope(request: VaultRequest, mount: Mount, answer: Answer, token: Token | undefined): Json {
    const lease = this.#issueLease(request, mount, answer, token);
    const auth = this.#issueToken(request, mount, answer);
    const warnings = [...(answer.warnings ?? []), ...lease.warnings, ...auth.warnings];
    const isLogin = answer.token !== undefined && mount.type !== 'token';
    const shownType = answer.status === undefined && !isLogin ? mount.type : '';
    return {
      ...(answer.flat === true ? answer.data : {}),
      request_id: randomUUID(),
      ...lease.shown,
      data: answer.data ?? null,
      wrap_info: null,
      warnings: warnings.length === 0 ? null : warnings,
      auth: auth.shown,
      mount_type: answer.mountType ?? shownType,
      ...answer.envelope,
    };
  }

  #issueLease(
    request: VaultRequest,
    mount: Mount,
    answer: Answer,
    token: Token | undefined,
  ): Issued {
    if (answer.lease === undefined || token === undefined) {
      const lease_duration = answer.leaseSeconds ?? 0;
      return { shown: { lease_id: '', renewable: false, lease_duration }, warnings: [] };
    }
    const { lease, warnings } = this.leases.create(answer.lease, {
      ...originOf(request, mount),
      tokenId: token.id,
      notAfterMs: token.grant.type === 'batch' ? token.expiresAtMs : undefined,
    });
    const shown = {
      lease_id: lease.id,
      renewable: lease.grant.renewable,
      lease_duration: seconds(lease.ttlMs),
    };
    return { shown, warnings };
  }

  #issueToken(request: VaultRequest, mount: Mount, answer: Answer): Issued {
    if (answer.token === undefined) return { shown: null, warnings: [] };
    const { token, warnings } = this.tokens.create(answer.token, originOf(request, mount));
    return { shown: this.tokens.describeAuth(token), warnings };
  }
}

interface Issued {
  readonly shown: Json | null;
  readonly warnings: readonly string[];
}

function originOf(request: VaultRequest, mount: Mount): TokenOrigin {
  return {
    path: request.path,
    namespace: request.namespace,
    mountDefaultMs: effective(mount.defaultTtlMs),
    mountMaxMs: effective(mount.maxTtlMs),
  };
}

/** A reply with a JSON body. */
export function jsonReply(status: number, body: Json): Reply {
  return { status, contentType: 'application/json', body: `${JSON.stringify(body)}\n` };
}

function fullPath(namespace: string, path: string): string {
  return namespace === '' ? path : `${namespace}/${path}`;
}

/** The request as seen from the namespace it goes to: the path may have begun with it. */
function inNamespace(request: VaultRequest, namespace: Namespace): VaultRequest {
  if (namespace.path === '') return { ...request, namespace: '' };
  const whole = fullPath(request.namespace, request.path);
  return { ...request, namespace: namespace.path, path: whole.slice(namespace.path.length + 1) };
}

function noRoute(path: string): Refusal {
  return new Refusal(404, `no handler for route "${path}". route entry not found.`);
}

/** A write is a `create` where there is nothing yet. */
function refine(
  request: VaultRequest,
  mount: Mount | undefined,
  below: string,
): VaultRequest['operation'] {
  const creates = request.operation === 'update' && mount?.backend.exists?.(below) === false;
  return creates ? 'create' : request.operation;
}

function isOpen(mount: Mount, below: string): boolean {
  return (mount.backend.open ?? []).some((pattern) =>
    pattern.endsWith('*') ? below.startsWith(pattern.slice(0, -1)) : below === pattern,
  );
}

function isSilent(answer: Answer): boolean {
  return (
    answer.data === undefined &&
    answer.token === undefined &&
    answer.envelope === undefined &&
    (answer.warnings ?? []).length === 0
  );
}
