/**
 * What a fleet goes through: a start in one second, half an hour of routine, Vault away for ten minutes, a new
 * version of every KV secret, and a Vault that can answer half of what it is asked.
 */
import { isFresh, startFleet, type Fleet, type FleetOptions, type Member } from './fleet.ts';
import type { Kind, Lives } from './fleet-vault.ts';

const MINUTE = 60;
const HOUR_MS = 3_600_000;

/** Seconds at which the phases begin. */
const AT = {
  steady: 10 * MINUTE,
  outage: 40 * MINUTE,
  recovery: 50 * MINUTE,
  change: 85 * MINUTE,
  brownOut: 97 * MINUTE,
  afterwards: 107 * MINUTE,
  end: 127 * MINUTE,
} as const;

/** What is promised: no second after an outage sees more than this many times the steady rate. */
export const MOST_TIMES_STEADY = 3;

/** A fleet of this size is looked at second by second, a tenth of it in spans of ten seconds: as many requests. */
const AGENTS_OF_A_SECOND = 10_000;

/** Tokens and leases as Vault grants them by default, and so short that many end while Vault is away. */
export const POPULATIONS = {
  usual: { tokenMs: HOUR_MS, leaseMs: HOUR_MS, maxMs: 24 * HOUR_MS },
  harsh: { tokenMs: HOUR_MS / 3, leaseMs: HOUR_MS / 3, maxMs: 24 * HOUR_MS },
} as const satisfies Record<string, Lives>;

export type PopulationName = keyof typeof POPULATIONS;

/** The busiest span of a phase. Rates are requests a second. */
export interface Peak {
  readonly rate: number;
  /** Beside the mean of the steady phase. */
  readonly ratio: number;
  /** Seconds since the phase began. */
  readonly atSecond: number;
}

/** How it went. Times are in seconds since the phase began; undefined: not before its end. */
export interface FleetReport {
  readonly agents: number;
  readonly spanSeconds: number;
  readonly start: Peak & { readonly deliveredAfter: number | undefined };
  readonly steady: Peak & { readonly mean: number };
  /** Of requests that found nobody. */
  readonly outage: Peak;
  readonly recovery: Peak & {
    readonly freshAfter: number | undefined;
    /** Credentials in files that had ended when Vault came back. */
    readonly endedCredentials: number;
    readonly goodAfter: number | undefined;
  };
  readonly change: Peak & {
    readonly halfAfter: number | undefined;
    readonly allAfter: number | undefined;
  };
  readonly brownOut: Peak & { readonly capacity: number };
  readonly afterBrownOut: Peak & { readonly freshAfter: number | undefined };
  /** Requests of the whole run by kind. */
  readonly requests: Readonly<Record<Kind, number>>;
  readonly loginsPerAgent: number;
  readonly credentialsPerLeasedAgent: number;
  readonly isPromiseKept: boolean;
}

/** Takes a fleet through all phases. */
export async function runScenario(options: FleetOptions): Promise<FleetReport> {
  const fleet = startFleet(options);
  const { clock, vault, members } = fleet;
  const leased = members.filter(({ hasLease }) => hasLease);
  const spanSeconds = Math.max(1, Math.round(AGENTS_OF_A_SECOND / options.agents));
  const until = (second: number): Promise<void> => clock.runUntil(second * 1000);

  const isDelivered = ({ agent }: Member): boolean => agent.isDelivered;
  const [deliveredAfter] = await watch(fleet, { end: AT.steady, every: 1 }, [
    { members, is: isDelivered },
  ]);
  await until(AT.outage);
  const mean = meanRate(fleet, AT.steady, AT.outage);
  const peak = (from: number, to: number): Peak => peakOf(fleet, { from, to, mean, spanSeconds });

  vault.isDown = true;
  await until(AT.recovery);
  vault.isDown = false;
  const ended = leased.filter(({ username }) => !vault.isGood(username));
  const isGood = ({ username }: Member): boolean => vault.isGood(username);
  const [goodAfter, freshAfter] = await watch(fleet, { end: AT.change, every: 5 }, [
    { members: ended, is: isGood },
    { members, is: isFresh },
  ]);

  vault.version += 1;
  const isNew = ({ versions }: Member): boolean => versions.every((it) => it === vault.version);
  const [halfAfter, allAfter] = await watch(fleet, { end: AT.brownOut, every: 1 }, [
    { members, is: isNew, share: 0.5 },
    { members, is: isNew },
  ]);

  vault.capacity = Math.max(1, Math.round(mean / 2));
  const { capacity } = vault;
  await until(AT.afterwards);
  vault.capacity = Infinity;
  const [freshAfterBrownOut] = await watch(fleet, { end: AT.end, every: 5 }, [
    { members, is: isFresh },
  ]);

  const recovery = peak(AT.recovery, AT.change);
  const afterBrownOut = peak(AT.afterwards, AT.end);
  const report: FleetReport = {
    agents: options.agents,
    spanSeconds,
    start: { ...peak(0, AT.steady), deliveredAfter },
    steady: { ...peak(AT.steady, AT.outage), mean },
    outage: peak(AT.outage, AT.recovery),
    recovery: { ...recovery, freshAfter, endedCredentials: ended.length, goodAfter },
    change: { ...peak(AT.change, AT.brownOut), halfAfter, allAfter },
    brownOut: { ...peak(AT.brownOut, AT.afterwards), capacity },
    afterBrownOut: { ...afterBrownOut, freshAfter: freshAfterBrownOut },
    requests: requestsByKind(fleet),
    loginsPerAgent: vault.count('login') / members.length,
    credentialsPerLeasedAgent: vault.count('credential') / leased.length,
    isPromiseKept: Math.max(recovery.ratio, afterBrownOut.ratio) <= MOST_TIMES_STEADY,
  };
  await fleet.stop();
  return report;
}

interface Goal {
  readonly members: readonly Member[];
  readonly is: (member: Member) => boolean;
  /** How many of them are enough. Default 1. */
  readonly share?: number;
}

/** Looks at the fleet `every` so many seconds until a phase ends; gives after how many each goal was reached. */
async function watch(
  { clock }: Fleet,
  { end, every }: { readonly end: number; readonly every: number },
  goals: readonly Goal[],
): Promise<readonly (number | undefined)[]> {
  const startMs = clock.monotonicMs();
  const endMs = end * 1000;
  const states = goals.map(({ members, is, share = 1 }) => ({
    is,
    pending: members,
    enough: members.length * (1 - share),
    after: undefined as number | undefined, // filled in below
  }));
  while (clock.monotonicMs() < endMs) {
    for (const state of states) {
      if (state.after !== undefined) continue;
      state.pending = state.pending.filter((member) => !state.is(member));
      if (state.pending.length <= state.enough)
        state.after = (clock.monotonicMs() - startMs) / 1000;
    }
    const isDone = states.every(({ after }) => after !== undefined);
    const nextMs = clock.monotonicMs() + every * 1000;
    await clock.runUntil(isDone ? endMs : Math.min(nextMs, endMs));
  }
  return states.map(({ after }) => after);
}

function meanRate({ vault }: Fleet, from: number, to: number): number {
  let sum = 0;
  for (let second = from; second < to; second += 1) sum += vault.total(second);
  return sum / (to - from);
}

function peakOf(
  fleet: Fleet,
  phase: { from: number; to: number; mean: number; spanSeconds: number },
): Peak {
  const { from, to, mean, spanSeconds } = phase;
  let best = { rate: 0, atSecond: 0 };
  for (let second = from; second < to; second += spanSeconds) {
    const rate = meanRate(fleet, second, Math.min(to, second + spanSeconds));
    if (rate > best.rate) best = { rate, atSecond: second - from };
  }
  return { ...best, ratio: best.rate / mean };
}

function requestsByKind({ vault }: Fleet): Record<Kind, number> {
  const count = (kind: Kind): number => vault.count(kind);
  return {
    login: count('login'),
    read: count('read'),
    credential: count('credential'),
    renewal: count('renewal'),
    revocation: count('revocation'),
    lookup: count('lookup'),
  };
}
