/**
 * The logins of one agent: a table of sessions by the name of the login. The sessions know nothing of each other.
 */
import type { Grants } from '../core/index.ts';
import type { AuthConfig } from '../config/agent/index.ts';
import type { VaultPort } from './ports.ts';
import type { Sessions } from './sessions.ts';

/** One login with its session. */
export interface Login {
  /** Undefined for the login of files that name none. */
  readonly name: string | undefined;
  readonly auth: AuthConfig;
  /** What may be requested with it. Undefined: everything. */
  readonly grants: Grants | undefined;
  readonly vault: VaultPort;
  readonly sessions: Sessions;
}

/** The logins by name, that of files which name none first; empty if the config has no Vault. */
export type Logins<L = Login> = ReadonlyMap<string | undefined, L>;

/** A table of logins. */
export function loginTable<L extends { readonly name: string | undefined }>(
  logins: readonly L[],
): Logins<L> {
  return new Map(logins.map((login) => [login.name, login]));
}
