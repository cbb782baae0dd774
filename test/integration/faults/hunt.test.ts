/** The search for planted secrets finds them: else the other tests of this folder would prove nothing. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Hunt } from '../../helpers/hunt.ts';

test('a planted secret is found, plain or encoded; other text is not', () => {
  const hunt = new Hunt();
  const secret = hunt.plant('a "planted" pässword');
  for (const form of [
    secret,
    JSON.stringify({ secret }),
    encodeURIComponent(secret),
    Buffer.from(secret).toString('base64'),
    Buffer.from(secret).toString('hex'),
  ]) {
    assert.equal(hunt.find(`before ${form} after`).length, 1);
  }
  assert.deepEqual(hunt.find('nothing planted here'), []);
  assert.throws(
    () => hunt.assertNone({ log: secret }),
    /^Error: secrets in log: a "planted" päss$/,
  );
});

test('tokens, JWTs and keys are found without being planted', () => {
  const found = (text: string): string[] => new Hunt().find(text);
  assert.deepEqual(found('token=hvs.CAESIJ0123456789'), ['a Vault token']);
  assert.deepEqual(found('eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0abc.sig'), ['a JWT']);
  assert.deepEqual(found('-----BEGIN PRIVATE KEY-----'), ['a private key']);
});
