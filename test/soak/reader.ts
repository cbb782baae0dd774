/** The application of the soak: it reads the files all the time, and uses what it reads. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { decodeJwt } from 'jose';
import { lookAtSet, type FileContents } from '../helpers/watch-set.ts';
import type { Ledger } from './ledger.ts';
import { FRESH_WITHIN_MS } from './settings.ts';
import { MARK, type SoakWorld } from './world.ts';

const FILES = [
  ...['pair-name', 'pair-pass', 'counter', 'login', 'user', 'tls.crt', 'tls.key'],
  ...['cloud.jwt', 'svid.pem', 'svid_key.pem', 'bundle.pem'],
] as const;

const LOOK_INTERVAL_MS = 5;
const USE_INTERVAL_MS = 250;
const LOGIN_INTERVAL_MS = 125;

/** Looks at the files, one set at a time. */
export class Reader {
  readonly #world: SoakWorld;
  readonly #ledger: Ledger;
  /** When each value of the counter was written, newest last. */
  readonly #written: { readonly n: number; readonly atMs: number }[] = [];
  #set: FileContents | undefined;

  constructor(world: SoakWorld, ledger: Ledger) {
    this.#world = world;
    this.#ledger = ledger;
  }

  /** Whether a whole set has been seen. */
  get hasSeen(): boolean {
    return this.#set !== undefined;
  }

  /** Tells that the counter has had this value since a moment. */
  written(n: number, atMs: number): void {
    this.#written.push({ n, atMs });
  }

  /** Looks until the ledger's end. */
  async look(): Promise<void> {
    const { signal } = this.#ledger;
    let lastMs = performance.now();
    while (!signal.aborted) {
      this.#lookOnce();
      await delay(LOOK_INTERVAL_MS);
      const now = performance.now();
      this.#ledger.stalled(now - lastMs);
      lastMs = now;
    }
  }

  /** Uses what is in the files, several times a second, until the ledger's end. */
  async use(): Promise<void> {
    const { signal } = this.#ledger;
    while (!signal.aborted) {
      if (this.#set !== undefined) this.#useOnce(this.#set);
      await delay(USE_INTERVAL_MS);
    }
  }

  /** Logs in to the database afresh, several times a second, until the ledger's end. */
  async logIn(): Promise<void> {
    const { signal } = this.#ledger;
    while (!signal.aborted) {
      if (this.#set !== undefined) await this.#logInOnce(this.#set);
      await delay(LOGIN_INTERVAL_MS);
    }
  }

  #lookOnce(): void {
    const invariant = 'a reader sees only whole sets';
    try {
      const set = lookAtSet(this.#world.output, FILES, this.hasSeen);
      if (set === undefined || isSame(set, this.#set)) {
        if (set !== undefined) this.#ledger.require(invariant, true, '');
        return;
      }
      this.#set = set;
      const problem = problemOf(set);
      this.#ledger.require(invariant, problem === undefined, problem ?? '');
    } catch (error) {
      this.#ledger.require(invariant, false, describe(error));
    }
  }

  #useOnce(set: FileContents): void {
    const ledger = this.#ledger;
    const now = Date.now();
    for (const [check, name] of [
      ['certificate', 'tls.crt'],
      ['x509', 'svid.pem'],
    ] as const) {
      const leftMs = new X509Certificate(set[name] ?? '').validToDate.getTime() - now;
      ledger.check(check, leftMs > 0, `it ended ${-leftMs} ms ago`);
    }
    const jwtLeftMs = (decodeJwt(set['cloud.jwt'] ?? '').exp ?? 0) * 1000 - now;
    ledger.check('jwt', jwtLeftMs > 0, `it ended ${-jwtLeftMs} ms ago`);
    const delivered = counterOf(set);
    while ((this.#written[0]?.n ?? Infinity) <= delivered) this.#written.shift();
    const ageMs = ledger.nowMs - (this.#written[0]?.atMs ?? ledger.nowMs);
    ledger.check(
      'counter',
      ageMs < FRESH_WITHIN_MS,
      `${delivered} is in the file, a newer one in Vault for ${Math.round(ageMs)} ms`,
    );
  }

  async #logInOnce(set: FileContents): Promise<void> {
    const [user = '', password = ''] = (set['login'] ?? '').split(':');
    this.#world.hunt.plant(password);
    const beganMs = performance.now();
    let problem: string | undefined;
    try {
      await this.#world.postgres.query('select 1', { user, password });
    } catch (error) {
      problem = describe(error);
    }
    const tookMs = Math.round(performance.now() - beganMs);
    this.#ledger.stalled(tookMs);
    const detail = `${user}: ${problem ?? ''} after ${tookMs} ms`;
    this.#ledger.check('login', problem === undefined, detail);
  }
}

/** What is wrong with a set: files of different values, or one that is not whole. */
function problemOf(set: FileContents): string | undefined {
  const file = (name: string): string => set[name] ?? '';
  const version = /^(\d+):end$/.exec(file('pair-name'))?.[1];
  if (file('pair-pass') !== `${MARK}-${version ?? ''}:end`) return 'the pair is of two versions';
  const n = counterOf(set);
  if (file('counter') !== `${n} ${MARK}-${n}:end`) return 'the counter is not whole';
  if (!file('login').startsWith(`${file('user')}:`)) return 'two files name two users';
  for (const [chain, key] of [
    ['tls.crt', 'tls.key'],
    ['svid.pem', 'svid_key.pem'],
  ] as const) {
    const isPair = new X509Certificate(file(chain)).checkPrivateKey(createPrivateKey(file(key)));
    if (!isPair) return `${chain} and ${key} do not go together`;
  }
  const authority = new X509Certificate(file('bundle.pem'));
  const isOfBundle = new X509Certificate(file('svid.pem')).verify(authority.publicKey);
  return isOfBundle ? undefined : 'svid.pem and bundle.pem do not go together';
}

function counterOf(set: FileContents): number {
  return Number.parseInt(set['counter'] ?? '', 10);
}

function isSame(one: FileContents, other: FileContents | undefined): boolean {
  return other !== undefined && FILES.every((name) => one[name] === other[name]);
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
