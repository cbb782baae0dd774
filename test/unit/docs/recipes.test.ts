/**
 * Each recipe is injected without a warning, and its files are rendered from the embedded Vault.
 */
import assert from 'node:assert/strict';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { suite, test } from 'node:test';
import { run } from '../../../.tools/docs/commands.ts';
import { readText, ROOT } from './documents.ts';

const FOLDER = 'manifests/examples/recipes';

/** Name of a file -> its mode and text. */
async function rendered(
  recipe: string,
): Promise<ReadonlyMap<string, { mode: string; text: string }>> {
  const path = `${FOLDER}/${recipe}.yaml`;
  const printed = await run(ROOT, ['render', '--pod', path, '--show-secrets']);
  const parts = printed.split(/^# (\S+) \(mode (\d+)\)\n/m).slice(1);
  const files = new Map<string, { mode: string; text: string }>();
  for (let at = 0; at < parts.length; at += 3) {
    const [name = '', mode = '', text = ''] = parts.slice(at, at + 3);
    files.set(name, { mode, text });
  }
  return files;
}

function fileOf(
  files: Awaited<ReturnType<typeof rendered>>,
  name: string,
): { mode: string; text: string } {
  const file = files.get(name);
  assert.ok(file !== undefined, `${name} is missing: ${[...files.keys()].join(', ')}`);
  return file;
}

suite('recipes', { concurrency: 2 }, () => {
  const names = readdirSync(`${ROOT}${FOLDER}`).map((name) => name.replace('.yaml', ''));

  for (const name of names) {
    test(`${name} is injected without a warning, and on the page`, async () => {
      const path = `${FOLDER}/${name}.yaml`;
      const printed = await run(ROOT, ['explain', '-f', path]);
      assert.match(printed, /injected \(requested\)/);
      assert.doesNotMatch(printed, /warning/);
      assert.ok(readText('docs/use/recipes.md').includes(readText(path)));
    });
  }

  test('spring-boot: a login of the database as properties', async () => {
    const { text } = fileOf(await rendered('spring-boot'), 'application.properties');
    assert.match(text, /^spring\.datasource\.username=\S+$/m);
    assert.match(text, /^spring\.datasource\.password=\S+$/m);
  });

  test('java-keystore: both stores, for their owner', async () => {
    const files = await rendered('java-keystore');
    for (const name of ['keystore.p12', 'truststore.p12']) {
      const { mode, text } = fileOf(files, name);
      assert.equal(mode, '0400');
      assert.ok(text.startsWith('0'), 'a sequence of DER');
    }
  });

  test('pgpass: mode 0600, and both files have the same login', async () => {
    const files = await rendered('pgpass');
    const { mode, text } = fileOf(files, 'pgpass');
    assert.equal(mode, '0600');
    const [, , , user] = text.trim().split(':');
    assert.equal(fileOf(files, 'user').text.trim(), user);
  });

  test('nginx-tls: certificate and key belong together', async () => {
    const files = await rendered('nginx-tls');
    const certificate = new X509Certificate(fileOf(files, 'tls.crt').text);
    assert.ok(certificate.checkPrivateKey(createPrivateKey(fileOf(files, 'tls.key').text)));
    assert.equal(certificate.checkHost('web.example.org'), 'web.example.org');
  });

  test('prometheus: the password only', async () => {
    assert.match(fileOf(await rendered('prometheus'), 'scrape-password').text, /^\S+\n*$/);
  });
});
