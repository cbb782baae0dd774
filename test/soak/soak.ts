/**
 * The soak: one agent between real servers, random faults, and invariants that are checked all along. It ends
 * with figures, or with the first violation.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Random } from '../../src/core/index.ts';
import { eventually } from '../helpers/agent-process.ts';
import { seededRandom } from '../helpers/random.ts';
import { faultsFor, type Fault } from './faults.ts';
import { CHECKS, Ledger, Violation, type LastBad } from './ledger.ts';
import { Reader } from './reader.ts';
import { incidentLine, summary, type Incident, seconds } from './report.ts';
import { recoveryBoundMs, SETTINGS, type PastFault } from './settings.ts';
import { Watch } from './watch.ts';
import { SoakWorld } from './world.ts';

const COUNTER_INTERVAL_MS = 1000;
/** Time without faults after a recovery, and after the {@link STEADY_MS} that it is seen by. */
const HEALTHY_MS = [0, 5000] as const;
/** What is right must stay so for as long: a value is in the file up to 2 s after the agent has it. */
const STEADY_MS = 2500;
/** Share of incidents that are two faults at once. */
const BOTH_SHARE = 0.25;
/** An agent that is stopped has 5 s for its revocations. */
const END_WITHIN_MS = 8000;
/**
 * How long Vault and the database may take to forget what nobody could revoke, because the agent never learnt of
 * it: the TTL of a lease, and Vault's own tries where the database was away (10 s, then 20 s).
 */
const FORGOTTEN_WITHIN_MS = SETTINGS.leaseMaxTtlMs + 30_000;

/** Options of {@link runSoak}. */
export interface SoakOptions {
  /** The agent, without its flags. */
  readonly command: readonly string[];
  readonly minutes: number;
  readonly seed: number;
  /** The faults whose names hold this alone; for looking at one closely. */
  readonly only?: string | undefined;
  /** Ends it early, and cleanly. */
  readonly signal: AbortSignal;
  readonly print: (line: string) => void;
}

/** Runs the soak; resolves to whether every invariant held. */
export async function runSoak(options: SoakOptions): Promise<boolean> {
  options.print(`soak: ${options.minutes} minutes, seed ${options.seed}`);
  await using world = await SoakWorld.start(options.command);
  if (!world.hasVolume) options.print('soak: "volume full" is left out: only root can mount one');
  const soak = new Soak(world, options);
  return await soak.run();
}

class Soak {
  readonly #world: SoakWorld;
  readonly #options: SoakOptions;
  readonly #random: Random;
  readonly #ledger = new Ledger();
  readonly #reader: Reader;
  readonly #watch: Watch;
  readonly #incidents: Incident[] = [];
  #deck: readonly Fault[] = [];
  /** For the bounds; a fault is among them from its begin, with the longest time that it may take. */
  readonly #faults: PastFault[] = [];

  constructor(world: SoakWorld, options: SoakOptions) {
    this.#world = world;
    this.#options = options;
    this.#random = seededRandom(options.seed);
    this.#reader = new Reader(world, this.#ledger);
    this.#watch = new Watch(world, this.#ledger);
  }

  async run(): Promise<boolean> {
    const ledger = this.#ledger;
    const onSignal = (): void => ledger.stop();
    this.#options.signal.addEventListener('abort', onSignal, { once: true });
    if (this.#options.signal.aborted) onSignal();
    await this.#world.startAgent();
    const tasks = [
      this.#reader.look(),
      this.#reader.use(),
      this.#reader.logIn(),
      this.#watch.port(),
      this.#watch.sample(),
      this.#watch.counts(() => this.#faults),
      this.#count(),
      this.#breakThings(),
    ].map((task) => task.catch((error: unknown) => ledger.stop(error)));
    await Promise.all(tasks);
    this.#options.signal.removeEventListener('abort', onSignal);
    return await this.#verdict(ledger.failure);
  }

  /** Changes the secrets all the time. */
  async #count(): Promise<void> {
    for (let n = 2; !this.#ledger.signal.aborted; n += 1) {
      try {
        await this.#world.count(n);
        this.#reader.written(n, this.#ledger.nowMs);
        if (n % 3 === 0) await this.#world.changePair(n);
      } catch {
        // Vault is sealed: it has not changed.
      }
      await delay(COUNTER_INTERVAL_MS);
    }
  }

  async #breakThings(): Promise<void> {
    const { signal } = this.#ledger;
    const endMs = this.#options.minutes * 60_000;
    await eventually(
      () => Promise.resolve(this.#reader.hasSeen || signal.aborted ? true : undefined),
      'the agent never delivered its files',
    );
    await this.#recovered(0, recoveryBoundMs(0, 0));
    while (!this.#isOver() && this.#ledger.nowMs < endMs) {
      await delay(this.#between(...HEALTHY_MS), undefined, { signal }).catch(() => undefined);
      if (!this.#isOver()) await this.#incident(this.#choose());
    }
    if (!this.#isOver()) await this.#end();
  }

  #isOver(): boolean {
    return this.#ledger.signal.aborted;
  }

  /** The next fault, or two: every kind comes once before one comes again. */
  #choose(): readonly Fault[] {
    const [first, ...others] = this.#deck.length > 0 ? this.#deck : this.#shuffled();
    const second =
      this.#random.next() < BOTH_SHARE
        ? others.find(({ group }) => group !== first?.group)
        : undefined;
    const chosen = [first, second].filter((fault) => fault !== undefined);
    this.#deck = others.filter((fault) => fault !== second);
    return chosen;
  }

  #shuffled(): readonly Fault[] {
    const faults = faultsFor(this.#world).filter(({ name }) =>
      name.includes(this.#options.only ?? ''),
    );
    const drawn = faults.map((fault) => ({ fault, at: this.#random.next() }));
    return drawn.toSorted((one, other) => one.at - other.at).map(({ fault }) => fault);
  }

  async #incident(faults: readonly Fault[]): Promise<void> {
    const ledger = this.#ledger;
    const atMs = ledger.nowMs;
    ledger.faultBegins(faults.flatMap(({ excuses }) => excuses));
    for (const { costs, lastsMs } of faults) this.#faults.push({ costs, lastedMs: lastsMs[1] });
    const ends = await Promise.allSettled(faults.map((fault) => this.#break(fault)));
    for (const end of ends) if (end.status === 'rejected') throw end.reason;
    const endedMs = ledger.nowMs;
    const lastedMs = endedMs - atMs;
    const noticeMs = Math.max(...faults.map((fault) => fault.noticeMs ?? 0));
    // Of two faults one may begin to wait when the other has made it wait already.
    const boundMs = recoveryBoundMs(lastedMs * faults.length, noticeMs);
    const names = faults.map((fault) => fault.name);
    const after = names.join(' and ');
    const last = await this.#recovered(endedMs + noticeMs, endedMs + boundMs, after);
    if (this.#isOver()) return;
    const recoveryMs = Math.max(0, last.atMs - endedMs);
    const lastBad = recoveryMs > 0 ? last.what : '';
    const incident = { names, atMs, lastedMs, recoveryMs, boundMs, lastBad };
    this.#incidents.push(incident);
    this.#options.print(incidentLine(incident));
  }

  async #break(fault: Fault): Promise<void> {
    const [shortest, longest] = fault.lastsMs;
    const lastsMs = this.#between(shortest, longest);
    const repair = await fault.begin(this.#world);
    try {
      await delay(lastsMs, undefined, { signal: this.#ledger.signal });
    } catch {
      // A soak that ends repairs, too: the servers are to end in good order.
    }
    await repair();
  }

  /** Waits until everything is good, was looked at since then, and stays so; gives what last was not, and when. */
  async #recovered(sinceMs: number, untilMs: number, after = 'the start'): Promise<LastBad> {
    const ledger = this.#ledger;
    let last: LastBad = { what: '', atMs: 0 };
    while (!this.#isOver()) {
      const now = ledger.nowMs;
      if (!this.#watch.isReady) last = { what: 'the agent is not ready', atMs: now };
      if (ledger.lastBad.atMs > last.atMs) last = ledger.lastBad;
      if (ledger.isGoodSince(sinceMs) && now - last.atMs > STEADY_MS) break;
      if (now > untilMs) {
        const why = ledger.notGoodSince(sinceMs);
        const detail = `not after ${after}: ${why === '' ? last.what : why}`;
        ledger.violate('everything recovers by itself', detail);
      }
      await delay(100);
    }
    ledger.faultIsOver();
    return last;
  }

  /** Ends the agent as a kubelet does; what it held must be gone. */
  async #end(): Promise<void> {
    const { postgres, vault } = this.#world;
    const ledger = this.#ledger;
    const token = (await this.#world.token()) ?? '';
    ledger.faultBegins(['login', 'counter', 'certificate', 'x509', 'jwt']);
    const beganMs = ledger.nowMs;
    const code = await this.#world.stopAgent('SIGTERM');
    const tookMs = ledger.nowMs - beganMs;
    ledger.require('SIGTERM ends the agent with 0', code === 0, `exit code ${code}`);
    ledger.require('the end takes seconds', tookMs < END_WITHIN_MS, seconds(tookMs));
    const status = await vault.statusAs(token, 'auth/token/lookup-self');
    ledger.require('the token is revoked at the end', status === 403, `status ${status}`);
    const untilMs = ledger.nowMs + FORGOTTEN_WITHIN_MS;
    let roles = await postgres.issued('app');
    this.#options.print(`soak: ${roles.length} roles in PostgreSQL after ${seconds(tookMs)}`);
    while (roles.length > 0 && ledger.nowMs < untilMs && !ledger.signal.aborted) {
      await delay(500);
      roles = await postgres.issued('app');
    }
    ledger.require('no role stays in PostgreSQL', roles.length === 0, roles.join(', '));
    await this.#watch.count(this.#faults);
    this.#watch.growth();
    ledger.stop();
  }

  /** Prints what was seen. */
  async #verdict(reason: unknown): Promise<boolean> {
    const { print, seed } = this.#options;
    const ledger = this.#ledger;
    const elapsedMs = ledger.nowMs;
    await this.#world.stopAgent('SIGTERM');
    if (this.#options.signal.aborted) print('soak: interrupted');
    if (reason !== undefined) {
      print('');
      for (const line of this.#watch.lastLines) print(line);
      const when = reason instanceof Violation ? ` at ${seconds(reason.atMs)}` : '';
      const what = reason instanceof Error ? reason.message : 'something that is no error';
      print(`\nsoak: VIOLATED with seed ${seed}${when}: ${what}`);
    }
    const { asked, most } = await this.#watch.count(this.#faults);
    print(
      summary({
        seed,
        elapsedMs,
        asked,
        most,
        incidents: this.#incidents,
        looks: ledger.count('a reader sees only whole sets'),
        clientLogins: ledger.count(CHECKS.login),
        notifications: this.#world.notifications,
        mostTokens: this.#watch.mostTokens,
        mostLeases: this.#watch.mostLeases,
        growth: this.#watch.growth(),
        stalls: ledger.stalls,
      }),
    );
    return reason === undefined;
  }

  #between(low: number, high: number): number {
    return low + (high - low) * this.#random.next();
  }
}
