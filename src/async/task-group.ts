/**
 * Concurrent tasks that end together.
 */

/** Long-running work; resolves only after its own clean-up. */
export type Task = (signal: AbortSignal) => Promise<void>;

/**
 * Runs tasks concurrently. The first failure aborts the others; all are awaited; then the first error is thrown.
 * Aborting `signal` aborts all tasks; that is not a failure, so the group then resolves.
 */
export async function runAll(signal: AbortSignal, tasks: readonly Task[]): Promise<void> {
  const group = new AbortController();
  const linked = AbortSignal.any([signal, group.signal]);
  let failure: { readonly error: unknown } | undefined;
  await Promise.all(
    tasks.map(async (task) => {
      try {
        await task(linked);
      } catch (error) {
        if (linked.aborted) return;
        failure ??= { error };
        group.abort(error);
      }
    }),
  );
  if (failure !== undefined) throw failure.error;
}
