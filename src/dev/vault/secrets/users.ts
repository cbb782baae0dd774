/**
 * The users of the databases behind the database engine: where a real engine would run statements.
 */
import { randomBytes, timingSafeEqual } from 'node:crypto';
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
  readonly #listeners = new Set<(event: UserEvent) => void>();
  readonly #clock: Clock;
  readonly #catchUp: () => void;

  /** `catchUp` first applies what is due: expiry and rotation. */
  constructor(clock: Clock, catchUp: () => void) {
    this.#clock = clock;
    this.#catchUp = catchUp;
  }

  /** Names of the existing users. */
  get names(): readonly string[] {
    this.#catchUp();
    return [...this.#passwords.keys()];
  }

  /** Whether a database would accept this user now. */
  isValidLogin(username: string, password: string): boolean {
    this.#catchUp();
    const [expected, given] = [this.#passwords.get(username), Buffer.from(password)];
    if (expected === undefined || Buffer.byteLength(expected) !== given.length) return false;
    return timingSafeEqual(Buffer.from(expected), given);
  }

  /** Calls `listener` for each event; the returned function stops that. */
  subscribe(listener: (event: UserEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** For the engine: a new user. */
  create(username: string, password: string): void {
    this.#passwords.set(username, password);
    this.#tell('created', username);
  }

  /** For the engine: extends the user. */
  renew(username: string): void {
    this.#tell('renewed', username);
  }

  /** For the engine: another password. */
  rotate(username: string, password: string): void {
    this.#passwords.set(username, password);
    this.#tell('rotated', username);
  }

  /** For the engine: removes the user. */
  revoke(username: string): void {
    if (this.#passwords.delete(username)) this.#tell('revoked', username);
  }

  #tell(kind: UserEvent['kind'], username: string): void {
    const event = { kind, username, atMs: this.#clock.now() };
    this.events.push(event);
    for (const listener of this.#listeners) listener(event);
  }
}

/** A password in Vault's format. */
export function createPassword(): string {
  return randomBytes(15).toString('base64url');
}
