/**
 * Watches files for changes, by chokidar.
 */
import { existsSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import type { watch as Watch } from 'chokidar';
import { Latest, raceAbort } from '../async/index.ts';
import { systemClock } from './clock.ts';

/** The link that the kubelet swaps when it updates a projected volume: its files are links through it. */
const DATA_LINK = '..data';

/** Settle time of a burst of writes, in milliseconds. */
const SETTLE_MS = 50;

/** How often a removed directory is checked for, in milliseconds. */
const RETURN_MS = 500;

/**
 * Yields once at the start, once when the watches are set up (what has changed before is not noticed otherwise), then each
 * time one of the files may have changed; bursts are coalesced. The `..data` swap of projected volumes is noticed. Files
 * may be missing at first, and their directories may be removed and created again. An abort ends it with `signal.reason`
 * and closes the watches.
 */
export async function* watchFiles(
  paths: readonly string[],
  signal: AbortSignal,
): AsyncGenerator<void, void, undefined> {
  const changed = new Latest<undefined>();
  changed.set(undefined);
  // Loaded only on use: most agents watch nothing and start faster without it.
  const { watch } = await import('chokidar');
  const names = new Set([DATA_LINK, ...paths.map((path) => basename(path))]);
  const onChange = (): void => changed.set(undefined);
  const ended = new AbortController();
  const either = AbortSignal.any([signal, ended.signal]);
  // Watch the directories: a watch on a link does not notice a swap of ..data.
  const watches = [...new Set(paths.map((path) => dirname(path)))].map((directory) =>
    // Each rejects with the abort. Handled here: the consumer may be busy with a change for a while.
    watchDirectory({ watch, directory, names, onChange }, either).catch(() => undefined),
  );
  try {
    for await (const _ of changed.updates(signal)) yield;
  } finally {
    ended.abort();
    await Promise.all(watches);
  }
}

interface Watched {
  readonly watch: typeof Watch;
  readonly directory: string;
  /** Entries of the directory that matter. */
  readonly names: ReadonlySet<string>;
  readonly onChange: () => void;
}

/** Watches one directory, also after it has been removed and created again. Rejects with the abort's reason. */
async function watchDirectory(watched: Watched, signal: AbortSignal): Promise<never> {
  for (;;) {
    await watchUntilRemoved(watched, signal);
    do await systemClock.sleep(RETURN_MS, signal);
    while (!existsSync(watched.directory));
  }
}

/** One watch; it is closed then, because chokidar believes that it still watches a directory that was removed. */
async function watchUntilRemoved(
  { watch, directory, names, onChange }: Watched,
  signal: AbortSignal,
): Promise<void> {
  const watcher = watch(directory, {
    ignoreInitial: true,
    depth: 0,
    followSymlinks: false,
    persistent: true,
    awaitWriteFinish: { stabilityThreshold: SETTLE_MS, pollInterval: SETTLE_MS / 2 },
  });
  const removed = Promise.withResolvers<undefined>();
  watcher.on('all', (event, path) => {
    const isRemoval = event === 'unlinkDir' && path === directory;
    if (isRemoval || names.has(basename(path))) onChange();
    if (isRemoval) removed.resolve(undefined);
  });
  watcher.on('ready', onChange);
  // A failed watch (inotify limits) must not end the process: the consumer reads again on its own schedule.
  watcher.on('error', onChange);
  try {
    await raceAbort(removed.promise, signal);
  } finally {
    await watcher.close();
  }
}
