/**
 * Bounds a start: it succeeds, fails with a final error, or fails at its deadline with the last error. Where the kubelet's
 * hook waits for it, it is divided into tries.
 */
import {
  formatDuration,
  hasCode,
  toVouchsafeError,
  VouchsafeError,
  type Clock,
  type Logger,
} from '../core/index.ts';
import { DEADLINE, withDeadline } from '../async/index.ts';
import type { AgentConfig } from '../config/agent/index.ts';
import type { StartGatePort } from './ports.ts';

export interface StartParts {
  readonly config: Pick<AgentConfig, 'initDeadlineMs' | 'onMissingVault'>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Resolves when every file has been written; rejects with the error that makes that impossible. */
  readonly delivered: (signal: AbortSignal) => Promise<void>;
  /** The likeliest reason why the files are missing. */
  readonly cause: () => VouchsafeError | undefined;
  /** The hook that waits for the start. Default: none does. */
  readonly startGate?: StartGatePort | undefined;
}

/**
 * Waits for the first delivery: for `initDeadlineMs` or, with `onMissingVault: wait`, without a limit.
 *
 * @throws VouchsafeError `ERR_AGENT_DEADLINE` with the cause, or the error that made the start impossible;
 * `ERR_AGENT_START_PENDING` if another try follows.
 */
export async function guardStart(parts: StartParts, signal: AbortSignal): Promise<void> {
  const { config, clock, logger, delivered, startGate: gate } = parts;
  const limit = gate?.begin(config.initDeadlineMs) ?? { ms: config.initDeadlineMs, isLast: true };
  const waited =
    gate === undefined
      ? delivered
      : (inner: AbortSignal) => Promise.race([delivered(inner), gate.lost]);
  try {
    await withDeadline({ clock, ms: limit.ms, signal }, waited);
    return;
  } catch (error) {
    if (error !== DEADLINE) throw error;
  }
  const cause = parts.cause();
  if (!limit.isLast) throw pending(limit.ms, cause);
  if (config.onMissingVault === 'wait') {
    logger.warn('start takes longer than init-deadline; still waiting', { error: cause });
    return delivered(signal);
  }
  const time = formatDuration(config.initDeadlineMs);
  throw late('ERR_AGENT_DEADLINE', `the files were not written within ${time}`, cause);
}

/** True for the error of a start that goes on with another try. */
export function isPending(error: unknown): boolean {
  return hasCode(toVouchsafeError(error), 'ERR_AGENT_START_PENDING');
}

/** The hook fails, so that the kubelet shows the reason, and starts the container again. */
function pending(ms: number, cause: VouchsafeError | undefined): VouchsafeError {
  const what = `the files were not written within ${formatDuration(ms)}, and the start goes on with another try`;
  return late('ERR_AGENT_START_PENDING', what, cause);
}

function late(
  code: 'ERR_AGENT_DEADLINE' | 'ERR_AGENT_START_PENDING',
  what: string,
  cause: VouchsafeError | undefined,
): VouchsafeError {
  const why = cause === undefined ? 'no error was seen' : `${cause.code}: ${cause.message}`;
  const details = cause === undefined ? {} : { cause_code: cause.code };
  return new VouchsafeError(code, `${what}; last cause: ${why}`, { cause, details });
}
