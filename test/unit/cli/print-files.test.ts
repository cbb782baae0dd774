import assert from 'node:assert/strict';
import { test } from 'node:test';
import { printFiles } from '../../../src/cli/print-files.ts';
import { agentConfig } from '../../helpers/agent-harness.ts';

const PEM = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n';

test('bundles of federated trust domains are printed below the own one, with its mode', () => {
  const config = agentConfig({
    vault: undefined,
    auth: undefined,
    x509Svid: { bundleMode: '0444' },
    files: [{ name: 'token', jwtSvid: ['cloud'] }],
  });
  const files = ['bundle-z.example.pem', 'bundle-a.example.pem', 'bundle.pem', 'svid.pem'];
  const contents = new Map(files.map((path) => [path, Buffer.from(PEM)]));
  let printed = '';
  const out = (text: string): void => void (printed += text);
  const io = { out, err: out, fail: out } as unknown as Parameters<typeof printFiles>[0]; // only `out` is used
  printFiles(io, config, contents, false);
  assert.deepEqual(
    printed.split('\n').filter((line) => line.startsWith('# bundle')),
    [
      '# bundle.pem (mode 0444)',
      '# bundle-a.example.pem (mode 0444)',
      '# bundle-z.example.pem (mode 0444)',
    ],
  );
  assert.ok(!printed.includes('MIIB'));
});
