import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MAX_FEDERATED_BUNDLES, withFederatedBundles } from '../../../src/agent/federated-files.ts';
import type { RenderedFile } from '../../../src/agent/file-set.ts';
import { agentConfig } from '../../helpers/agent-harness.ts';

const NONE = { digest: undefined, missing: [], error: undefined };

/** The bundle of a config, as it was rendered. */
function bundleOf(x509Svid: unknown): RenderedFile {
  const config = agentConfig({ vault: undefined, auth: undefined, x509Svid });
  const file = config.files.find(
    ({ source }) => source.kind === 'x509-svid' && source.part === 'bundle',
  );
  assert.ok(file !== undefined);
  const used = new Map([['x509-svid', { kind: 'x509-svid' }]] as const);
  return { ...NONE, file, content: Buffer.from('own'), used };
}

function federation(...names: readonly string[]): {
  readonly federated: readonly { readonly trustDomain: string; readonly pem: string }[];
} {
  return { federated: names.map((trustDomain) => ({ trustDomain, pem: `of ${trustDomain}` })) };
}

const OPTIONS = { taken: [], print: ({ pem }: { readonly pem: string }): string => pem };

test('each federated trust domain has a file with mode and actions of the own bundle, which holds none of them', () => {
  const bundle = bundleOf({
    bundleFile: 'tls/ca.crt',
    bundleMode: '0444',
    onChange: ['restart@app'],
  });
  const files = withFederatedBundles(bundle, federation('a.example', 'b.example'), OPTIONS);
  assert.deepEqual(
    files.map(({ file, content }) => [file.path, file.mode, Buffer.from(content ?? '').toString()]),
    [
      ['tls/ca.crt', 0o444, 'own'],
      ['tls/ca-a.example.crt', 0o444, 'of a.example'],
      ['tls/ca-b.example.crt', 0o444, 'of b.example'],
    ],
  );
  assert.deepEqual(
    files.map(({ file }) => file.name),
    ['bundle', 'bundle:a.example', 'bundle:b.example'],
  );
  for (const { file } of files) assert.deepEqual(file.onChange, bundle.file.onChange);
});

test('without a federation there is only the own bundle', () => {
  const bundle = bundleOf(true);
  assert.deepEqual(withFederatedBundles(bundle, federation(), OPTIONS), [bundle]);
});

for (const [what, name, taken, reason] of [
  ['a file has its path', 'a.example', ['bundle-a.example.pem'], /conflict with bundle-a/],
  ['a file is below its path', 'a.example', ['bundle-a.example.pem/x'], /conflict with bundle-a/],
  ['its name is too long for a file', 'a'.repeat(255), [], /longer than 255 bytes/],
] as const) {
  test(`a trust domain is left out, and the others are not, where ${what}`, () => {
    const some = federation(name, 'other.example');
    const [own, ...rest] = withFederatedBundles(bundleOf(true), some, { ...OPTIONS, taken });
    assert.deepEqual(
      rest.map(({ file }) => file.path),
      ['bundle-other.example.pem'],
    );
    assert.equal(own?.error?.code, 'ERR_SPIFFE_BUNDLES');
    assert.match(own.error.message, reason);
    assert.notEqual(own.content, undefined);
  });
}

test('the number of files is bounded, and the error says how many are left out', () => {
  const names = Array.from(
    { length: MAX_FEDERATED_BUNDLES + 3 },
    (_, index) => `d${index}.example`,
  );
  const [own, ...rest] = withFederatedBundles(bundleOf(true), federation(...names), OPTIONS);
  assert.equal(rest.length, MAX_FEDERATED_BUNDLES);
  assert.match(
    own?.error?.message ?? '',
    /d100\.example is not delivered, nor are 2 more: only 100 are$/,
  );
});
