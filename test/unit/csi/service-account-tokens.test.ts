import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parsePodTokens, TokenSource } from '../../../src/csi/service-account-tokens.ts';
import { toVouchsafeError } from '../../../src/core/index.ts';
import { FakeClock, settle } from '../../helpers/fake-clock.ts';

const OWNER = { namespace: 'shop', serviceAccount: 'web', uid: 'u-1' };
const never = new AbortController().signal;

function jwt(claims: object): string {
  return `e30.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.c2ln`;
}

const OWN = {
  sub: 'system:serviceaccount:shop:web',
  'kubernetes.io': { pod: { uid: 'u-1' } },
};

function text(expiresAtMs: number, more: object = {}): string {
  const expirationTimestamp = new Date(expiresAtMs).toISOString();
  return JSON.stringify({ vault: { token: jwt({ ...OWN, ...more }), expirationTimestamp } });
}

test('tokens are read by audience, and print as redacted', () => {
  const tokens = parsePodTokens(text(5000), OWNER);
  assert.deepEqual([...tokens.keys()], ['vault']);
  assert.equal(tokens.get('vault')?.expiresAtMs, 5000);
  assert.doesNotMatch(JSON.stringify([...tokens]), /e30/);
});

test('tokens of another namespace, account or pod are rejected', () => {
  for (const more of [
    { sub: 'system:serviceaccount:other:web' },
    { sub: 'system:serviceaccount:shop:admin' },
    { sub: undefined },
    { 'kubernetes.io': { pod: { uid: 'u-2' } } },
    { 'kubernetes.io': undefined },
  ]) {
    assert.throws(() => parsePodTokens(text(5000, more), OWNER), { code: 'ERR_CSI_TOKEN' });
  }
});

test('an expired token is not used: the login waits for the next one', async () => {
  const clock = new FakeClock();
  const source = new TokenSource('vault', clock);
  const found: string[] = [];
  const asked = source.token(undefined, never).then((token) => found.push(token.reveal()));
  source.set(parsePodTokens(text(clock.now() + 1000), OWNER));
  await settle();
  assert.deepEqual(found, []);
  source.set(parsePodTokens(text(clock.now() + 600_000), OWNER));
  await asked;
  assert.equal(found.length, 1);
});

test('a missing audience fails at once', async () => {
  const source = new TokenSource('other', new FakeClock());
  source.set(parsePodTokens(text(5000), OWNER));
  await assert.rejects(source.token(undefined, never), { code: 'ERR_CSI_TOKEN' });
});

test('any text: tokens, or an error that quotes nothing of it', () => {
  const texts = fc.oneof(
    fc.string(),
    fc.json(),
    fc.string().map((one) => `{"vault":${one}}`),
  );
  fc.assert(
    fc.property(texts, (given) => {
      try {
        parsePodTokens(given, OWNER);
      } catch (caught) {
        const error = toVouchsafeError(caught);
        assert.equal(error.code, 'ERR_CSI_TOKEN');
        if (given.length > 8) assert.ok(!error.message.includes(given));
      }
    }),
  );
});
