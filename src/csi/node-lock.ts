/**
 * One driver at a time for each state directory: two would run two engines of one volume, and each would take the
 * other's credentials away.
 */
import { VouchsafeError, type Clock, type Logger } from '../core/index.ts';
import type { HeldLock, LocksPort } from './ports.ts';

/** How soon after the end of another driver this one begins. */
const RETRY_MS = 500;

/** What {@link lockNode} needs. */
export interface NodeLockOptions {
  readonly locks: LocksPort;
  readonly stateDirectory: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Waits until no other driver has the state directory, and takes it.
 *
 * @throws VouchsafeError `ERR_CSI_STATE` where nothing can be locked.
 */
export async function lockNode(options: NodeLockOptions, signal: AbortSignal): Promise<HeldLock> {
  const { stateDirectory, clock, logger } = options;
  for (let tries = 0; ; tries += 1) {
    const lock = await tryLock(options);
    if (lock !== undefined) return lock;
    if (tries === 0) {
      logger.warn('another driver runs on this node: waiting for its end', {
        directory: stateDirectory,
      });
    }
    await clock.sleep(RETRY_MS, signal);
  }
}

async function tryLock({ locks, stateDirectory }: NodeLockOptions): Promise<HeldLock | undefined> {
  try {
    return await locks.tryLock(stateDirectory);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : 'unknown error';
    const text = `the state directory ${stateDirectory} cannot be locked: ${why}`;
    throw new VouchsafeError('ERR_CSI_STATE', `${text}; flock of util-linux must be there`, {
      cause,
    });
  }
}
