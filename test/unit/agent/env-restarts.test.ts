import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AgentConfig, FileConfig } from '../../../src/config/agent/index.ts';
import {
  envRestartFor,
  variableEnds,
  type EnvRestartInput,
} from '../../../src/agent/env-restarts.ts';
import type { ChosenFile } from '../../../src/agent/choose-set.ts';

const [A, B, FILE] = [variable('A'), variable('B', 60_000), { ...variable('x'), path: 'x' }];
const { variable: _, ...PLAIN } = FILE;

function variable(name: string, refreshMs = 300_000): FileConfig & { readonly variable: string } {
  const source = { kind: 'template', text: '' } as const;
  const path = `..env/${name}`;
  return { name: `$${name}`, path, variable: name, mode: 0o400, source, refreshMs, onChange: [] };
}

type Env = NonNullable<AgentConfig['env']>;

function input(
  env: Partial<Env> | undefined,
  more: Partial<EnvRestartInput> = {},
): EnvRestartInput {
  const given = { directory: '/env', onChange: undefined, containers: ['web'], ...env };
  const ends = new Map([[A.path, 100_000]]);
  return {
    config: { files: [A, B, PLAIN], env: env === undefined ? undefined : given },
    news: [A.path],
    state: 'confirmed',
    ends: { before: ends, after: ends },
    nowMs: 0,
    random: { next: () => 0.5 },
    ...more,
  };
}

const NO_ENDS = { before: new Map<string, number>(), after: new Map<string, number>() };

const NONE: Readonly<Record<string, EnvRestartInput>> = {
  'no variables': input(undefined),
  'no container that can be restarted': input({ containers: [] }),
  'the first set': input({}, { state: 'none' }),
  'only a file has changed': input({ onChange: 'restart' }, { news: ['x'] }),
  'nothing has changed': input({ onChange: 'restart' }, { news: [] }),
  'none is set': input({ onChange: 'none' }),
  'a static value': input({}, { ends: NO_ENDS }),
  'another variable ends': input({}, { news: [B.path] }),
};

for (const [name, given] of Object.entries(NONE)) {
  test(`no restart: ${name}`, () => assert.equal(envRestartFor(given), undefined));
}

test('a value that ends: containers restart within half of what is left of it', () => {
  assert.deepEqual(envRestartFor(input({})), { containers: ['web'], delayMs: 25_000 });
});

test('a value that has ended is replaced at once', () => {
  assert.equal(envRestartFor(input({}, { nowMs: 100_001 }))?.delayMs, 0);
});

test('static values restart if that is set, spread over the shortest refresh interval', () => {
  const given = { news: [A.path, B.path], ends: NO_ENDS };
  assert.equal(envRestartFor(input({ onChange: 'restart' }, given))?.delayMs, 30_000);
});

test('a value that did not end and now does, and one of a predecessor, of which nothing is known', () => {
  const after = new Map([[A.path, 40_000]]);
  const fresh = { before: new Map([[A.path, Infinity]]), after };
  assert.equal(envRestartFor(input({}, { ends: fresh }))?.delayMs, 150_000);
  const resumed = { before: new Map<string, number>(), after };
  const restart = envRestartFor(input({}, { ends: resumed, state: 'by-predecessor' }));
  assert.equal(restart?.delayMs, 10_000);
});

test('the end of a variable is the first end of its values', () => {
  const chosen = [A, B, PLAIN].map((file): ChosenFile => {
    const keys = new Set(file === B ? ['static', 'dropped'] : ['static', 'late', 'early']);
    return { file, content: 'no file', digest: undefined, keys, isHeldBack: false };
  });
  const ending = (key: string, expiresAtMs: number) => {
    const plan = { action: 'fetch', atMs: 0, expiresAtMs } as const;
    return { key, held: { value: '', plan } };
  };
  const values = [
    ending('static', Infinity),
    ending('late', 9),
    ending('early', 7),
    { key: 'pending', held: undefined },
  ];
  const ends = new Map([
    [A.path, 7],
    [B.path, Infinity],
  ]);
  assert.deepEqual(variableEnds(chosen, values), ends);
  assert.deepEqual(variableEnds(chosen.slice(2), values), new Map());
});
