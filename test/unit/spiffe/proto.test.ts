import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import fc from 'fast-check';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { StructSchema } from '@bufbuild/protobuf/wkt';
import { MESSAGES, METHODS, SERVICE } from '../../../src/spiffe/index.ts';

const proto = await readFile(
  new URL('../../../src/spiffe/proto/workload.proto', import.meta.url),
  'utf8',
);

test('the messages in code are those of workload.proto', () => {
  const written = new Map<string, string[]>();
  for (const [, name = '', body = ''] of proto.matchAll(/^message (\w+) \{([^}]*)\}/gm)) {
    const fields = body.matchAll(/^ {2}(.+) (\w+) = (\d+);$/gm);
    written.set(
      name,
      [...fields].map(([, type, field, number]) => `${type} ${field} = ${number}`),
    );
  }
  const coded = new Map<string, string[]>();
  for (const [name, { fields }] of Object.entries(MESSAGES)) {
    const lines = Object.entries(fields).map(
      ([field, { number, type }]) => `${type.name} ${snakeCase(field)} = ${number}`,
    );
    coded.set(name, lines);
  }
  assert.deepEqual(coded, written);
});

test('the methods in code are those of workload.proto', () => {
  assert.match(proto, new RegExp(`^service ${SERVICE} \\{`, 'm'));
  assert.doesNotMatch(proto, /^package/m);
  const written = [...proto.matchAll(/rpc (\w+)\((\w+)\) returns \((stream )?(\w+)\);/g)].map(
    ([, name, request, stream, response]) => [
      name,
      { isStream: stream !== undefined, request, response },
    ],
  );
  assert.deepEqual(METHODS, Object.fromEntries(written));
});

test('a known message has known bytes', () => {
  const bytes = MESSAGES.JWTSVIDRequest.encode({ audience: ['vault'], spiffeId: 'spiffe://a/b' });
  assert.equal(
    Buffer.from(bytes).toString('latin1'),
    '\x0a\x05vault\x12\x0cspiffe://a/b', // tag, length, text
  );
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
  test(`${what} is refused`, () => {
    assert.throws(() => MESSAGES.JWTSVIDRequest.decode(Buffer.from(message)));
  });
}

test('any bytes give a message or an error, never anything else', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (input) => {
      for (const type of Object.values(MESSAGES)) {
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
