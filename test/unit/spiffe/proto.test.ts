import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import fc from 'fast-check';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { StructSchema } from '@bufbuild/protobuf/wkt';
import { BROKER_API, BROKER_MESSAGES } from '../../../src/spiffe/proto/broker.ts';
import {
  DELEGATED_IDENTITY_API,
  DELEGATED_MESSAGES,
} from '../../../src/spiffe/proto/delegated-identity.ts';
import { MESSAGES, WORKLOAD_API } from '../../../src/spiffe/proto/messages.ts';

for (const [file, messages, { service, methods }] of [
  ['workload', MESSAGES, WORKLOAD_API],
  ['broker', BROKER_MESSAGES, BROKER_API],
  ['delegated-identity', DELEGATED_MESSAGES, DELEGATED_IDENTITY_API],
] as const) {
  const url = new URL(`../../../src/spiffe/proto/${file}.proto`, import.meta.url);
  const proto = await readFile(url, 'utf8');

  test(`the messages in code are those of ${file}.proto`, () => {
    const written = new Map<string, string[]>();
    for (const [, name = '', body = ''] of proto.matchAll(/^message (\w+) \{([^}]*)\}/gm)) {
      const fields = body.matchAll(/^ {2}(.+) (\w+) = (\d+);$/gm);
      written.set(
        name,
        [...fields].map(([, type, field, number]) => `${type} ${field} = ${number}`),
      );
    }
    const coded = new Map<string, string[]>();
    for (const [name, { fields }] of Object.entries(messages)) {
      const lines = Object.entries(fields).map(
        ([field, { number, type }]) => `${type.name} ${snakeCase(field)} = ${number}`,
      );
      coded.set(name, lines);
    }
    assert.deepEqual(new Map([...coded].sort()), new Map([...written].sort()));
  });

  test(`the methods in code are those of ${file}.proto`, () => {
    const [, declared] = /^package (.+);$/m.exec(proto) ?? [];
    const [, name] = /^service (\w+) \{/m.exec(proto) ?? [];
    assert.equal(declared === undefined ? name : `${declared}.${name}`, service);
    const written = [...proto.matchAll(/rpc (\w+)\((\w+)\) returns \((stream )?(\w+)\);/g)].map(
      ([, method, request, stream, response]) => [
        method,
        { isStream: stream !== undefined, request, response },
      ],
    );
    assert.deepEqual(methods, Object.fromEntries(written));
  });
}

test('a known message has known bytes', () => {
  const bytes = MESSAGES.JWTSVIDRequest.encode({ audience: ['vault'], spiffeId: 'spiffe://a/b' });
  assert.equal(
    Buffer.from(bytes).toString('latin1'),
    '\x0a\x05vault\x12\x0cspiffe://a/b', // tag, length, text
  );
});

test('messages within messages have known bytes, and are absent when not given', () => {
  const { SubscribeToX509SVIDRequest, KubernetesObjectReference } = BROKER_MESSAGES;
  const value = KubernetesObjectReference.encode({ type: { plural: 'pods', group: 'core' } });
  assert.equal(Buffer.from(value).toString('latin1'), '\x0a\x0c\x0a\x04pods\x12\x04core');
  const bytes = SubscribeToX509SVIDRequest.encode({
    reference: { reference: { typeUrl: 'a/b', value } },
  });
  const decoded = SubscribeToX509SVIDRequest.decode(bytes);
  assert.deepEqual(normal(decoded), {
    reference: { reference: { typeUrl: 'a/b', value: normal(value) } },
  });
  assert.equal(KubernetesObjectReference.decode(value).key, undefined);
  assert.equal(SubscribeToX509SVIDRequest.decode(new Uint8Array()).reference, undefined);
});

test('times of the Delegated Identity API are skipped, hints after them are read', () => {
  const bytes = new BinaryWriter()
    .tag(3, WireType.Varint)
    .int64(1_800_000_000n)
    .tag(4, WireType.Varint)
    .int64(-1n)
    .tag(5, WireType.LengthDelimited)
    .string('internal')
    .finish();
  assert.equal(DELEGATED_MESSAGES.JWTSVID.decode(bytes).hint, 'internal');
});

test('default values are not written, but empty list elements are', () => {
  assert.equal(MESSAGES.X509SVIDResponse.encode({ svids: [], crl: [] }).length, 0);
  assert.equal(MESSAGES.JWTSVIDRequest.encode({ audience: [''] }).length, 2);
});

const bytes = fc.uint8Array({ maxLength: 40 }).map((array) => Buffer.from(array));
const text = fc.string({ unit: 'grapheme', maxLength: 20 });

test('what is written is read back', () => {
  const svid = fc.record({
    spiffeId: text,
    x509Svid: bytes,
    x509SvidKey: bytes,
    bundle: bytes,
    hint: text,
  });
  const response = fc.record({
    svids: fc.array(svid, { maxLength: 3 }),
    crl: fc.array(bytes, { maxLength: 3 }),
    federatedBundles: fc.array(fc.tuple(text, bytes)).map((entries) => new Map(entries)),
  });
  fc.assert(
    fc.property(response, (value) => {
      const decoded = MESSAGES.X509SVIDResponse.decode(MESSAGES.X509SVIDResponse.encode(value));
      assert.deepEqual(normal(decoded), normal(value));
    }),
  );
});

test('claims are written and read as another implementation does', () => {
  fc.assert(
    fc.property(fc.dictionary(text, fc.jsonValue({ maxDepth: 3 })), (object) => {
      const claims = JSON.parse(JSON.stringify(object)) as Record<string, never>; // what JSON.parse gives
      const ours = MESSAGES.ValidateJWTSVIDResponse.encode({ claims });
      assert.deepEqual(MESSAGES.ValidateJWTSVIDResponse.decode(ours).claims, claims);
      const [struct] = payloadsOf(ours);
      const theirs = toBinary(StructSchema, fromBinary(StructSchema, struct ?? Buffer.alloc(0)));
      const wrapped = new BinaryWriter().tag(2, WireType.LengthDelimited).bytes(theirs).finish();
      assert.deepEqual(MESSAGES.ValidateJWTSVIDResponse.decode(wrapped).claims, claims);
    }),
  );
  assert.equal(toBinary(StructSchema, create(StructSchema)).length, 0);
});

test('a claim named __proto__ is a claim and nothing else', () => {
  const claims = JSON.parse('{"__proto__": {"polluted": true}}') as Record<string, unknown>; // an object literal
  const decoded = MESSAGES.ValidateJWTSVIDResponse.decode(
    MESSAGES.ValidateJWTSVIDResponse.encode({ claims }),
  );
  assert.deepEqual(Object.keys(decoded.claims), ['__proto__']);
  assert.equal(Object.getPrototypeOf(decoded.claims), Object.prototype);
});

test('unknown fields and fields of another wire type are skipped', () => {
  const message = new BinaryWriter()
    .tag(1, WireType.Varint)
    .uint32(7)
    .tag(99, WireType.LengthDelimited)
    .string('new')
    .tag(98, WireType.Bit64)
    .double(1)
    .tag(1, WireType.LengthDelimited)
    .string('vault')
    .finish();
  assert.deepEqual(MESSAGES.JWTSVIDRequest.decode(message), { audience: ['vault'], spiffeId: '' });
});

test('of a single field given twice the last one counts', () => {
  const one = MESSAGES.JWTSVID.encode({ hint: 'one' });
  const two = MESSAGES.JWTSVID.encode({ hint: 'two' });
  assert.equal(MESSAGES.JWTSVID.decode(Buffer.concat([one, two])).hint, 'two');
});

for (const [what, message] of [
  ['a length beyond the end', [0x0a, 0x05, 0x61]],
  ['a length without an end', [0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]],
  ['an illegal tag', [0x00, 0x00]],
  ['broken UTF-8', [0x12, 0x01, 0xff]],
] as const) {
  test(`${what} is rejected`, () => {
    assert.throws(() => MESSAGES.JWTSVIDRequest.decode(Buffer.from(message)));
  });
}

test('any bytes give a message or an error, never anything else', () => {
  const types = [MESSAGES, BROKER_MESSAGES, DELEGATED_MESSAGES].flatMap((each) =>
    Object.values(each),
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (input) => {
      for (const type of types) {
        try {
          type.decode(input);
        } catch (error) {
          assert.ok(error instanceof Error);
        }
      }
    }),
  );
});

test('the number of fields and the depth of claims are bounded', () => {
  const many = MESSAGES.JWTSVIDRequest.encode({ audience: Array<string>(5000).fill('') });
  assert.throws(() => MESSAGES.JWTSVIDRequest.decode(many), /too many fields/);
  let claims: Record<string, unknown> = {};
  for (let depth = 0; depth < 100; depth += 1) claims = { claims };
  const deep = MESSAGES.ValidateJWTSVIDResponse.encode({ claims });
  assert.throws(() => MESSAGES.ValidateJWTSVIDResponse.decode(deep), /too deeply/);
});

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function payloadsOf(message: Uint8Array): Uint8Array[] {
  // one field, one length of one or two bytes
  const isShort = ((message[1] ?? 0) & 0x80) === 0;
  return message.length === 0 ? [] : [message.subarray(isShort ? 2 : 3)];
}

/** Buffers and plain byte arrays of the same bytes are equal here. */
function normal(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex');
  if (value instanceof Map) return new Map([...value].map(([key, item]) => [key, normal(item)]));
  if (Array.isArray(value)) return value.map(normal);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, normal(item)]));
}
