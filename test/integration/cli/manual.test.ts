/**
 * The demo and the status page in the manual are what `npm start` really shows.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { suite, test, before, after } from 'node:test';
import { fileURLToPath } from 'node:url';
import { blocksOf, readText } from '../../unit/docs/documents.ts';

const MAIN = fileURLToPath(new URL('../../../cmd/vouchsafe/main.ts', import.meta.url));

/** Text of the first console block of a document. */
function consoleOf(path: string, beginning: string): string {
  const found = blocksOf('console', readText(path)).find((text) => text.startsWith(beginning));
  assert.ok(found !== undefined, path);
  return found;
}

/** The keys of a JSON value, of the objects in its lists, too. */
function keysOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.slice(0, 1).map(keysOf);
  if (typeof value !== 'object' || value === null) return '';
  return Object.fromEntries(Object.entries(value).map(([key, child]) => [key, keysOf(child)]));
}

suite('the demo', () => {
  const child = spawn(process.execPath, [MAIN, 'dev'], {
    env: {},
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let shown = '';
  let status: unknown;

  before(async () => {
    await new Promise<void>((resolve) => {
      child.stdout.on('data', (part: Buffer) => {
        shown += part.toString();
        if (shown.includes('application | notified')) resolve();
      });
      child.once('exit', () => {
        resolve();
      });
    });
    const [, url = ''] = /status: (http\S+)/.exec(shown) ?? [];
    status = await (await fetch(url)).json();
  });

  after(async () => {
    const ended = once(child, 'exit');
    child.kill('SIGINT');
    await ended;
  });

  for (const path of ['README.md', 'docs/start/demo.md']) {
    test(`prints the lines of ${path}, in order`, () => {
      const line = (text: string): string => text.trim().replaceAll(/:\d+/g, ':N');
      const lines = shown.split('\n').map(line);
      let at = 0;
      for (const expected of consoleOf(path, '[1]').trim().split('\n').map(line)) {
        const found = lines.indexOf(expected, at);
        assert.ok(found >= 0, `${expected}\n\nin\n\n${lines.slice(at).join('\n')}`);
        at = found + 1;
      }
    });
  }

  test('has the status of docs/operate/observability.md', () => {
    const [, json = ''] =
      /^\$ curl.*\n([^]*)$/.exec(consoleOf('docs/operate/observability.md', '$ curl')) ?? [];
    assert.deepEqual(keysOf(JSON.parse(json)), keysOf(status));
  });
});
