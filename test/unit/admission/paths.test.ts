import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseInstallation } from '../../../src/config/installation/index.ts';
import { configIn, injectPod, podWith } from './harness.ts';

const WITH_DRIVER = parseInstallation({ csi: { enabled: true } });

for (const [annotations, says] of [
  [
    { 'secret-ca': 'pki/ca/pem' },
    /^vouchsafe\.dev\/secret-ca: pki\/ca\/pem has no JSON.*read pki\/cert\/ca#certificate instead$/,
  ],
  [{ 'secret-ca': 'pki_int/crl#x' }, /read pki_int\/cert\/crl#certificate/],
  [
    { 'template-app': '{{secret "team/pki/ca_chain"}}' },
    /template-app: .*team\/pki\/cert\/ca_chain#certificate/,
  ],
  [{ 'template-app': '{{secret (concat "ssh" "/public_key")}}' }, /ssh\/config\/ca#public_key/],
] as const) {
  test(`a literal path without JSON is a warning: ${JSON.stringify(annotations)}`, () => {
    for (const mode of ['native', 'csi']) {
      const pod = podWith({ ...annotations, mode });
      const { outcome, warnings } = injectPod(pod, { installation: WITH_DRIVER });
      const about = warnings.filter((warning) => warning.includes('has no JSON'));
      assert.equal(about.length, 1, warnings.join('\n'));
      assert.match(about[0] ?? '', says);
      assert.equal(outcome, 'injected');
    }
  });
}

test('other paths cause no warning', () => {
  const template = '{{secret "kvv2/ca"}}{{secret "pki/cert/ca"}}{{secret "pki/ca" a="write"}}';
  const annotations = { 'secret-a': 'secret/ca/pem', 'template-b': template };
  assert.deepEqual(injectPod(podWith(annotations)).warnings, []);
});

test('many such paths cause few warnings', () => {
  const paths = Array.from({ length: 100 }, (_, index) => `{{secret "pki${index}/ca/pem"}}`);
  const { warnings } = injectPod(podWith({ 'template-a': paths.join('') }));
  assert.equal(warnings.length, 8);
});

test('an escaped # of a path reaches the agent, with and without a key', () => {
  const { pod } = injectPod(podWith({ 'secret-a': 'kvv2/c\\#sharp#k#1', 'secret-b': 'kvv2/\\#' }));
  const sources = new Map(configIn(pod).files.map(({ name, source }) => [name, source]));
  const secretOf = (name: string): unknown => {
    const source = sources.get(name);
    return source !== undefined && 'secret' in source ? source.secret : undefined;
  };
  assert.deepEqual(secretOf('a'), { path: 'kvv2/c#sharp', key: 'k#1' });
  assert.deepEqual(secretOf('b'), { path: 'kvv2/#' });
});
