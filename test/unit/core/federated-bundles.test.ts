import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import {
  clashingPaths,
  federatedBundlePath,
  mayBeFederatedBundle,
  outputPathProblem,
} from '../../../src/core/index.ts';

for (const [bundle, path] of [
  ['bundle.pem', 'bundle-partner.example.pem'],
  ['tls/ca.crt', 'tls/ca-partner.example.crt'],
  ['v1.0/ca', 'v1.0/ca-partner.example'],
  ['.pem', '.pem-partner.example'],
] as const) {
  test(`the bundle of a federated trust domain is beside ${bundle}`, () => {
    assert.equal(federatedBundlePath(bundle, 'partner.example'), path);
    assert.equal(mayBeFederatedBundle(bundle, path), true);
  });
}

suite('which paths are reserved beside bundle.pem', () => {
  for (const path of ['bundle-a.pem', 'bundle-a_b-c.0.pem', 'bundle-a.pem/inner', 'bundle--.pem']) {
    test(`${path} is`, () => assert.equal(mayBeFederatedBundle('bundle.pem', path), true));
  }
  for (const path of [
    'bundle.pem',
    'bundle-.pem',
    'bundle-a',
    'bundle-a.crt',
    'bundle-A.pem',
    'bundle-a b.pem',
    'bundle-a/b.pem',
    'sub/bundle-a.pem',
    'svid-a.pem',
    'bundle_a.pem',
    `bundle-${'a'.repeat(256)}.pem`,
  ]) {
    test(`${path.slice(0, 40)} is not`, () =>
      assert.equal(mayBeFederatedBundle('bundle.pem', path), false));
  }
});

test('every valid trust domain has a valid path of its own, and whatever conflicts with it is reserved', () => {
  const domain = fc.stringMatching(/^[a-z0-9._-]{1,240}$/);
  const bundle = fc.constantFrom('bundle.pem', 'tls/ca.crt', 'ca');
  const user = fc.stringMatching(/^[a-z./-]{1,12}$/);
  fc.assert(
    fc.property(domain, bundle, user, (name, own, inner) => {
      const path = federatedBundlePath(own, name);
      assert.equal(outputPathProblem(path), undefined);
      assert.deepEqual(clashingPaths([own, path]), []);
      for (const other of [path, `${path}/${inner}`, inner]) {
        if (clashingPaths([other, path]).length === 0 || path.startsWith(`${other}/`)) continue;
        assert.ok(mayBeFederatedBundle(own, other), `${other} conflicts with ${path}`);
      }
    }),
  );
});
