/**
 * Tells when files change, by chokidar.
 */
import { existsSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { Latest } from '../async/index.ts';
import { systemClock } from './clock.ts';

/** What the kubelet swaps when it changes a projected volume: the files themselves are links through it. */
const DATA_LINK = '..data';

/** Settle time of a burst of writes, in milliseconds. */
const SETTLE_MS = 50;

/** How often a directory that was removed is looked for, in milliseconds. */
const RETURN_MS = 500;

/**
 * Yields once at the start and then each time one of the files may have changed; bursts collapse.
 * Follows symlinks, so the `..data` swap of projected volumes is seen. Files may be missing at first, and their
 * directories may be removed and made again.
 * Aborting ends it with `signal.reason` and frees the watches.
 */
export async function* watchFiles(
  paths: readonly string[],
  signal: AbortSignal,
): AsyncGenerator<void, void, undefined> {
  const changed = new Latest<undefined>();
  changed.set(undefined);
  // Loaded only when something is watched: most agents watch nothing and start sooner without it.
  const { watch } = await import('chokidar');
  // Their directories: whoever watches a file that is a link does not see what it goes through being swapped.
  const names = new Set([DATA_LINK, ...paths.map((path) => basename(path))]);
  const directories = [...new Set(paths.map((path) => dirname(path)))];
  const watcher = watch(directories, {
    ignoreInitial: true,
    depth: 0,
    followSymlinks: false,
    persistent: true,
    awaitWriteFinish: { stabilityThreshold: SETTLE_MS, pollInterval: SETTLE_MS / 2 },
  });
  watcher.on('all', (_event, path) => {
    if (names.has(basename(path))) changed.set(undefined);
  });
  const ended = new AbortController();
  const followAgain = async (directory: string): Promise<void> => {
    const either = AbortSignal.any([signal, ended.signal]);
    do await systemClock.sleep(RETURN_MS, either);
    while (!existsSync(directory));
    // Without the first it believes that it still watches the one that was removed.
    watcher.unwatch(directory).add(directory);
    changed.set(undefined);
  };
  watcher.on('unlinkDir', (path) => {
    // It rejects at the end alone.
    if (directories.includes(path)) followAgain(path).catch(() => undefined);
  });
  // A watch that fails (inotify limits) must not end the process: the consumer reads again on its own schedule.
  watcher.on('error', () => changed.set(undefined));
  try {
    for await (const _ of changed.updates(signal)) yield;
  } finally {
    ended.abort();
    await watcher.close();
  }
}
