/**
 * Tasks that live and die together.
 */

/** A long-running piece of work; resolves only after its own cleanup. */
export type Task = (signal: AbortSignal) => Promise<void>;

/**
 * Runs tasks side by side. The first failure aborts the rest; all are awaited; the first error is thrown.
 * Aborting `signal` aborts all; an abort is not a failure, so the group then resolves.
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
