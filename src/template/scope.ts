/**
 * Name resolution at a position in a template: its contexts, data variables and block parameters.
 * Scopes are immutable; they are only extended.
 */
import { Fault, missingKey } from './fault.ts';
import type { Path } from './tree.ts';
import { isRecord, PENDING } from './values.ts';

/** A linked list, innermost first. */
interface Chain<T> {
  readonly value: T;
  readonly outer: Chain<T> | undefined;
}

/** The data variables, `@name`. `each` creates a frame; `@../name` reads the outer one. */
interface Frame {
  readonly variables: Readonly<Record<string, unknown>>;
  readonly outer: Frame | undefined;
}

export interface Scope {
  readonly contexts: Chain<unknown>;
  readonly frame: Frame;
  readonly params: Chain<readonly unknown[]> | undefined;
}

/** The outermost scope. */
export function rootScope(root: unknown): Scope {
  return {
    contexts: { value: root, outer: undefined },
    frame: { variables: { root }, outer: undefined },
    params: undefined,
  };
}

/** Adds a context. The same context again adds no level for `../`, as in Handlebars. */
export function inContext(scope: Scope, value: unknown): Scope {
  // Two pending values are usually different values.
  const isSame = value === scope.contexts.value && value !== PENDING;
  return isSame ? scope : { ...scope, contexts: { value, outer: scope.contexts } };
}

/** The scope of one iteration of `each`. */
export function inIteration(
  scope: Scope,
  item: unknown,
  variables: Readonly<Record<string, unknown>>,
): Scope {
  const { root } = scope.frame.variables;
  return {
    ...inContext(scope, item),
    frame: { variables: { root, ...variables }, outer: scope.frame },
  };
}

/** A scope with one more set of block parameters. */
export function withParams(scope: Scope, values: readonly unknown[]): Scope {
  return { ...scope, params: { value: values, outer: scope.params } };
}

/** The value where a path starts; undefined if there is none. */
export function baseOf(path: Path, scope: Scope): unknown {
  const { base } = path;
  if (base.from === 'context') return nth(scope.contexts, base.up)?.value;
  if (base.from === 'param') return nth(scope.params, base.up)?.value[base.index];
  let frame: Frame | undefined = scope.frame;
  for (let up = base.up; up > 0; up -= 1) frame = frame?.outer;
  return frame?.variables;
}

function nth<T>(chain: Chain<T> | undefined, count: number): Chain<T> | undefined {
  let link = chain;
  for (let left = count; left > 0; left -= 1) link = link?.outer;
  return link;
}

/** The fault for a missing part of a path; `origin` is the Vault path of the holder, if known. */
export function missingPart(
  { base }: Path,
  holder: unknown,
  part: string,
  origin: string | undefined,
): Fault {
  if (base.from === 'context' && base.up > 0 && holder === undefined) {
    return new Fault(
      'ERR_TEMPLATE_MISSING_KEY',
      'there are not that many outer contexts; remove ../',
    );
  }
  // The variable `root` distinguishes a frame from the data below `@root`.
  const isFrame = holder === undefined || (isRecord(holder) && Object.hasOwn(holder, 'root'));
  if (base.from !== 'data' || !isFrame) return missingKey(holder, part, origin);
  const message = ['index', 'key', 'first', 'last'].includes(part)
    ? `@${part} exists only within each`
    : 'unknown data variable; known are @root, @index, @key, @first and @last';
  return new Fault('ERR_TEMPLATE_MISSING_KEY', message);
}
