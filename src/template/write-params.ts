/**
 * Parameters of a write: JSON of any shape, as the template made it.
 */
import { isNumber, NumberText, type WriteParam, type WriteParams } from '../core/index.ts';
import { quotedBytes } from './encode.ts';
import { valueFault, type Fault } from './fault.ts';
import type { HelperCall } from './helper.ts';
import { MAX_DEPTH } from './parse-json.ts';
import { isList, isRecord, quoteName, typeName } from './values.ts';
import type { WorkBudget } from './work.ts';

const TYPES = 'text, a number, a boolean, a list or an object';

/**
 * The `key=value` parameters of a call. Numbers keep their digits, null is allowed inside of lists and objects.
 *
 * @throws Fault `ERR_TEMPLATE_VALUE` for values that are not JSON, or nested deeper than 100; `ERR_TEMPLATE_LIMIT`.
 */
export function writeParams({ hash, work }: HelperCall): WriteParams {
  return Object.fromEntries(
    [...hash].map(([name, value]) => {
      if (value === null) throw wrongType(name, value);
      return [name, paramOf(value, { place: name, depth: 0, work })];
    }),
  );
}

interface Place {
  /** For errors: `batch_input[0].plaintext`. */
  readonly place: string;
  readonly depth: number;
  readonly work: WorkBudget;
}

function paramOf(value: unknown, at: Place): WriteParam {
  const { depth, place, work } = at;
  if (depth > MAX_DEPTH) throw valueFault(`a parameter is nested deeper than ${MAX_DEPTH}`);
  // Copied once, and once more as a part of the dependency's key.
  if (typeof value === 'string') {
    if (depth > 0) work.make(2 * quotedBytes(value, work));
    return value;
  }
  if (value instanceof NumberText) work.make(2 * value.text.length);
  if (isNumber(value)) return finite(value, place);
  if (value === null || typeof value === 'boolean') return value;
  if (isList(value)) {
    work.makeItems(value.length);
    return value.map((item, index) => paramOf(item, inside(at, `[${index}]`)));
  }
  if (!isRecord(value)) throw wrongType(place, value);
  const keys = Object.keys(value);
  work.makeKeys(keys.length);
  return Object.fromEntries(
    keys.map((key) => {
      work.make(2 * quotedBytes(key, work));
      return [key, paramOf(value[key], inside(at, `.${quoteName(key)}`))];
    }),
  );
}

function inside({ place, depth, work }: Place, part: string): Place {
  return { place: depth < MAX_NAMED ? place + part : place, depth: depth + 1, work };
}

/** Levels that an error names. */
const MAX_NAMED = 5;

/** JSON has no Infinity. */
function finite<T>(value: T, place: string): T {
  if (typeof value !== 'number' || Number.isFinite(value)) return value;
  throw valueFault(`${place} must be a finite number`);
}

function wrongType(place: string, value: unknown): Fault {
  return valueFault(`${place} must be ${TYPES}, not ${typeName(value)}`);
}
