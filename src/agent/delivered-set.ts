/**
 * What follows from a set that was written: which files are recorded, which leases nothing uses any more, and which
 * actions notify the application. Pure.
 */
import { mayBeFederatedBundle } from '../core/index.ts';
import type { AgentConfig, FileConfig } from '../config/agent/index.ts';
import type { NotifyAction } from '../config/schema/index.ts';
import type { ChosenFile } from './choose-set.ts';
import type { DeliveryState } from './decide-delivery.ts';
import type { Superseded } from './values.ts';

/** A file as it was last delivered. Times are of the monotonic clock. */
export interface DeliveredFile {
  readonly name: string;
  readonly path: string;
  /** False while its secret is optional and absent. */
  readonly exists: boolean;
  /** When its values were last confirmed while the file held them. */
  readonly knownGoodAtMs: number;
  /** The last change of its bytes. */
  readonly changedAtMs: number;
}

/** A file on disk, with what it was made of. */
interface Kept extends ChosenFile {
  readonly deliveredAtMs: number;
  readonly changedAtMs: number;
  /** True while newer values are not in the file. */
  readonly isStale: boolean;
}

/** The files that this process has delivered, by name. */
export type DeliveredSet = ReadonlyMap<string, Kept>;

/**
 * The delivered files after a write, which has changed the bytes at the paths `changed`. A file of `last` that is not
 * `chosen` no longer exists.
 */
export function recordWritten(
  last: DeliveredSet,
  chosen: readonly ChosenFile[],
  { changed, nowMs }: { readonly changed: readonly string[]; readonly nowMs: number },
): DeliveredSet {
  const kept = chosen.map((item): readonly [string, Kept] => {
    const { name, path } = item.file;
    const before = last.get(name);
    const deliveredAtMs = item.isHeldBack ? (before?.deliveredAtMs ?? nowMs) : nowMs;
    const changedAtMs = changed.includes(path) ? nowMs : (before?.changedAtMs ?? nowMs);
    return [name, { ...item, deliveredAtMs, changedAtMs, isStale: item.isHeldBack }];
  });
  return new Map(kept);
}

/** The delivered files after a delivery failed: newer values are in none of them. */
export function recordFailed(last: DeliveredSet): DeliveredSet {
  return new Map([...last].map(([name, kept]) => [name, { ...kept, isStale: true }]));
}

/** The delivered files for the status. `confirmedAtMs`: when the values with these keys were last confirmed, if known. */
export function deliveredFiles(
  set: DeliveredSet,
  confirmedAtMs: (keys: Iterable<string>) => number | undefined,
  nowMs: number,
): readonly DeliveredFile[] {
  return [...set.values()].map(({ file, content, keys, deliveredAtMs, changedAtMs, isStale }) => {
    const confirmed = confirmedAtMs(keys) ?? nowMs;
    const knownGoodAtMs = isStale ? Math.min(deliveredAtMs, confirmed) : confirmed;
    const exists = content !== 'no file';
    return { name: file.name, path: file.path, exists, knownGoodAtMs, changedAtMs };
  });
}

/** Keys of all values that are in the files of a set, or were reached for files that keep their last bytes. */
export function usedKeys(chosen: readonly ChosenFile[]): ReadonlySet<string> {
  return new Set(chosen.flatMap(({ keys }) => [...keys]));
}

/** Superseded leases that no file of a set uses: those of files that keep their last bytes are left out. */
export function replacedLeases(
  chosen: readonly ChosenFile[],
  superseded: readonly Superseded[],
): readonly Superseded[] {
  const heldKeys = usedKeys(chosen.filter(({ isHeldBack }) => isHeldBack));
  return superseded.filter(({ key }) => !heldKeys.has(key));
}

/** How to notify the application of the paths `news`: not at all of the first set, which it starts with. */
export function actionsFor(
  config: Pick<AgentConfig, 'files' | 'onChange'>,
  news: readonly string[],
  before: DeliveryState,
): readonly NotifyAction[] {
  if (before === 'none' || news.length === 0) return [];
  const perFile = config.files.filter((file) => news.some((path) => isPathOf(file, path)));
  return [...perFile.flatMap(({ onChange }) => onChange), ...config.onChange];
}

/** Whether a path is that of a file, or of a federated bundle beside it, which may no longer exist. */
function isPathOf({ path: own, source }: FileConfig, path: string): boolean {
  if (own === path) return true;
  const isBundle = source.kind === 'x509-svid' && source.part === 'bundle';
  return isBundle && mayBeFederatedBundle(own, path);
}
