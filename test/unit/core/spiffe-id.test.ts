import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseSpiffeId, spiffeIdProblem, VouchsafeError } from '../../../src/core/index.ts';

test('an ID is taken apart', () => {
  assert.deepEqual(parseSpiffeId('spiffe://example.org/ns/default/sa/web'), {
    uri: 'spiffe://example.org/ns/default/sa/web',
    trustDomain: 'example.org',
    path: '/ns/default/sa/web',
  });
  assert.deepEqual(parseSpiffeId('spiffe://example.org'), {
    uri: 'spiffe://example.org',
    trustDomain: 'example.org',
    path: '',
  });
});

/** The characters of the specification, sections 2.1 and 2.2, spelled out. */
const IN_TRUST_DOMAIN = 'abcdefghijklmnopqrstuvwxyz0123456789.-_';
const IN_PATH = `${IN_TRUST_DOMAIN}ABCDEFGHIJKLMNOPQRSTUVWXYZ`;

test('each of the characters 0 to 255 is allowed exactly where the specification says', () => {
  for (let code = 0; code < 256; code += 1) {
    const character = String.fromCharCode(code);
    const inDomain = spiffeIdProblem(`spiffe://a${character}b`) === undefined;
    // A slash ends the trust domain, and parts segments.
    assert.equal(inDomain, IN_TRUST_DOMAIN.includes(character) || character === '/', `${code}`);
    const inPath = spiffeIdProblem(`spiffe://domain/a${character}b`) === undefined;
    assert.equal(inPath, IN_PATH.includes(character) || character === '/', `${code}`);
  }
});

test('characters beyond those are rejected, also where they look alike', () => {
  for (const character of ['ü', 'а' /* Cyrillic */, '。', '／', '\u200b', '\ud800', '😀']) {
    assert.ok(spiffeIdProblem(`spiffe://a${character}b/path`));
    assert.ok(spiffeIdProblem(`spiffe://domain/a${character}b`));
  }
});

for (const [text, rule] of [
  ['', /start with spiffe/],
  ['example.org/path', /start with spiffe/],
  ['https://example.org/path', /start with spiffe/],
  ['SPIFFE://example.org/path', /start with spiffe/],
  ['spiffe:/example.org', /start with spiffe/],
  [' spiffe://example.org', /start with spiffe/],
  ['spiffe://', /trust domain is missing/],
  ['spiffe:///path', /trust domain is missing/],
  ['spiffe://Example.org/path', /trust domain may contain/],
  ['spiffe://user@example.org/path', /trust domain may contain/],
  ['spiffe://example.org:8443/path', /trust domain may contain/],
  ['spiffe://[::1]/path', /trust domain may contain/],
  ['spiffe://example.org/', /trailing slash/],
  ['spiffe://example.org/path/', /trailing slash/],
  ['spiffe://example.org//path', /empty segments/],
  ['spiffe://example.org/./path', /dot segments/],
  ['spiffe://example.org/path/..', /dot segments/],
  ['spiffe://example.org/path?query', /segment may contain/],
  ['spiffe://example.org/path#fragment', /segment may contain/],
  ['spiffe://example.org/p%61th', /segment may contain/],
  [`spiffe://${'a'.repeat(256)}/path`, /longer than 255/],
  [`spiffe://example.org/${'a'.repeat(2048)}`, /longer than 2048/],
] as const) {
  test(`${JSON.stringify(text.slice(0, 50))} is rejected`, () => {
    assert.match(spiffeIdProblem(text) ?? 'no problem', rule);
    assert.throws(
      () => parseSpiffeId(text),
      (error) => error instanceof VouchsafeError && error.code === 'ERR_SPIFFE_ID',
    );
  });
}

test('the longest IDs are good', () => {
  assert.equal(spiffeIdProblem(`spiffe://${'a'.repeat(255)}`), undefined);
  const longest = `spiffe://example.org/${'a'.repeat(2048 - 'spiffe://example.org/'.length)}`;
  assert.equal(spiffeIdProblem(longest), undefined);
  assert.ok(spiffeIdProblem(`${longest}a`));
});

test('three dots and more are a name like any other', () => {
  assert.equal(spiffeIdProblem('spiffe://example.org/.../a..b'), undefined);
});
