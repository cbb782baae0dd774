/**
 * The users of the databases behind the database engine: where a real engine would run statements.
 */
import { randomBytes } from 'node:crypto';
import type { Clock } from '../../../core/index.ts';

/** An event of a user. Without the password. */
export interface UserEvent {
  readonly kind: 'created' | 'renewed' | 'rotated' | 'revoked';
  readonly username: string;
  /** Wall time, milliseconds since the epoch. */
  readonly atMs: number;
}

/** Users with their passwords, and their events. */
export class DatabaseUsers {
  /** Oldest first. */
  readonly events: UserEvent[] = [];
  readonly #passwords = new Map<string, string>();
  readonly #clock: Clock;
  readonly #applyDue: () => void;

  /** `applyDue` first applies what is due: expiry and rotation. */
  constructor(clock: Clock, applyDue: () => void) {
    this.#clock = clock;
    this.#applyDue = applyDue;
  }

  /** Names of the existing users. */
  get names(): readonly string[] {
    this.#applyDue();
    return [...this.#passwords.keys()];
  }

  /** Whether a database would accept this user now. */
  isValidLogin(username: string, password: string): boolean {
    this.#applyDue();
    return this.#passwords.get(username) === password;
  }

  /** Used by the engine: sets a new password, of a new or an existing user; returns it. */
  setPassword(username: string, kind: 'created' | 'rotated'): string {
    const password = randomBytes(15).toString('base64url');
    this.#passwords.set(username, password);
    this.record(kind, username);
    return password;
  }

  /** Used by the engine: removes a user. */
  revoke(username: string): void {
    if (this.#passwords.delete(username)) this.record('revoked', username);
  }

  /** Used by the engine. */
  record(kind: UserEvent['kind'], username: string): void {
    this.events.push({ kind, username, atMs: this.#clock.now() });
  }
}
