/**
 * What the soak has seen, and what it must not see: each check says how things are, and the ledger knows what may
 * be excused by a fault of the moment from what may not.
 */

/** An invariant that did not hold. */
export class Violation extends Error {
  /** Milliseconds since the start. */
  readonly atMs: number;

  constructor(invariant: string, detail: string, atMs: number) {
    super(`${invariant}: ${detail}`);
    this.name = 'Violation';
    this.atMs = atMs;
  }
}

/** What must hold while nothing is broken; a fault excuses some of it. */
export const CHECKS = {
  login: 'the credential logs in',
  counter: 'the counter is fresh',
  certificate: 'tls.crt is valid',
  x509: 'svid.pem is valid',
  jwt: 'cloud.jwt is valid',
} as const;
/** One of {@link CHECKS}. */
export type Check = keyof typeof CHECKS;

/** Something that was not as it should be. */
export interface LastBad {
  readonly what: string;
  readonly atMs: number;
}

/** The last word of a check. */
interface Verdict {
  readonly isGood: boolean;
  readonly detail: string;
  readonly atMs: number;
}

/** A busy machine holds up everybody; the time that it took is excused twice over. */
const STALL_MS = 1000;

/** Reason of an end that is none but the end. */
const FINISHED = Symbol('finished');

/** Keeps verdicts; a violation aborts {@link Ledger.signal}. */
export class Ledger {
  readonly #startedMs = performance.now();
  readonly #end = new AbortController();
  readonly #verdicts = new Map<Check, Verdict>();
  readonly #counts = new Map<string, { all: number; bad: number }>();
  #excused: ReadonlySet<Check> = new Set();
  #lastBad: LastBad = { what: '', atMs: 0 };
  #excusedUntilMs = 0;
  #stalls = 0;

  /** Aborted by the first violation, or by {@link stop}. */
  get signal(): AbortSignal {
    return this.#end.signal;
  }

  /** Milliseconds since the start. */
  get nowMs(): number {
    return performance.now() - this.#startedMs;
  }

  /** How often the machine did not let the soak run for a second or more. */
  get stalls(): number {
    return this.#stalls;
  }

  /** How often something was looked at, and how often it was not as it should be. */
  count(invariant: string): { readonly all: number; readonly bad: number } {
    return this.#counts.get(invariant) ?? { all: 0, bad: 0 };
  }

  /** What went wrong; undefined while nothing has. */
  get failure(): unknown {
    const { reason } = this.signal as { reason: unknown };
    return reason === FINISHED ? undefined : reason;
  }

  /** Ends the soak, because it has come to its end or because of a failure of its own. */
  stop(reason: unknown = FINISHED): void {
    this.#end.abort(reason);
  }

  /** Must hold at every moment. */
  require(invariant: string, holds: boolean, detail: string): void {
    this.#add(invariant, holds);
    if (!holds) this.#violate(invariant, detail);
  }

  /** Must hold while no fault excuses it; `detail` is for the case that it does not. */
  check(check: Check, isGood: boolean, detail: string): void {
    const atMs = this.nowMs;
    this.#add(CHECKS[check], isGood);
    this.#verdicts.set(check, { isGood, detail, atMs });
    if (isGood) return;
    this.#lastBad = { what: `not: ${CHECKS[check]}`, atMs };
    const isExcused = this.#excused.has(check) || atMs <= this.#excusedUntilMs;
    if (!isExcused) this.#violate(CHECKS[check], detail);
  }

  /** Tells that the machine was away for so long; short times are nothing. */
  stalled(ms: number): void {
    if (ms < STALL_MS) return;
    this.#stalls += 1;
    this.#excusedUntilMs = Math.max(this.#excusedUntilMs, this.nowMs + 2 * ms + STALL_MS);
  }

  /** From now on these checks may fail. */
  faultBegins(excused: readonly Check[]): void {
    this.#excused = new Set(excused);
  }

  /** Whether every check has had a good word since then. */
  isGoodSince(atMs: number): boolean {
    return [...this.#verdicts.values()].every((last) => last.isGood && last.atMs > atMs);
  }

  /** What is not good, or has not been looked at since then. */
  notGoodSince(atMs: number): string {
    return [...this.#verdicts]
      .filter(([, last]) => !last.isGood || last.atMs <= atMs)
      .map(([check, last]) => `${CHECKS[check]} (${last.isGood ? 'not looked at' : last.detail})`)
      .join('; ');
  }

  /** The last check that failed. */
  get lastBad(): LastBad {
    return this.#lastBad;
  }

  /** From now on checks must hold again. */
  faultIsOver(): void {
    this.#excused = new Set();
  }

  /** Ends the soak. */
  violate(invariant: string, detail: string): void {
    this.#violate(invariant, detail);
  }

  #violate(invariant: string, detail: string): void {
    this.#end.abort(new Violation(invariant, detail, this.nowMs));
  }

  #add(invariant: string, isGood: boolean): void {
    const counted = this.#counts.get(invariant) ?? { all: 0, bad: 0 };
    counted.all += 1;
    if (!isGood) counted.bad += 1;
    this.#counts.set(invariant, counted);
  }
}
