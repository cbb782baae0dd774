/**
 * Watches files for changes, by chokidar.
 */
import { existsSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { Latest } from '../async/index.ts';
import { systemClock } from './clock.ts';

/** The link that the kubelet swaps when it updates a projected volume: its files are links through it. */
const DATA_LINK = '..data';

/** Settle time of a burst of writes, in milliseconds. */
const SETTLE_MS = 50;

/** How often a removed directory is checked for, in milliseconds. */
const RETURN_MS = 500;

/**
 * Yields once at the start, then each time one of the files may have changed; bursts are coalesced.
 * The `..data` swap of projected volumes is noticed. Files may be missing at first, and their directories may be
 * removed and created again. An abort ends it with `signal.reason` and closes the watches.
 */
export async function* watchFiles(
  paths: readonly string[],
  signal: AbortSignal,
): AsyncGenerator<void, void, undefined> {
  const changed = new Latest<undefined>();
  changed.set(undefined);
  // Loaded only on use: most agents watch nothing and start faster without it.
  const { watch } = await import('chokidar');
  // Watch the directories: a watch on a link does not notice a swap of ..data.
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
    // Without unwatch, chokidar believes that it still watches the removed directory.
    watcher.unwatch(directory).add(directory);
    changed.set(undefined);
  };
  watcher.on('unlinkDir', (path) => {
    // Rejects only at the end.
    if (directories.includes(path)) followAgain(path).catch(() => undefined);
  });
  // A failed watch (inotify limits) must not end the process: the consumer reads again on its own schedule.
  watcher.on('error', () => changed.set(undefined));
  try {
    for await (const _ of changed.updates(signal)) yield;
  } finally {
    ended.abort();
    await watcher.close();
  }
}
