/** Several files and directories as the input of one command. */
import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { createIo } from '../../../src/platform/index.ts';
import { tempDirectory } from '../../helpers/temp-directory.ts';
import { documents, podText, run, type Fields } from './harness.ts';

const NAMESPACE = JSON.stringify({
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name: 'default', annotations: { 'vouchsafe.dev/role': 'of-namespace' } },
});
const JOB = JSON.stringify({
  apiVersion: 'batch/v1',
  kind: 'Job',
  metadata: { name: 'job' },
  spec: { template: { spec: { containers: [{ name: 'job' }] } } },
});

suite('inputs', () => {
  test('several -f are one stream, in their order', async () => {
    const files = { a: podText(), b: JOB, '-': NAMESPACE };
    const { code, out, errors } = await run(['inject', '-f', 'a', '-f', 'b', '--file', '-'], files);
    assert.equal(code, 0);
    assert.equal(errors, 'Pod/web: injected (requested)\nJob/job: skipped (not_requested)\n');
    const kinds = documents(out).map((one) => (one as Fields)['kind']); // objects
    assert.deepEqual(kinds, ['Pod', 'Job', 'Namespace']);
    assert.match(out, /"role":"of-namespace"/);
    const explained = await run(['explain', '-f', 'a', '-f', 'b'], files);
    assert.match(explained.out, /^Pod\/web in[^]+^Job\/job in/m);
  });

  test('a directory is its manifests in alphabetical order, not those below it', async () => {
    const files = {
      'all/b.yml': podText(),
      'all/a.json': JOB,
      'all/c.yaml': NAMESPACE,
      'all/d.md': '#',
    };
    for (const path of ['all', 'all/']) {
      const { code, errors } = await run(['inject', '-f', path], files);
      assert.equal(code, 0);
      assert.equal(errors, 'Job/job: skipped (not_requested)\nPod/web: injected (requested)\n');
    }
  });

  test('the file with a mistake is named, and nothing is printed', async () => {
    const files = { 'all/a.yaml': podText(), 'all/b.yaml': 'a: [' };
    const { code, out, errors } = await run(['inject', '-f', 'all'], files);
    assert.deepEqual([code, out], [10, '']);
    assert.match(errors, /ERR_CONFIG_UNREADABLE: all\/b\.yaml document 1 is not valid YAML/);
    const missing = await run(['inject', '-f', 'all/a.yaml', '-f', 'none'], files);
    assert.deepEqual([missing.code, missing.out], [10, '']);
    assert.match(missing.errors, /cannot read none \(ENOENT\)/);
  });

  test('a directory without manifests is rejected', async () => {
    const { code, errors } = await run(['explain', '-f', 'all'], { 'all/README.md': '#' });
    assert.equal(code, 10);
    assert.match(errors, /all contains no file with the ending \.yaml, \.yml or \.json/);
  });

  for (const [name, words] of [
    ['standard input twice', ['inject', '-f', '-', '-f', '-']],
    [
      'standard input for a manifest and the values',
      ['explain', '-f', 'a', '-f', '-', '--values', '-'],
    ],
    ['two templates', ['render', '-f', 'a', '-f', 'b']],
    ['two reviews', ['inject', '--review', '-f', 'a', '-f', 'b']],
  ] as const) {
    test(`exit code 2: ${name}`, async () => {
      const { code, out } = await run(words, { a: 'x', b: 'x', '-': '' });
      assert.deepEqual([code, out], [2, '']);
    });
  }

  test('the real file system', async (t) => {
    const directory = tempDirectory(t);
    await writeFile(join(directory, 'a.yaml'), JOB);
    await mkdir(join(directory, 'below.yaml'));
    const { list } = createIo();
    assert.deepEqual(await list(directory), ['a.yaml']);
    assert.equal(await list(join(directory, 'a.yaml')), undefined);
    assert.equal(await list(join(directory, 'none')), undefined);
  });
});
