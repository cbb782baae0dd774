/**
 * Logins that outlive their engine. A request that is given up may have been granted all the same, and a
 * token that nobody knows of lives to its TTL: so it is waited for in the background, and revoked.
 */
import type { VaultPort } from '../agent/index.ts';
import { raceAbort, type FairShares } from '../async/index.ts';

/** Requests end by the deadline of their client. */
const NEVER_ABORTED = new AbortController().signal;

/** Where logins of volumes have their turns. */
export interface LoginTurns {
  readonly logins: FairShares;
  readonly namespace: string;
}

/** Watches the logins of one volume, which begin in the share of its namespace. */
export class OrphanedLogins {
  readonly #turns: LoginTurns;
  readonly #underWay = new Set<Promise<void>>();

  constructor(turns: LoginTurns) {
    this.#turns = turns;
  }

  /** Vault whose logins are not given up, while those who wait for them are free to go. */
  watch(vault: VaultPort): VaultPort {
    return {
      ...vault,
      login: (request, signal) => {
        const { logins, namespace } = this.#turns;
        // One that waits for its turn is given up at once.
        const login = logins.run(namespace, signal, () => vault.login(request, NEVER_ABORTED));
        const seen: Promise<void> = login
          .then(({ token }) =>
            signal.aborted ? vault.revokeToken(token, NEVER_ABORTED) : undefined,
          )
          .catch(() => undefined) // told to whoever waits for the login; a revocation has one try
          .finally(() => this.#underWay.delete(seen));
        this.#underWay.add(seen);
        return raceAbort(login, signal);
      },
    };
  }

  /** Resolves when no login is under way. */
  async ended(): Promise<void> {
    await Promise.all(this.#underWay);
  }
}
