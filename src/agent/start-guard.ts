/**
 * Bounds a start: it succeeds, fails for good, or reaches its deadline with the reason known.
 */
import { formatDuration, VouchsafeError, type Clock, type Logger } from '../core/index.ts';
import { DEADLINE, withDeadline } from '../async/index.ts';
import type { AgentConfig } from '../config/agent/index.ts';

/** What {@link guardStart} needs. */
export interface StartParts {
  readonly config: Pick<AgentConfig, 'initDeadlineMs' | 'onMissingVault'>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Resolves when every file has been written; rejects when that has become impossible. */
  readonly delivered: (signal: AbortSignal) => Promise<void>;
  /** The likeliest reason for which the files are not there. */
  readonly cause: () => VouchsafeError | undefined;
}

/**
 * Waits for the first delivery, as long as `initDeadlineMs` or, with `onMissingVault: wait`, without end.
 *
 * @throws VouchsafeError `ERR_AGENT_DEADLINE` with the cause, or the error that made the start impossible.
 */
export async function guardStart(parts: StartParts, signal: AbortSignal): Promise<void> {
  const { config, clock, logger, delivered } = parts;
  try {
    await withDeadline({ clock, ms: config.initDeadlineMs, signal }, delivered);
    return;
  } catch (error) {
    if (error !== DEADLINE) throw error;
  }
  const cause = parts.cause();
  if (config.onMissingVault === 'wait') {
    logger.warn('start takes longer than init-deadline; waiting on', { error: cause });
    return delivered(signal);
  }
  const why = cause === undefined ? 'no error was seen' : `${cause.code}: ${cause.message}`;
  const waited = formatDuration(config.initDeadlineMs);
  throw new VouchsafeError(
    'ERR_AGENT_DEADLINE',
    `the files were not written within ${waited}; last cause: ${why}`,
    { cause, details: cause === undefined ? {} : { cause_code: cause.code } },
  );
}
