/**
 * JSON Patch between two pods, by the `rfc6902` package.
 *
 * @see https://www.rfc-editor.org/rfc/rfc6902
 */
import { applyPatch, createPatch, type Operation } from 'rfc6902';
import { VouchsafeError } from '../core/index.ts';

/** Operations that turn `before` into `after`. Parts that both share by reference are skipped. */
export function jsonPatch(before: object, after: object): Operation[] {
  return createPatch(before, after, diffLists);
}

/**
 * The document with operations applied, as the API server applies them. The input is not changed.
 *
 * @throws VouchsafeError `ERR_ADMISSION_MALFORMED` when an operation does not apply.
 */
export function applyJsonPatch(document: unknown, operations: unknown): unknown {
  const result: unknown = structuredClone(document);
  const list = Array.isArray(operations) ? (operations as Operation[]) : []; // checked by applyPatch
  if (applyPatch(result, list).some((error) => error !== null)) {
    throw new VouchsafeError('ERR_ADMISSION_MALFORMED', 'the patch does not apply to the object');
  }
  return result;
}

type Diff = NonNullable<Parameters<typeof createPatch>[2]>;

/**
 * Injection only adds to lists, so one walk over both is sufficient; the package's own algorithm takes time and
 * memory proportional to the product of their lengths. A list that lost items is replaced.
 */
const diffLists: Diff = (before: unknown, after: unknown, pointer) => {
  if (!Array.isArray(before) || !Array.isArray(after)) return undefined;
  const operations: Operation[] = [];
  let index = 0;
  for (const [position, item] of after.entries() as ArrayIterator<[number, unknown]>) {
    const path = `${pointer.toString()}/${position}`;
    if (index < before.length && isSameItem(before[index], item)) {
      for (const operation of createPatch(before[index], item, diffLists)) {
        operations.push({ ...operation, path: path + operation.path });
      }
      index += 1;
    } else {
      operations.push({ op: 'add', path, value: item });
    }
  }
  if (index === before.length) return operations;
  return [{ op: 'replace', path: pointer.toString(), value: after }];
};

function isSameItem(before: unknown, after: unknown): boolean {
  return before === after || (nameOf(before) !== undefined && nameOf(before) === nameOf(after));
}

function nameOf(item: unknown): unknown {
  return typeof item === 'object' && item !== null && 'name' in item ? item.name : undefined;
}
