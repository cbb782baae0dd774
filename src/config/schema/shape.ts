/**
 * Shapes of documents: each reads a value, reports every problem with its path, and has a JSON Schema, so that
 * the reader and the published schema cannot differ.
 */
import { isRecord, nearest, type Problem } from '../../core/index.ts';
import type { Grammar } from './grammar.ts';
import type { JsonSchema } from './json-schema.ts';

/** The path of a value in its document, for reporting problems with it. */
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

  /** Reports a missing value, unless a problem with it has already been reported. */
  missing(message = 'is missing'): void {
    if (!this.#problems.some((problem) => problem.path === this.path)) this.problem(message);
  }

  /** Reports a problem. */
  problem(message: string): void {
    this.#problems.push({ path: this.path === '' ? 'document' : this.path, message });
  }
}

/** How one value of a document is read: as a `T`, from what users write as a `W`. */
export interface Shape<T, W = unknown> {
  readonly schema: JsonSchema;
  /** Never set: it only carries the type of what is written. */
  readonly written?: W;
  /** How a missing field is treated: as an error, or by a default; undefined leaves it undefined. */
  readonly absent?: 'rejected' | { readonly value: T };
  /** The value, or undefined after reporting why not. */
  read(value: unknown, place: Place): T | undefined;
}

/** A shape whose field always has a value. */
export type Defaulted<T, W = unknown> = Shape<T, W> & { readonly absent: { readonly value: T } };

/** A shape whose field must be written. */
type Required<T, W> = Shape<T, W> & { readonly absent: 'rejected' };

/** Fields of an object by name. */
export type Fields = Readonly<Record<string, Shape<unknown>>>;

/** What an object with these fields is read as. A field without a default is undefined if missing or rejected. */
export type ObjectOf<F extends Fields> = {
  readonly [Name in keyof F]: F[Name] extends Defaulted<infer T>
    ? T
    : F[Name] extends Shape<infer T>
      ? T | undefined
      : never;
};

/** What users write for a shape: a document before it is read. */
export type WrittenOf<S> = S extends Shape<unknown, infer W> ? W : never;

/** What users write for an object with these fields. */
export type WrittenFields<F extends Fields> = {
  readonly [Name in RequiredNames<F>]: WrittenOf<F[Name]>;
} & { readonly [Name in Exclude<keyof F, RequiredNames<F>>]?: WrittenOf<F[Name]> };

type RequiredNames<F extends Fields> = {
  [Name in keyof F]: F[Name] extends Required<unknown, unknown> ? Name : never;
}[keyof F];

/** A string that a grammar parses. */
export function parsed<T, W extends string>(
  grammar: Grammar<T, W>,
  description: string,
): Shape<T, W> {
  return {
    schema: { ...grammar.schema, description },
    read(value, place) {
      if (typeof value === 'string') {
        const result = grammar.parse(value);
        if ('value' in result) return result.value;
        place.problem(result.problem);
      } else {
        place.problem(`must be a string (in quotes), not ${kindOf(value)}`);
      }
      return undefined;
    },
  };
}

/** `true` or `false`. */
export function flag(description: string): Shape<boolean, boolean> {
  return {
    schema: { type: 'boolean', description },
    read(value, place) {
      if (typeof value === 'boolean') return value;
      place.problem(`must be true or false, not ${kindOf(value)}`);
      return undefined;
    },
  };
}

/** A whole number within bounds. */
export function whole(
  minimum: number,
  maximum: number,
  description: string,
): Shape<number, number> {
  return {
    schema: { type: 'integer', minimum, maximum, description },
    read(value, place) {
      const isWhole = typeof value === 'number' && Number.isInteger(value);
      if (isWhole && value >= minimum && value <= maximum) return value;
      place.problem(`must be a whole number from ${minimum} to ${maximum}`);
      return undefined;
    },
  };
}

/** A list. Rejected items are left out. */
export function list<T, W>(
  item: Shape<T, W>,
  maxItems: number,
  description: string,
): Shape<readonly T[], readonly W[]> {
  return {
    schema: { type: 'array', items: item.schema, maxItems, description },
    read(value, place) {
      if (!Array.isArray(value) || value.length > maxItems) {
        place.problem(`must be a list of at most ${maxItems} items`);
        return undefined;
      }
      return value.flatMap((entry: unknown, index) => {
        const result = item.read(entry, place.at(index));
        return result === undefined ? [] : [result];
      });
    },
  };
}

/** An object whose keys the user chooses. */
export function dictionary<T, W>(
  item: Shape<T, W>,
  names: RegExp,
  description: string,
): Shape<Readonly<Record<string, T>>, Readonly<Record<string, W>>> {
  return {
    schema: {
      type: 'object',
      additionalProperties: item.schema,
      propertyNames: { pattern: names.source },
      description,
    },
    read(value, place) {
      if (!isRecord(value)) {
        place.problem(`must be an object, not ${kindOf(value)}`);
        return undefined;
      }
      const entries = Object.entries(value).flatMap(([name, entry]) => {
        if (!names.test(name)) place.at(name).problem(`the name must match ${names.source}`);
        const result = item.read(entry, place.at(name));
        return result === undefined ? [] : [[name, result] as const];
      });
      return Object.fromEntries(entries);
    },
  };
}

/** An object with these fields and no others. `check` runs even if fields were rejected. */
export function object<F extends Fields>(
  fields: F,
  description: string,
  check?: (value: ObjectOf<F>, place: Place) => void,
): Shape<ObjectOf<F>, WrittenFields<F>> {
  const names = Object.keys(fields);
  return {
    schema: objectSchema(fields, description),
    read(value, place) {
      if (!isRecord(value)) {
        place.problem(`must be an object, not ${kindOf(value)}`);
        return undefined;
      }
      for (const name of Object.keys(value)) {
        if (!Object.hasOwn(fields, name)) place.at(name).problem(unknownName(name, names));
      }
      const entries = Object.entries(fields).map(([name, field]) => {
        const given = Object.hasOwn(value, name) ? value[name] : undefined;
        return [name, readField(field, given, place.at(name))];
      });
      const result = Object.fromEntries(entries) as ObjectOf<F>; // one entry per field, of its shape
      check?.(result, place);
      return result;
    },
  };
}

/** A required field. */
export function required<T, W>(shape: Shape<T, W>): Required<T, W> {
  return { ...shape, absent: 'rejected' };
}

/** A field with a default. `written` is the default as written in a document. */
export function withDefault<T, W>(
  shape: Shape<T, W>,
  value: T,
  written?: JsonSchema['default'],
): Defaulted<T, W> {
  const schema = written === undefined ? shape.schema : { ...shape.schema, default: written };
  return { ...shape, schema, absent: { value } };
}

/** An object that is read as an empty one if it is missing, so that the defaults of its fields apply. */
export function nested<T, W>(shape: Shape<T, W>): Defaulted<T, W> {
  const value = shape.read({}, new Place('', []));
  if (value === undefined) throw new TypeError('this shape rejects an empty object');
  return withDefault(shape, value);
}

/** A value of one of two shapes; `choose` decides by which of them it is read. */
export function either<A, B, V, W>(
  first: Shape<A, V>,
  second: Shape<B, W>,
  choose: (value: unknown) => 'first' | 'second',
): Shape<A | B, V | W> {
  return {
    schema: { anyOf: [first.schema, second.schema] },
    read: (value, place) =>
      choose(value) === 'first' ? first.read(value, place) : second.read(value, place),
  };
}

/** Any value: somebody else validates it. */
export function anything(description: string): Shape<unknown> {
  return { schema: { description }, read: (value) => value };
}

/** The problem of an unknown name, with the nearest known one. */
export function unknownName(name: string, known: readonly string[]): string {
  const guess = nearest(name, known);
  return guess === undefined ? 'is not known' : `is not known; did you mean "${guess}"?`;
}

/** Freezes a value and everything in it. */
export function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const part of Object.values(value)) deepFreeze(part);
  }
  return value;
}

function readField<T>(field: Shape<T>, given: unknown, place: Place): T | undefined {
  const { absent } = field;
  const fallback = typeof absent === 'object' ? absent.value : undefined;
  // Rejected values get the default, too: the result is discarded, but its type must hold until then.
  if (given !== undefined) return field.read(given, place) ?? fallback;
  if (absent === 'rejected') place.missing();
  return fallback;
}

function objectSchema(fields: Fields, description: string): JsonSchema {
  const entries = Object.entries(fields);
  const names = entries.filter(([, field]) => field.absent === 'rejected').map(([name]) => name);
  return {
    type: 'object',
    description,
    properties: Object.fromEntries(entries.map(([name, field]) => [name, field.schema])),
    ...(names.length > 0 && { required: names }),
    additionalProperties: false,
  };
}

function kindOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'string') return 'a string';
  return typeof value === 'object' ? 'an object' : `the ${typeof value} ${JSON.stringify(value)}`;
}
