/**
 * The demo and the status page in the manual are what `npm start` really shows.
 */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { suite, test, before, after } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { abridged, OMITTED, withConstants } from '../../../.tools/docs/demo.ts';
import { blocksOf, readText } from '../../unit/docs/documents.ts';

const MAIN = fileURLToPath(new URL('../../../cmd/vouchsafe/main.ts', import.meta.url));

const demo = promisify(execFile)(process.execPath, [MAIN, 'dev', '--once'], { env: {} });

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

/** Every line is printed, in this order. Ports do not matter. */
function assertInOrder(expected: string, printed: string): void {
  const line = (text: string): string => text.trim().replaceAll(/:\d+/g, ':N');
  const lines = printed.split('\n').map(line);
  let at = 0;
  for (const one of expected.trim().split('\n').map(line)) {
    const found = lines.indexOf(one, at);
    assert.ok(found >= 0, `${one}\n\nin\n\n${lines.slice(at).join('\n')}`);
    at = found + 1;
  }
}

suite('the picture of the demo', () => {
  const text = readText('docs/pictures/npm-start.txt');
  const printed = demo.then(({ stdout }) => withConstants(stdout));
  const isOfAgent = (line: string): boolean => line.includes('vouchsafe-agent | ');

  test('shows the lines that npm start -- --once prints', async () => {
    const lines = (await printed).split('\n');
    const drawn = text.split('\n').filter((line) => line.trim() !== OMITTED);
    assert.ok(drawn.length > 30);
    for (const line of drawn) assert.ok(lines.includes(line), `${line}\n\nin\n\n${await printed}`);
  });

  test('has them in the order in which they are printed, but for the log of the agent', async () => {
    const drawn = text.split('\n').filter((line) => line.trim() !== OMITTED && !isOfAgent(line));
    assertInOrder(drawn.filter((line) => line !== '').join('\n'), await printed);
  });

  test('is what the tool would write again, but for the log of the agent', async () => {
    // The mark of omitted lines is where the agent's log is.
    const others = (all: string): readonly string[] =>
      all.split('\n').filter((line) => line.trim() !== OMITTED && !isOfAgent(line));
    assert.deepEqual(others(text), others(abridged(await printed)));
  });
});

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

  test('prints the lines of docs/start/demo.md, in order', () => {
    assertInOrder(consoleOf('docs/start/demo.md', '[1]'), shown);
  });

  test('has the status of docs/operate/observability.md', () => {
    const [, json = ''] =
      /^\$ curl.*\n([^]*)$/.exec(consoleOf('docs/operate/observability.md', '$ curl')) ?? [];
    assert.deepEqual(keysOf(JSON.parse(json)), keysOf(status));
  });
});
