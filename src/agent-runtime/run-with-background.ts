/**
 * Runs an agent together with its background tasks.
 */
import { runAll, type Task } from '../async/index.ts';
import type { BuiltAgent } from './build-agent.ts';

/** Runs the background tasks until the main task has ended, including its clean-up. Their failure aborts it. */
export async function runWithBackground(
  built: BuiltAgent,
  main: Task,
  signal: AbortSignal,
): Promise<void> {
  const done = new AbortController();
  const failed = new AbortController();
  const background = runAll(done.signal, built.backgroundTasks).catch((error: unknown) =>
    failed.abort(error),
  );
  try {
    await main(AbortSignal.any([signal, failed.signal]));
  } finally {
    done.abort();
    await background;
  }
  failed.signal.throwIfAborted();
}
