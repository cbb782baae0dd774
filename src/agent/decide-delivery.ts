/**
 * What becomes of a rendered set: it is written, it waits for values, or it fails. Pure; `Delivery` executes it.
 */
import {
  dependencyKey,
  hasCode,
  isOptional,
  VouchsafeError,
  type Dependency,
} from '../core/index.ts';
import type { FileConfig } from '../config/agent/index.ts';
import { chooseSet, type ChosenFile, type KeptFile } from './choose-set.ts';
import type { RenderedFile } from './file-set.ts';

/** Consecutive passes that may each find new dependencies; a template that needs more generates paths endlessly. */
const MAX_PASSES = 100;

/** Whether the files are on disk: not yet, as a predecessor left them, or written or confirmed by this process. */
export type DeliveryState = 'none' | 'by-predecessor' | 'confirmed';

/**
 * What to do with a rendered set:
 * - `wait`: nothing is written, and nothing rendered again, before every one of these dependencies has a value.
 * - `fail`: a file has no bytes, because of this error.
 * - `write`: this set is written. With an error, some files keep their bytes because of it, or not every dependency can
 *   be kept fresh.
 */
export type Decision =
  | { readonly kind: 'wait'; readonly missing: readonly Dependency[] }
  | { readonly kind: 'fail'; readonly error: VouchsafeError }
  | {
      readonly kind: 'write';
      readonly chosen: readonly ChosenFile[];
      readonly error: VouchsafeError | undefined;
    };

/** What a decision depends on. */
export interface DecisionInput {
  /** Every file, in the order of the config. */
  readonly rendered: readonly RenderedFile[];
  /** Files that this process has delivered, by name. */
  readonly kept: ReadonlyMap<string, KeptFile>;
  /** Why not every dependency can be tracked. */
  readonly limit: VouchsafeError | undefined;
}

/** Decides about a rendered set. */
export function decideDelivery({ rendered, kept, limit }: DecisionInput): Decision {
  const chosen = chooseSet(rendered, kept);
  const error = rendered.find((item) => item.error !== undefined)?.error ?? limit;
  if (chosen !== undefined) return { kind: 'write', chosen, error };
  if (error !== undefined) return { kind: 'fail', error };
  return { kind: 'wait', missing: rendered.flatMap(({ missing }) => missing) };
}

/** The state after a decision was executed. */
export function stateAfter(state: DeliveryState, kind: Decision['kind']): DeliveryState {
  return kind === 'write' ? 'confirmed' : state;
}

/** True for failures that new values or templates would not solve: of writing, and of a renderer that was busy. */
export function isRetriedLater(error: VouchsafeError): boolean {
  return error.code.startsWith('ERR_OUTPUT_') || hasCode(error, 'ERR_TEMPLATE_BUSY');
}

/** A dependency of a set. */
export interface Needed {
  readonly dependency: Dependency;
  /** The shortest refresh interval of the files that use it, in milliseconds; of a write, of those that set one, if any does. */
  readonly refreshMs: number;
  /** Whether a write is repeated at each refresh: a file that uses it sets one. */
  readonly isRepeated: boolean;
}

/**
 * All dependencies that a rendering has reached, by key. A secret may be absent if one use of it allows that, unless a
 * file cannot be rendered without it: a use within `#if (optionalSecret …)` is not reached while it is absent.
 */
export function dependenciesOf(rendered: readonly RenderedFile[]): ReadonlyMap<string, Needed> {
  const found = new Map<string, Needed>();
  for (const { file, used } of rendered) {
    for (const [key, dependency] of used) {
      found.set(key, merged(dependency, found.get(key), file));
    }
  }
  for (const dependency of rendered.flatMap(({ missing }) => missing)) {
    const key = dependencyKey(dependency);
    const known = found.get(key);
    if (known !== undefined && !isOptional(dependency)) found.set(key, { ...known, dependency });
  }
  return found;
}

/** What one more file needs of a dependency. A file that sets its refresh takes precedence in when a write is repeated. */
function merged(given: Dependency, known: Needed | undefined, file: FileConfig): Needed {
  const { refreshMs } = file;
  const isRepeated = file.isRefreshSet === true;
  const own = { dependency: given, refreshMs, isRepeated };
  if (known === undefined) return own;
  if (given.kind === 'write' && known.isRepeated !== isRepeated) return isRepeated ? own : known;
  return {
    dependency: isOptional(known.dependency) ? known.dependency : given,
    refreshMs: Math.min(refreshMs, known.refreshMs),
    isRepeated: isRepeated || known.isRepeated,
  };
}

/** The renderings so far. */
export interface Passes {
  /** Dependencies that the last one has reached. */
  readonly known: number;
  /** Renderings since the last complete one, or since the templates changed, that have reached more. */
  readonly growing: number;
}

/** Before the first rendering. */
export const NO_PASSES: Passes = { known: 0, growing: 0 };

/** The passes after a rendering that has reached `known` dependencies, some of them perhaps `isMissing` a value. */
export function countPass(
  last: Passes,
  { known, isMissing }: { readonly known: number; readonly isMissing: boolean },
): Passes {
  if (!isMissing) return { known, growing: 0 };
  return { known, growing: known > last.known ? last.growing + 1 : last.growing };
}

/** The error of templates that reach more and more dependencies; undefined while they may still end. */
export function endlessError({ growing }: Passes): VouchsafeError | undefined {
  if (growing <= MAX_PASSES) return undefined;
  return new VouchsafeError(
    'ERR_TEMPLATE_LIMIT',
    `after ${MAX_PASSES} passes secrets are still missing; do the templates generate paths endlessly?`,
  );
}
