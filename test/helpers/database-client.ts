/** An application that logs in to its database afresh, ten times a second, with what the delivered file says. */
import { readFile } from 'node:fs/promises';
import type { DatabaseLogin, Postgres } from './postgres.ts';

const INTERVAL_MS = 100;
/** Logins under way at once; a database that hangs must not be buried. */
const MAX_PARALLEL = 20;

/** What the application saw. Times are milliseconds since it started. */
export interface Experience {
  readonly logins: number;
  readonly failures: readonly { readonly atMs: number; readonly error: string }[];
  /** Spans from a failed login to the next one that worked. */
  readonly outagesMs: readonly number[];
  /** Each user that the file has named: when it came, and whether the one before still worked then. */
  readonly users: readonly { readonly atMs: number; readonly didOldWork: boolean }[];
}

interface Login {
  readonly beganMs: number;
  readonly error: string | undefined;
}

/** The application. Its file holds `user:password`. */
export class DatabaseClient implements AsyncDisposable {
  readonly #database: Postgres;
  readonly #path: string;
  readonly #onPassword: (password: string) => void;
  readonly #startedMs = performance.now();
  readonly #timer: NodeJS.Timeout;
  readonly #underWay = new Set<Promise<void>>();
  readonly #logins: Login[] = [];
  readonly #users: { atMs: number; didOldWork: boolean }[] = [];
  #last: DatabaseLogin | undefined;

  /** `onPassword` is called with each password it has read. */
  constructor(database: Postgres, path: string, onPassword: (password: string) => void) {
    this.#database = database;
    this.#path = path;
    this.#onPassword = onPassword;
    this.#timer = setInterval(() => {
      if (this.#underWay.size >= MAX_PARALLEL) return;
      const done: Promise<void> = this.#logIn().finally(() => this.#underWay.delete(done));
      this.#underWay.add(done);
    }, INTERVAL_MS);
  }

  /** What it has seen so far, without logins that are still under way. */
  get experience(): Experience {
    const logins = this.#logins.toSorted((one, other) => one.beganMs - other.beganMs);
    const outagesMs: number[] = [];
    let failingSinceMs: number | undefined;
    for (const { beganMs, error } of logins) {
      if (error !== undefined) failingSinceMs ??= beganMs;
      else if (failingSinceMs !== undefined) {
        outagesMs.push(Math.round(beganMs - failingSinceMs));
        failingSinceMs = undefined;
      }
    }
    if (failingSinceMs !== undefined) outagesMs.push(Infinity);
    const failures = logins.flatMap(({ beganMs, error }) =>
      error === undefined ? [] : [{ atMs: Math.round(beganMs), error }],
    );
    return { logins: logins.length, failures, outagesMs, users: this.#users };
  }

  /** Stops it and waits for what is under way. */
  async stop(): Promise<Experience> {
    clearInterval(this.#timer);
    await Promise.all(this.#underWay);
    return this.experience;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #logIn(): Promise<void> {
    const beganMs = performance.now() - this.#startedMs;
    const login = parseLogin(await readFile(this.#path, 'utf8'));
    const old = this.#last;
    this.#last = login;
    this.#onPassword(login.password);
    this.#logins.push({ beganMs, error: await this.#try(login) });
    if (old?.user === login.user) return;
    const didOldWork = old === undefined || (await this.#try(old)) === undefined;
    this.#users.push({ atMs: Math.round(beganMs), didOldWork });
  }

  /** The error of a login, if it has one. */
  async #try(login: DatabaseLogin): Promise<string | undefined> {
    try {
      await this.#database.query('select 1', login);
      return undefined;
    } catch (error) {
      return String(error);
    }
  }
}

function parseLogin(text: string): DatabaseLogin {
  const colon = text.indexOf(':');
  return { user: text.slice(0, colon), password: text.slice(colon + 1).trim() };
}
