/**
 * What names mean at a place in a template: the contexts around it, the data variables, the block parameters.
 * Scopes are never changed, only extended.
 */
import { Fault, missingKey } from './fault.ts';
import type { Path } from './tree.ts';
import { isRecord, PENDING } from './values.ts';

/** A linked list, innermost first. */
export interface Chain<T> {
  readonly value: T;
  readonly outer: Chain<T> | undefined;
}

/** The data variables, `@name`. `each` makes a frame; `@../name` reads the one around it. */
export interface Frame {
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

/** A new context, unless it is the one already there: then `../` does not count it, as in Handlebars. */
export function inContext(scope: Scope, value: unknown): Scope {
  // Two pending values are hardly the same one.
  const isSame = value === scope.contexts.value && value !== PENDING;
  return isSame ? scope : { ...scope, contexts: { value, outer: scope.contexts } };
}

/** The scope of one turn of `each`. */
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

/** Where a path starts. Undefined when there is no such thing around. */
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

/** Why a part of a path is missing; `origin` is the Vault path that the holder came from, if it did. */
export function missingPart(
  { base }: Path,
  holder: unknown,
  part: string,
  origin: string | undefined,
): Fault {
  if (base.from === 'context' && base.up > 0 && holder === undefined) {
    return new Fault('ERR_TEMPLATE_MISSING_KEY', 'there is no context so far out');
  }
  // A frame is told from the data below `@root` by its variables.
  const isFrame = holder === undefined || (isRecord(holder) && Object.hasOwn(holder, 'root'));
  if (base.from !== 'data' || !isFrame) return missingKey(holder, part, origin);
  const message = ['index', 'key', 'first', 'last'].includes(part)
    ? `@${part} exists only within each`
    : 'there is no such data variable; there are @root, @index, @key, @first and @last';
  return new Fault('ERR_TEMPLATE_MISSING_KEY', message);
}
