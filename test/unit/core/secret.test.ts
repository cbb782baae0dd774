import assert from 'node:assert/strict';
import { format, inspect } from 'node:util';
import { test } from 'node:test';
import { Secret } from '../../../src/core/index.ts';

const HUSH = 'hush-hush';

test('reveal gives the value itself', () => {
  const value = { token: HUSH };
  assert.equal(new Secret(value).reveal(), value);
});

for (const [how, print] of [
  ['a template literal', (secret: Secret<unknown>) => `${secret.toString()} ${String(secret)}`],
  ['concatenation', (secret: Secret<unknown>) => [secret, 'x'].join('-')],
  ['JSON', (secret: Secret<unknown>) => JSON.stringify({ deep: [secret] })],
  ['inspect', (secret: Secret<unknown>) => inspect(secret)],
  ['inspect of what holds it', (secret: Secret<unknown>) => inspect({ a: { b: { c: secret } } })],
  [
    'inspect that tries hard',
    (secret: Secret<unknown>) =>
      inspect([secret, new Map([[secret, secret]])], {
        showHidden: true,
        depth: null,
        getters: true,
        customInspect: false,
      }),
  ],
  [
    'format',
    (secret: Secret<unknown>) => format('%s %o %O %j %d', secret, secret, secret, secret, secret),
  ],
  ['its own keys', (secret: Secret<unknown>) => JSON.stringify(Reflect.ownKeys(secret))],
  ['a copy', (secret: Secret<unknown>) => inspect(Object.assign({}, secret))],
  ['an error around it', (secret: Secret<unknown>) => inspect(new Error('x', { cause: secret }))],
  ['a structured clone', (secret: Secret<unknown>) => inspect(structuredClone(secret))],
] as const) {
  test(`${how} shows nothing of a secret`, () => {
    for (const value of [HUSH, { token: HUSH }, Buffer.from(HUSH)]) {
      const printed = print(new Secret(value));
      assert.doesNotMatch(printed, /hush|104, 117|68 75 73/);
    }
  });
}

test('a secret prints as [redacted]', () => {
  const secret = new Secret(HUSH);
  assert.equal(String(secret), '[redacted]');
  assert.equal(JSON.stringify({ secret }), '{"secret":"[redacted]"}');
  assert.equal(inspect({ secret }), '{ secret: [redacted] }');
});
