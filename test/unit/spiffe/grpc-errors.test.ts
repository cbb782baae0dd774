import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { status } from '@grpc/grpc-js';
import { fromGrpc } from '../../../src/spiffe/grpc-errors.ts';
import { BROKER_API, DELEGATED_IDENTITY_API } from '../../../src/spiffe/index.ts';

const URI = 'unix:///run/spire/sockets/agent.sock';

function grpcError(code: number, details: string): Error {
  return Object.assign(new Error(details), { code, details });
}

for (const [code, expected] of [
  [status.INVALID_ARGUMENT, 'ERR_SPIFFE_REJECTED'],
  [status.UNIMPLEMENTED, 'ERR_SPIFFE_UNIMPLEMENTED'],
  [status.PERMISSION_DENIED, 'ERR_SPIFFE_DENIED'],
  [status.UNAVAILABLE, 'ERR_SPIFFE_UNAVAILABLE'],
  [status.DEADLINE_EXCEEDED, 'ERR_SPIFFE_UNAVAILABLE'],
  [status.RESOURCE_EXHAUSTED, 'ERR_SPIFFE_UNAVAILABLE'],
  [status.UNAUTHENTICATED, 'ERR_SPIFFE_UNAVAILABLE'],
  [status.CANCELLED, 'ERR_SPIFFE_UNAVAILABLE'],
  [status.INTERNAL, 'ERR_SPIFFE_UNAVAILABLE'],
  [99, 'ERR_SPIFFE_UNAVAILABLE'],
] as const) {
  test(`status ${code} is ${expected}`, () => {
    const error = fromGrpc(grpcError(code, 'because'), 'FetchJWTSVID', URI);
    assert.equal(error.code, expected);
    assert.ok(error.message.startsWith(`FetchJWTSVID at ${URI}: `));
    assert.match(error.message, /\(gRPC [A-Z_]+: "because"\)$/);
    assert.equal(error.details['method'], 'FetchJWTSVID');
  });
}

for (const [errno, advice] of [
  ['ENOENT', /socket does not exist.*SPIRE agent runs.*mounted/],
  ['EACCES', /denied.*permissions.*user.*SELinux/],
  ['ECONNREFUSED', /nothing listens there/],
  ['ECONNRESET', /the connection was cut/],
] as const) {
  test(`${errno} comes with advice and the socket`, () => {
    const details = `No connection established. Last error: Error: connect ${errno} /run/x. Resolution note: `;
    const error = fromGrpc(grpcError(status.UNAVAILABLE, details), 'FetchX509SVID', URI);
    assert.match(error.message, advice);
    assert.ok(error.message.includes(URI) && error.message.endsWith(`(${errno})`));
  });
}

test('a denial says that the registration may not have arrived yet', () => {
  const error = fromGrpc(grpcError(7, 'no identity issued'), 'FetchJWTSVID', URI);
  assert.match(
    error.message,
    /registration entry.*not have reached this node yet.*"no identity issued"/,
  );
});

for (const [what, text] of [
  ['a token', `could not verify eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln`],
  ['a token in disguise', `bad ${'a'.repeat(20)}.${'b'.repeat(20)}.c`],
  ['a key', '-----BEGIN PRIVATE KEY-----'],
  ['a long run of base64', 'A'.repeat(64)],
] as const) {
  test(`the server's text is left out when it may hold ${what}`, () => {
    const error = fromGrpc(grpcError(3, text), 'ValidateJWTSVID', URI);
    assert.match(error.message, /\(gRPC INVALID_ARGUMENT\)$/);
    assert.ok(!inspect(error).includes(text));
  });
}

test('the text of the server is made printable and short', () => {
  const error = fromGrpc(
    grpcError(14, `a\u001b[31m\nb "c" ${'long '.repeat(100)}`),
    'FetchJWTSVID',
    URI,
  );
  assert.match(error.message, /"a \[31m b \\"c\\" long/);
  assert.ok(error.message.length < 400);
  assert.doesNotMatch(error.message, /[\u0000-\u001f]/);
});

for (const [what, thing] of [
  ['a string', 'a string'],
  ['undefined', undefined],
  ['a foreign error', new Error('foreign')],
  ['an object that is no error', { code: 7 }],
] as const) {
  test(`${what} is unavailable, without its text`, () => {
    const error = fromGrpc(thing, 'FetchJWTSVID', URI);
    assert.equal(error.code, 'ERR_SPIFFE_UNAVAILABLE');
    assert.match(error.message, /\(gRPC UNKNOWN\)$/);
  });
}

for (const [service, code, details, expected, message] of [
  [BROKER_API.service, status.NOT_FOUND, 'no pod', 'ERR_SPIFFE_UNAVAILABLE', /not know the pod/],
  [
    BROKER_API.service,
    status.PERMISSION_DENIED,
    'no',
    'ERR_SPIFFE_DENIED',
    /impersonate-via-spire/,
  ],
  [BROKER_API.service, status.UNAVAILABLE, 'bad certificate', 'ERR_SPIFFE_UNAVAILABLE', /one end/],
  [
    BROKER_API.service,
    status.UNAVAILABLE,
    'busy',
    'ERR_SPIFFE_UNAVAILABLE',
    /Broker API is not available/,
  ],
  [BROKER_API.service, status.UNIMPLEMENTED, '', 'ERR_SPIFFE_UNIMPLEMENTED', /SPIFFE Broker API\?/],
  [
    DELEGATED_IDENTITY_API.service,
    status.PERMISSION_DENIED,
    'no',
    'ERR_SPIFFE_DENIED',
    /authorized_delegates/,
  ],
  [
    DELEGATED_IDENTITY_API.service,
    status.INVALID_ARGUMENT,
    'no',
    'ERR_SPIFFE_REJECTED',
    /the Delegated Identity API rejected/,
  ],
  [undefined, status.NOT_FOUND, '', 'ERR_SPIFFE_UNAVAILABLE', /the Workload API is not available/],
  [
    undefined,
    status.UNAVAILABLE,
    'Failed to connect',
    'ERR_SPIFFE_UNAVAILABLE',
    /API is not available/,
  ],
] as const) {
  test(`${service ?? 'the Workload API'}: status ${code} (${details}) has texts of its own`, () => {
    const error = fromGrpc(grpcError(code, details), 'Call', URI, service);
    assert.equal(error.code, expected);
    assert.match(error.message, message);
  });
}
