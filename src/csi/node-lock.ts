/**
 * One driver at a time for each state directory: two would run two engines for one volume, and each would revoke the
 * other's credentials.
 */
import { VouchsafeError, type Clock, type Logger } from '../core/index.ts';
import type { HeldLock, LocksPort } from './ports.ts';

/** Wait between two tries to lock. */
const RETRY_MS = 500;

/** The parts around {@link lockNode}. */
export interface NodeLockOptions {
  readonly locks: LocksPort;
  readonly stateDirectory: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Locks the state directory, waiting until no other driver holds the lock.
 *
 * @throws VouchsafeError `ERR_CSI_STATE` if the directory cannot be locked at all.
 */
export async function lockNode(options: NodeLockOptions, signal: AbortSignal): Promise<HeldLock> {
  const { stateDirectory, clock, logger } = options;
  for (let tries = 0; ; tries += 1) {
    const lock = await tryLock(options);
    if (lock !== undefined) return lock;
    if (tries === 0) {
      logger.warn('another driver runs on this node: waiting for it to end', {
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
    throw new VouchsafeError('ERR_CSI_STATE', `${text}; flock of util-linux is required`, {
      cause,
    });
  }
}
