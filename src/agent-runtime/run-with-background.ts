/**
 * An agent and what must run beside it.
 */
import { runAll, type Task } from '../async/index.ts';
import type { BuiltAgent } from './build-agent.ts';

/** Runs the companions for as long as the main work takes, its clean-up included. */
export async function runWithBackground(
  built: BuiltAgent,
  main: Task,
  signal: AbortSignal,
): Promise<void> {
  const done = new AbortController();
  const failed = new AbortController();
  const companions = runAll(done.signal, built.backgroundTasks).catch((error: unknown) =>
    failed.abort(error),
  );
  try {
    await main(AbortSignal.any([signal, failed.signal]));
  } finally {
    done.abort();
    await companions;
  }
  failed.signal.throwIfAborted();
}
