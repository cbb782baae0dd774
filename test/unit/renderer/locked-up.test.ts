import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { canLockDown } from '../../../src/platform/lockdown.ts';
import { TEMPLATE_HELPERS } from '../../../src/template/index.ts';
import { EVERY_JOB, EVERY_VALUE } from '../../helpers/every-template.ts';
import { localRenderer } from '../../helpers/local-renderer.ts';
import { wordOf, type Everything } from '../../helpers/render-everything.ts';

const PROGRAM = fileURLToPath(new URL('../../helpers/render-everything.ts', import.meta.url));
const skip = canLockDown() ? false : 'no system calls are known of this machine';
const isRoot = process.getuid?.() === 0;

/** Runs it to its end, behind words that start it in some way. */
async function everything(...words: readonly string[]): Promise<Everything> {
  const command = [...words, process.execPath, '--no-warnings', PROGRAM];
  const child = spawn('env', command, { stdio: ['ignore', 'pipe', 'inherit'] });
  const closed = once(child, 'close');
  const results = await text(child.stdout);
  assert.deepEqual(await closed, [0, null]);
  return JSON.parse(results) as Everything;
}

async function check(results: Everything): Promise<void> {
  const signal = new AbortController().signal;
  const work = { jobs: EVERY_JOB, values: EVERY_VALUE };
  const expected = (await localRenderer().render(work, { tenant: 'a' }, signal)).map(wordOf);
  assert.deepEqual(results.outputs, [...expected, ...expected]);
  assert.equal(new Set(results.large.split(',')).size, 1);
  assert.equal(new Set(results.pressed).size, 1);
  assert.doesNotMatch(`${results.large}${results.pressed.join()}`, /ERR/);
  assert.match(results.outOfMemory, /^ERR_TEMPLATE_LIMIT: .*csi\.rendering\.memory/);
  assert.ok(results.threads.length > 2);
  assert.deepEqual([...new Set(results.threads)], ['2 1']);
  assert.ok(results.isMeasured);
  assert.deepEqual(results.log, []);
}

test('the templates of this test use every helper', () => {
  const sources = EVERY_JOB.map(({ template }) => ('source' in template ? template.source : ''));
  const unused = TEMPLATE_HELPERS.map(({ name }) => name).filter(
    (name) => !new RegExp(`[({#]${name}\\b`).test(sources.join('\n')),
  );
  assert.deepEqual(unused, []);
});

test('children of a driver are locked down, and can do all their work', { skip }, async () => {
  await check(await everything());
});

test('children of a driver without any capability are locked down as well', { skip }, async () => {
  const words = isRoot ? ['setpriv', '--bounding-set=-all', '--inh-caps=-all'] : ['setpriv'];
  const results = await everything(...words, '--no-new-privs');
  await check(results);
  assert.deepEqual([...new Set(results.capabilities)], ['0'.repeat(16)]);
});
