/**
 * Builds Protocol Buffers codecs from tables of fields. Only this file imports `@bufbuild/protobuf`.
 *
 * @see https://protobuf.dev/programming-guides/encoding/
 */
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';

/** Deepest nesting of a `google.protobuf.Struct`. */
const MAX_STRUCT_DEPTH = 32;

/** Most fields in one message, including each element of a list or a map. */
const MAX_FIELDS = 4096;

/** Field number of a `google.protobuf.Value` (null, number, string, bool, struct, list) -> its wire type. */
const VALUE_WIRE_TYPES: Readonly<Record<number, WireType>> = {
  1: WireType.Varint,
  2: WireType.Bit64,
  3: WireType.LengthDelimited,
  4: WireType.Varint,
  5: WireType.LengthDelimited,
  6: WireType.LengthDelimited,
};

/** How a field of one type is written and read. */
export interface FieldType<T> {
  /** The type as in a `.proto` file. */
  readonly name: string;
  /** Numbers and booleans are varints, everything else is length-delimited. */
  readonly isVarint?: true;
  /** The value of an absent field. */
  initial(): T;
  /** The payloads to write, one per occurrence of the field; a default value has none. Of a varint: its bytes. */
  encode(value: T): readonly Uint8Array[];
  /** The value after one more occurrence of the field. */
  decode(payload: Uint8Array, previous: T): T;
}

/** A field of a message. */
export interface Field<T> {
  readonly number: number;
  readonly type: FieldType<T>;
}

type Fields = Readonly<Record<string, Field<unknown>>>;
type ValueOf<F extends Fields> = {
  readonly [K in keyof F]: F[K] extends Field<infer T> ? T : never;
};

/** A message type. */
export interface MessageType<T> {
  readonly fields: Fields;
  /** Omitted fields have their default value. */
  encode(value: Partial<T>): Uint8Array;
  /** Reads a message, skipping unknown fields. Throws an `Error` for bytes that are not a message. */
  decode(bytes: Uint8Array): T;
}

/** The value that a message type carries. */
export type MessageValue<M> = M extends MessageType<infer T> ? T : never;

/** A message type with these fields. */
export function message<F extends Fields>(fields: F): MessageType<ValueOf<F>> {
  const byNumber = new Map(Object.entries(fields).map(([name, field]) => [field.number, name]));
  return {
    fields,
    encode(value) {
      const writer = new BinaryWriter();
      for (const [name, { number, type }] of Object.entries(fields)) {
        for (const payload of type.encode(value[name] ?? type.initial())) {
          if (type.isVarint === true) writer.tag(number, WireType.Varint).raw(payload);
          else writer.tag(number, WireType.LengthDelimited).bytes(payload);
        }
      }
      return writer.finish();
    },
    decode(bytes) {
      const values: Record<string, unknown> = {};
      for (const [name, { type }] of Object.entries(fields)) values[name] = type.initial();
      for (const { number, payload, isVarint } of readPayloads(bytes)) {
        const name = byNumber.get(number);
        const type = name === undefined ? undefined : fields[name]?.type;
        if (name !== undefined && type !== undefined && (type.isVarint ?? false) === isVarint) {
          values[name] = type.decode(payload, values[name]);
        }
      }
      return values as ValueOf<F>; // every name got a value of its field's type above
    },
  };
}

/** A field: its number and its type. */
export function field<T>(number: number, type: FieldType<T>): Field<T> {
  return { number, type };
}

/** `string` */
export const STRING: FieldType<string> = {
  name: 'string',
  initial: () => '',
  encode: (value) => (value === '' ? [] : [Buffer.from(value)]),
  decode: (payload) => decodeText(payload),
};

/** `bytes` */
export const BYTES: FieldType<Uint8Array> = {
  name: 'bytes',
  initial: () => new Uint8Array(),
  encode: (value) => (value.length === 0 ? [] : [value]),
  decode: (payload) => payload,
};

/** `bool` */
export const BOOL: FieldType<boolean> = {
  name: 'bool',
  isVarint: true,
  initial: () => false,
  encode: (value) => (value ? [Uint8Array.of(1)] : []),
  decode: (payload) => new BinaryReader(payload).bool(),
};

/** An enumeration, or a non-negative `int32`. */
export const UINT32: FieldType<number> = {
  name: 'uint32',
  isVarint: true,
  initial: () => 0,
  encode: (value) => (value === 0 ? [] : [new BinaryWriter().uint32(value).finish()]),
  decode: (payload) => new BinaryReader(payload).uint32(),
};

/** `int64`, within the safe integers of JavaScript. */
export const INT64: FieldType<number> = {
  name: 'int64',
  isVarint: true,
  initial: () => 0,
  encode: (value) => (value === 0 ? [] : [new BinaryWriter().int64(String(value)).finish()]),
  decode: (payload) => Number(new BinaryReader(payload).int64()),
};

/** `repeated` strings or bytes; unlike single ones, empty elements are kept. */
export function repeated<T extends string | Uint8Array>(
  type: FieldType<T>,
): FieldType<readonly T[]> {
  return {
    name: `repeated ${type.name}`,
    initial: () => [],
    encode: (list) => list.map((item) => type.encode(item)[0] ?? new Uint8Array()),
    decode: (payload, previous) => [...previous, type.decode(payload, type.initial())],
  };
}

/** `repeated` messages. */
export function repeatedMessage<T>(name: string, type: MessageType<T>): FieldType<readonly T[]> {
  return {
    name: `repeated ${name}`,
    initial: () => [],
    encode: (list) => list.map((item) => type.encode(item)),
    decode: (payload, previous) => [...previous, type.decode(payload)],
  };
}

/** A single message; undefined if absent. Of several occurrences the last one is used. */
export function nested<T>(name: string, type: MessageType<T>): FieldType<T | undefined> {
  return {
    name,
    initial: () => undefined,
    encode: (value) => (value === undefined ? [] : [type.encode(value)]),
    decode: (payload) => type.decode(payload),
  };
}

const MAP_ENTRY = message({ key: field(1, STRING), value: field(2, BYTES) });
const TEXT_ENTRY = message({ key: field(1, STRING), value: field(2, STRING) });

/** `map<string, string>` */
export const TEXT_BY_NAME: FieldType<ReadonlyMap<string, string>> = {
  name: 'map<string, string>',
  initial: () => new Map(),
  encode: (map) => [...map].map(([key, value]) => TEXT_ENTRY.encode({ key, value })),
  decode(payload, previous) {
    const { key, value } = TEXT_ENTRY.decode(payload);
    return new Map([...previous, [key, value]]);
  },
};

/** `map<string, bytes>` */
export const BYTES_BY_NAME: FieldType<ReadonlyMap<string, Uint8Array>> = {
  name: 'map<string, bytes>',
  initial: () => new Map(),
  encode: (map) => [...map].map(([key, value]) => MAP_ENTRY.encode({ key, value })),
  decode(payload, previous) {
    const { key, value } = MAP_ENTRY.decode(payload);
    return new Map([...previous, [key, value]]);
  },
};

/** `google.protobuf.Struct`, as a JSON object. */
export const STRUCT: FieldType<Readonly<Record<string, unknown>>> = {
  name: 'google.protobuf.Struct',
  initial: () => ({}),
  encode: (value) => [encodeStruct(value)],
  decode: (payload) => decodeStruct(payload, 0),
};

function encodeStruct(object: object): Uint8Array {
  const writer = new BinaryWriter();
  for (const [key, value] of Object.entries(object)) {
    const entry = MAP_ENTRY.encode({ key, value: encodeValue(value) });
    writer.tag(1, WireType.LengthDelimited).bytes(entry);
  }
  return writer.finish();
}

/** One `google.protobuf.Value`: a number for the kind, then the value. What JSON cannot represent becomes null. */
function encodeValue(value: unknown): Uint8Array {
  const writer = new BinaryWriter();
  if (typeof value === 'number') return writer.tag(2, WireType.Bit64).double(value).finish();
  if (typeof value === 'string')
    return writer.tag(3, WireType.LengthDelimited).string(value).finish();
  if (typeof value === 'boolean') return writer.tag(4, WireType.Varint).bool(value).finish();
  if (Array.isArray(value)) {
    const list = new BinaryWriter();
    for (const item of value) list.tag(1, WireType.LengthDelimited).bytes(encodeValue(item));
    return writer.tag(6, WireType.LengthDelimited).bytes(list.finish()).finish();
  }
  if (typeof value === 'object' && value !== null) {
    return writer.tag(5, WireType.LengthDelimited).bytes(encodeStruct(value)).finish();
  }
  return writer.tag(1, WireType.Varint).int32(0).finish();
}

function decodeStruct(bytes: Uint8Array, depth: number): Record<string, unknown> {
  const entries: [string, unknown][] = [];
  for (const { number, payload, isVarint } of readPayloads(bytes)) {
    if (number !== 1 || isVarint) continue;
    const { key, value } = MAP_ENTRY.decode(payload);
    entries.push([key, decodeValue(value, depth + 1)]);
  }
  // fromEntries defines own properties, so a key such as `__proto__` stays harmless
  return Object.fromEntries(entries);
}

function decodeValue(bytes: Uint8Array, depth: number): unknown {
  if (depth > MAX_STRUCT_DEPTH) throw new Error('a Struct is nested too deeply');
  const reader = new BinaryReader(bytes);
  let value: unknown = null;
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag();
    if (VALUE_WIRE_TYPES[number] === wireType) value = readValue(reader, number, depth);
    else reader.skip(wireType, number);
  }
  return value;
}

function readValue(reader: BinaryReader, number: number, depth: number): unknown {
  switch (number) {
    case 2:
      return reader.double();
    case 3:
      return reader.string(true);
    case 4:
      return reader.bool();
    case 5:
      return decodeStruct(reader.bytes(), depth);
    case 6:
      return readPayloads(reader.bytes())
        .filter((item) => item.number === 1 && !item.isVarint)
        .map((item) => decodeValue(item.payload, depth + 1));
    default:
      reader.skip(WireType.Varint);
      return null;
  }
}

interface Payload {
  readonly number: number;
  readonly payload: Uint8Array;
  readonly isVarint: boolean;
}

/** The length-delimited fields and varints of a message in order; all others are unknown and skipped. */
function readPayloads(bytes: Uint8Array): readonly Payload[] {
  const reader = new BinaryReader(bytes);
  const payloads: Payload[] = [];
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag();
    const isVarint = wireType === WireType.Varint;
    if (wireType === WireType.LengthDelimited) {
      payloads.push({ number, payload: reader.bytes(), isVarint });
    } else {
      const start = reader.pos;
      reader.skip(wireType, number);
      if (isVarint) payloads.push({ number, payload: bytes.subarray(start, reader.pos), isVarint });
    }
    if (payloads.length > MAX_FIELDS) throw new Error('a message has too many fields');
  }
  return payloads;
}

function decodeText(bytes: Uint8Array): string {
  return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
}
