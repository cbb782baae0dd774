/**
 * The effects that transitions of `entry-transitions.ts` share: what is counted, logged and reported.
 */
import type { VouchsafeError } from '../core/index.ts';
import { isAbsent, type EntryEffect, type EntryStateOf } from './entry-state.ts';
import type { LeaseRef, ObtainedValue } from './obtain.ts';

/** The states in which a request is in progress. */
export type Busy = EntryStateOf<'fetching' | 'refreshing' | 'renewing'>;

/** Of a failed request. Logged if the one before did not fail in the same way. */
export function failureEffects(state: Busy, error: VouchsafeError): readonly EntryEffect[] {
  const isNews = state.times.error?.code !== error.code;
  const message = 'secret was not refreshed';
  return [
    { type: 'count', operation: operationOf(state), result: error.code },
    ...(isNews ? [{ type: 'log', level: error.level, message, error } as const] : []),
    { type: 'failure', error },
  ];
}

/** Logs once that an optional secret does not exist, and that it does now. */
export function presenceNews(
  before: ObtainedValue | undefined,
  now: ObtainedValue,
): readonly EntryEffect[] {
  if (isAbsent(before) === isAbsent(now)) return [];
  const message = isAbsent(now) ? 'optional secret is absent' : 'optional secret exists now';
  return [{ type: 'log', level: 'info', message }];
}

/** Of a lease that has a successor. */
export function supersede(lease: LeaseRef | undefined): readonly EntryEffect[] {
  return lease === undefined ? [] : [{ type: 'supersede', lease }];
}

/** The label of metrics. */
export function operationOf({ name }: Busy): 'fetch' | 'renew' {
  return name === 'renewing' ? 'renew' : 'fetch';
}
