import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';

const MODULE = new URL('../../../src/platform/trust.ts', import.meta.url).href;

/** How many authorities Node trusts before and after. */
function trusted(...flags: string[]): string {
  const script = `
    import { getCACertificates } from 'node:tls';
    import { trustPublicAuthorities } from '${MODULE}';
    const before = getCACertificates('default').length;
    trustPublicAuthorities();
    const [after, all] = [getCACertificates('default'), getCACertificates('bundled')];
    console.log(before === all.length, after.length === all.length, all.length > 0);`;
  const args = [...flags, '--input-type=module', '--eval', script];
  return spawnSync(process.execPath, args, { env: {}, encoding: 'utf8' }).stdout;
}

test('the public authorities are trusted, though the image does not load them by itself', () => {
  assert.equal(trusted('--use-openssl-ca'), 'false true true\n');
});

test('elsewhere Node trusts what it trusts', () => {
  assert.equal(trusted(), 'true true true\n');
});
