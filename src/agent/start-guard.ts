/**
 * Bounds a start: it succeeds, fails with a final error, or fails at its deadline with the last error.
 */
import { formatDuration, VouchsafeError, type Clock, type Logger } from '../core/index.ts';
import { DEADLINE, withDeadline } from '../async/index.ts';
import type { AgentConfig } from '../config/agent/index.ts';

export interface StartParts {
  readonly config: Pick<AgentConfig, 'initDeadlineMs' | 'onMissingVault'>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Resolves when every file has been written; rejects with the error that makes that impossible. */
  readonly delivered: (signal: AbortSignal) => Promise<void>;
  /** The likeliest reason why the files are missing. */
  readonly cause: () => VouchsafeError | undefined;
}

/**
 * Waits for the first delivery: for `initDeadlineMs` or, with `onMissingVault: wait`, without a limit.
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
    logger.warn('start takes longer than init-deadline; still waiting', { error: cause });
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
