/**
 * Shapes of documents: each reads a value, reports every problem with its place, and knows its JSON Schema,
 * so that reader and published schema cannot differ. Ring: config.
 */
import type { Problem } from '../core/index.ts';
import type { Grammar } from './grammar.ts';
import type { JsonSchema } from './json-schema.ts';
import { nearest } from './nearest.ts';

/** Where a value stands, and who is told what is wrong with it. */
export class Place {
  readonly path: string;
  readonly #problems: Problem[];

  constructor(path: string, problems: Problem[]) {
    this.path = path;
    this.#problems = problems;
  }

  /** The place of a field or an item. */
  at(key: string | number): Place {
    if (typeof key === 'number') return new Place(`${this.path}[${key}]`, this.#problems);
    return new Place(this.path === '' ? key : `${this.path}.${key}`, this.#problems);
  }

  /** Reports that a value is missing, unless it was given and has been refused already. */
  missing(message = 'is missing'): undefined {
    if (!this.#problems.some((problem) => problem.path === this.path)) this.problem(message);
  }

  /** Reports a problem; gives undefined, which stands for "no value". */
  problem(message: string): undefined {
    this.#problems.push({ path: this.path === '' ? 'document' : this.path, message });
  }
}

/** How one value of a document is read. */
export interface Shape<T> {
  readonly schema: JsonSchema;
  readonly isRequired?: true;
  /** The value, or undefined after reporting why not. */
  read(value: unknown, place: Place): T | undefined;
}

/** Fields of an object by name. */
export type Fields = Readonly<Record<string, Shape<unknown>>>;

/** What an object with these fields reads as; any field may be missing or have been refused. */
export type ObjectOf<F extends Fields> = {
  readonly [Name in keyof F]: F[Name] extends Shape<infer T> ? T | undefined : never;
};

/** A string that a grammar reads. */
export function parsed<T>(grammar: Grammar<T>, description: string): Shape<T> {
  return {
    schema: { ...grammar.schema, description },
    read(value, place) {
      if (typeof value !== 'string') {
        return place.problem(`must be a text (in quotes), not ${kindOf(value)}`);
      }
      const result = grammar.parse(value);
      return 'problem' in result ? place.problem(result.problem) : result.value;
    },
  };
}

/** `true` or `false`. */
export function flag(description: string): Shape<boolean> {
  return {
    schema: { type: 'boolean', description },
    read: (value, place) =>
      typeof value === 'boolean'
        ? value
        : place.problem(`must be true or false, not ${kindOf(value)}`),
  };
}

/** A whole number within bounds. */
export function whole(minimum: number, maximum: number, description: string): Shape<number> {
  return {
    schema: { type: 'integer', minimum, maximum, description },
    read: (value, place) =>
      typeof value === 'number' && Number.isInteger(value) && value >= minimum && value <= maximum
        ? value
        : place.problem(`must be a whole number from ${minimum} to ${maximum}`),
  };
}

/** A list; items that were refused are left out. */
export function list<T>(
  item: Shape<T>,
  maxItems: number,
  description: string,
): Shape<readonly T[]> {
  return {
    schema: { type: 'array', items: item.schema, maxItems, description },
    read(value, place) {
      if (!Array.isArray(value)) return place.problem(`must be a list, not ${kindOf(value)}`);
      if (value.length > maxItems) return place.problem(`may hold at most ${maxItems} items`);
      return value.flatMap((entry: unknown, index) => {
        const result = item.read(entry, place.at(index));
        return result === undefined ? [] : [result];
      });
    },
  };
}

/** An object with names of the user's choice. */
export function dictionary<T>(
  item: Shape<T>,
  names: RegExp,
  description: string,
): Shape<Readonly<Record<string, T>>> {
  return {
    schema: {
      type: 'object',
      additionalProperties: item.schema,
      propertyNames: { pattern: names.source },
      description,
    },
    read(value, place) {
      if (!isRecord(value)) return place.problem(`must be an object, not ${kindOf(value)}`);
      const entries = Object.entries(value).flatMap(([name, entry]) => {
        if (!names.test(name)) place.at(name).problem(`this name must match ${names.source}`);
        const result = item.read(entry, place.at(name));
        return result === undefined ? [] : [[name, result] as const];
      });
      return Object.fromEntries(entries);
    },
  };
}

/** An object with these fields and no others. `check` sees it even when fields were refused. */
export function object<F extends Fields>(
  fields: F,
  description: string,
  check?: (value: ObjectOf<F>, place: Place) => void,
): Shape<ObjectOf<F>> {
  const names = Object.keys(fields);
  const required = names.filter((name) => fields[name]?.isRequired === true);
  const properties = Object.fromEntries(
    Object.entries(fields).map(([name, field]) => [name, field.schema]),
  );
  return {
    schema: {
      type: 'object',
      description,
      properties,
      ...(required.length > 0 && { required }),
      additionalProperties: false,
    },
    read(value, place) {
      if (!isRecord(value)) return place.problem(`must be an object, not ${kindOf(value)}`);
      for (const name of Object.keys(value)) {
        if (!Object.hasOwn(fields, name)) place.at(name).problem(unknownName(name, names));
      }
      const entries = Object.entries(fields).map(([name, field]) => {
        const given = Object.hasOwn(value, name) ? value[name] : undefined;
        if (given !== undefined) return [name, field.read(given, place.at(name))];
        if (field.isRequired === true) place.at(name).missing();
        return [name, undefined];
      });
      const result = Object.fromEntries(entries) as ObjectOf<F>; // one entry per field, of its shape
      check?.(result, place);
      return result;
    },
  };
}

/** A field that must be given. */
export function required<T>(shape: Shape<T>): Shape<T> & { readonly isRequired: true } {
  return { ...shape, isRequired: true };
}

/** A value of either kind; `choose` says which one a value is meant to be. */
export function either<A, B>(
  first: Shape<A>,
  second: Shape<B>,
  choose: (value: unknown) => 'first' | 'second',
): Shape<A | B> {
  return {
    schema: { anyOf: [first.schema, second.schema] },
    read: (value, place) =>
      choose(value) === 'first' ? first.read(value, place) : second.read(value, place),
  };
}

/** Anything at all: what others read. */
export function anything(description: string): Shape<unknown> {
  return { schema: { description }, read: (value) => value };
}

/** Says that a name is not known, and which one may have been meant. */
export function unknownName(name: string, known: readonly string[]): string {
  const guess = nearest(name, known);
  return guess === undefined ? 'is not known' : `is not known; did you mean "${guess}"?`;
}

/** True for a plain object. */
export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Makes a value and all that it holds unchangeable. */
export function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const part of Object.values(value)) deepFreeze(part);
  }
  return value;
}

function kindOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'an object';
  return typeof value === 'string' ? 'a text' : `the ${typeof value} ${String(value)}`;
}
