/**
 * The users of the databases behind the database engine: where a real engine would run statements.
 */
import { randomBytes, timingSafeEqual } from 'node:crypto';
import type { Clock } from '../../../core/index.ts';

/** Something that happened to a user. Holds no password. */
export interface UserEvent {
  readonly kind: 'created' | 'renewed' | 'rotated' | 'revoked';
  readonly username: string;
  /** Wall time, milliseconds since the epoch. */
  readonly atMs: number;
}

/** Users with their passwords, and what happened to them. */
export class DatabaseUsers {
  /** Oldest first. */
  readonly events: UserEvent[] = [];
  readonly #passwords = new Map<string, string>();
  readonly #listeners = new Set<(event: UserEvent) => void>();
  readonly #clock: Clock;
  readonly #catchUp: () => void;

  /** `catchUp` lets what time has brought happen first: expiry and rotation. */
  constructor(clock: Clock, catchUp: () => void) {
    this.#clock = clock;
    this.#catchUp = catchUp;
  }

  /** Names of the users there are. */
  get names(): readonly string[] {
    this.#catchUp();
    return [...this.#passwords.keys()];
  }

  /** Whether a database would let this user in now. */
  isValidLogin(username: string, password: string): boolean {
    this.#catchUp();
    const [expected, given] = [this.#passwords.get(username), Buffer.from(password)];
    if (expected === undefined || Buffer.byteLength(expected) !== given.length) return false;
    return timingSafeEqual(Buffer.from(expected), given);
  }

  /** Calls `listener` at each event from now on; the function returned ends that. */
  subscribe(listener: (event: UserEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** For the engine: a new user. */
  create(username: string, password: string): void {
    this.#passwords.set(username, password);
    this.#tell('created', username);
  }

  /** For the engine: the user may stay longer. */
  renew(username: string): void {
    this.#tell('renewed', username);
  }

  /** For the engine: another password. */
  rotate(username: string, password: string): void {
    this.#passwords.set(username, password);
    this.#tell('rotated', username);
  }

  /** For the engine: the user is gone. */
  revoke(username: string): void {
    if (this.#passwords.delete(username)) this.#tell('revoked', username);
  }

  #tell(kind: UserEvent['kind'], username: string): void {
    const event = { kind, username, atMs: this.#clock.now() };
    this.events.push(event);
    for (const listener of this.#listeners) listener(event);
  }
}

/** A password in the form that Vault makes them. */
export function createPassword(): string {
  return randomBytes(15).toString('base64url');
}
