/**
 * How often one action is attempted. Requests are not queued one by one: an attempt serves every request that came before
 * it, and a request that comes while an attempt runs, or while the next one is awaited, is served by that next one.
 */

/** Attempts for one request. */
export const MAX_TRIES = 5;
/** Consecutive failures of an action that is requested repeatedly, before it is given up for all callers. */
export const MAX_FAILURES = 4 * MAX_TRIES;

/** The attempts of one action. */
export interface Attempts {
  /** The number of the last attempt for the newest request that it serves, from 1; 0 before the first. */
  readonly current: number;
  /** That of the attempt that must follow: 1 if there is a newer request; undefined if every request is settled. */
  readonly next: number | undefined;
  /** Failed attempts since the last success. */
  readonly failures: number;
}

/** What happens to an action. A permanent failure is not tried again for the same request. */
export type AttemptEvent = 'requested' | 'started' | 'succeeded' | 'failed' | 'failed permanently';

/** An action that was requested once, and not yet attempted. */
export const REQUESTED: Attempts = { current: 0, next: 1, failures: 0 };

/** The attempts after an event. */
export function transition(attempts: Attempts, event: AttemptEvent): Attempts {
  const { current, next } = attempts;
  switch (event) {
    case 'requested':
      return { ...attempts, next: 1 };
    case 'started':
      return { ...attempts, current: next ?? current + 1, next: undefined };
    case 'succeeded':
      return { ...attempts, failures: 0 };
    case 'failed':
    case 'failed permanently': {
      const failures = attempts.failures + 1;
      if (failures >= MAX_FAILURES) return { current, next: undefined, failures };
      const isRepeated = event === 'failed' && current < MAX_TRIES;
      return { current, next: next ?? (isRepeated ? current + 1 : undefined), failures };
    }
  }
}
