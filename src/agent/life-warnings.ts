/**
 * Warnings about how long a new value is valid.
 */
import type { EntryEffect } from './entry-state.ts';
import type { ObtainedValue } from './obtain.ts';

/** What the log says about the life of a value, beside the one before it. `nowMs` is monotonic. */
export function lifeWarnings(
  previous: ObtainedValue | undefined,
  value: ObtainedValue,
  nowMs: number,
): readonly EntryEffect[] {
  return [...unknownLife(previous, value), ...endedBefore(previous, value, nowMs)];
}

/** A warning about the first lease without a duration. */
function unknownLife(
  previous: ObtainedValue | undefined,
  { plan }: ObtainedValue,
): readonly EntryEffect[] {
  const wasUnknown = previous?.plan.unknownWaitMs !== undefined;
  if (plan.unknownWaitMs === undefined || wasUnknown) return [];
  const message =
    'vault issued a lease without a duration; a new credential is requested at refresh, then less and less often';
  return [{ type: 'log', level: 'warn', message }];
}

/** A warning about the first value that has ended before it is here: the source has no newer one, or a clock is wrong. */
function endedBefore(
  previous: ObtainedValue | undefined,
  { plan }: ObtainedValue,
  nowMs: number,
): readonly EntryEffect[] {
  const wasEnded = previous !== undefined && previous.plan.expiresAtMs < previous.plan.atMs;
  if (plan.expiresAtMs > nowMs || wasEnded) return [];
  const message = 'the value had already ended by the local clock when it was received';
  return [{ type: 'log', level: 'warn', message }];
}
