/**
 * Logins that outlive their engine. Vault may grant a login whose request was abandoned, and a token that nobody knows
 * lives until its TTL. So an abandoned login is awaited in the background, and its token is revoked.
 */
import type { VaultPort } from '../agent/index.ts';
import { NEVER_ABORTED, raceAbort, type FairShares } from '../async/index.ts';

/** The shares that bound the logins of all volumes. */
export interface LoginTurns {
  readonly logins: FairShares;
  readonly namespace: string;
}

/** Watches the logins of one volume; each takes a share of its namespace. */
export class OrphanedLogins {
  readonly #turns: LoginTurns;
  readonly #inFlight = new Set<Promise<void>>();

  constructor(turns: LoginTurns) {
    this.#turns = turns;
  }

  /** The same Vault, whose logins run to their end even if the caller aborts; the caller's wait ends then. */
  watch(vault: VaultPort): VaultPort {
    return {
      ...vault,
      login: (request, signal) => {
        const { logins, namespace } = this.#turns;
        // A login that still waits for its share ends with the signal.
        const login = logins.run(namespace, signal, () => vault.login(request, NEVER_ABORTED));
        const seen: Promise<void> = login
          .then(({ token }) =>
            signal.aborted ? vault.revokeToken(token, NEVER_ABORTED) : undefined,
          )
          .catch(() => undefined) // the caller of the login gets its error; a revocation has one try
          .finally(() => this.#inFlight.delete(seen));
        this.#inFlight.add(seen);
        return raceAbort(login, signal);
      },
    };
  }

  /** Resolves when no login is in flight. */
  async ended(): Promise<void> {
    await Promise.all(this.#inFlight);
  }
}
