/**
 * The definition of a helper, which drives the static check, the evaluation and the documentation.
 */
import { isNumber, type Dependency } from '../core/index.ts';
import { missingKey, valueFault } from './fault.ts';
import type { WorkBudget } from './work.ts';
import { hasKey, isList, isRecord, PENDING, readKey, scalarText, typeName } from './values.ts';

/** Name and arguments of a helper. */
export interface Signature {
  readonly name: string;
  /** For docs/use/templates.md: `replace text from to`. */
  readonly usage: string;
  readonly description: string;
  /** Least and greatest number of positional arguments. */
  readonly args: readonly [min: number, max: number];
  /** Names of the `key=value` parameters; `any` if they are data. Default: none. */
  readonly hash?: readonly string[] | 'any';
  /** If true, a missing key as an argument evaluates to undefined instead of an error. */
  readonly lenient?: boolean;
  /** Positions of arguments that must be string literals, because errors print them. */
  readonly literal?: readonly number[];
}

/** A dependency that a template requests, and optionally one key of its data. */
export interface DataRequest {
  readonly dependency: Dependency;
  readonly key?: string | undefined;
}

/** Computes a value only from its arguments. */
export interface PureHelper extends Signature {
  readonly kind: 'pure';
  /** Charges `call.work` for what it reads beyond its arguments and for what it creates, in advance. */
  readonly run: (call: HelperCall) => unknown;
}

/** Requests a dependency. */
export interface SourceHelper extends Signature {
  readonly kind: 'source';
  /** If true, the value may be null. */
  readonly mayBeAbsent?: boolean;
  readonly request: (call: HelperCall) => DataRequest;
}

/** Returns the first argument that `stopsAt` accepts, otherwise the last. Arguments after it are not evaluated. */
export interface ChoiceHelper extends Signature {
  readonly kind: 'choice';
  readonly stopsAt: (value: unknown) => boolean;
}

/** A helper of any kind. */
export type Helper = PureHelper | SourceHelper | ChoiceHelper;

export function pure(row: Omit<PureHelper, 'kind'>): Helper {
  return { kind: 'pure', ...row };
}

export function source(row: Omit<SourceHelper, 'kind'>): Helper {
  return { kind: 'source', ...row };
}

export function choice(row: Omit<ChoiceHelper, 'kind'>): Helper {
  return { kind: 'choice', ...row };
}

/** Steps charged for each key of an object: a lookup takes 50 to 200 ns if there are many. */
const KEY_STEPS = 4;

/** The evaluated arguments of one call, and conversions that helpers share. All conversions throw a `Fault`. */
export class HelperCall {
  readonly args: readonly unknown[];
  readonly hash: ReadonlyMap<string, unknown>;
  /** If true, a missing result is not an error: `default (lookup a b) "x"`. */
  readonly lenient: boolean;
  readonly work: WorkBudget;

  constructor(
    args: readonly unknown[],
    hash: ReadonlyMap<string, unknown>,
    lenient: boolean,
    work: WorkBudget,
  ) {
    this.work = work;
    this.args = args;
    this.hash = hash;
    this.lenient = lenient;
  }

  /** An argument as text; numbers and booleans are converted, other types rejected. */
  text(index: number): string {
    return (
      scalarText(this.args[index]) ?? this.reject(`argument ${index + 1}`, this.args[index], 'text')
    );
  }

  /** An argument that must be non-empty text. */
  nonEmpty(index: number): string {
    const text = this.text(index);
    if (text === '') throw valueFault(`argument ${index + 1} is empty`);
    return text;
  }

  /** An argument as bytes: text as UTF-8, or the result of `base64Decode`. */
  bytes(index: number): Uint8Array {
    const value = this.args[index];
    if (value instanceof Uint8Array) {
      this.work.read(value.length);
      return value;
    }
    const text = this.text(index);
    this.work.make(Buffer.byteLength(text));
    return Buffer.from(text, 'utf8');
  }

  list(index: number): readonly unknown[] {
    const value = this.args[index];
    return isList(value) ? value : this.reject(`argument ${index + 1}`, value, 'a list');
  }

  record(index: number): Readonly<Record<string, unknown>> {
    const value = this.args[index];
    return isRecord(value) ? value : this.reject(`argument ${index + 1}`, value, 'an object');
  }

  /** The keys of an object. */
  keys(index: number): readonly string[] {
    const keys = Object.keys(this.record(index));
    this.work.step(KEY_STEPS * keys.length);
    return keys;
  }

  /** An integer from `min` to `max`: an argument (by index) or a parameter (by name). */
  integer(place: number | string, min: number, max: number): number {
    const given = typeof place === 'number' ? this.args[place] : this.hash.get(place);
    const value = isNumber(given) ? Number(given) : Number.NaN;
    if (Number.isInteger(value) && value >= min && value <= max) return value;
    const name = typeof place === 'number' ? `argument ${place + 1}` : place;
    throw valueFault(`${name} must be a whole number from ${min} to ${max}`);
  }

  /** A boolean parameter; default false. */
  flag(name: string): boolean {
    const value = this.hash.get(name) ?? false;
    return typeof value === 'boolean' ? value : this.reject(name, value, 'true or false');
  }

  /** The value of a key; a missing key is undefined if the call is lenient, otherwise a fault. */
  property(holder: unknown, key: string): unknown {
    if (holder === PENDING) return PENDING;
    if (hasKey(holder, key)) return readKey(holder, key);
    if (this.lenient) return undefined;
    throw missingKey(holder);
  }

  reject(what: string, value: unknown, wanted: string): never {
    throw valueFault(`${what} must be ${wanted}, not ${typeName(value)}`);
  }
}
