import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createFileSet, type FileSet, type ValuesOfLogin } from '../../../src/agent/file-set.ts';
import { Secret } from '../../../src/core/index.ts';
import { LOCAL_TEMPLATES } from '../../../src/agent-runtime/index.ts';
import { agentConfig } from '../../helpers/agent-harness.ts';

const never = new AbortController().signal;

function fileSet(
  document: Readonly<Record<string, unknown>>,
  mounted: Readonly<Record<string, string>> = {},
): FileSet {
  const read = (path: string): Promise<string> => {
    const text = mounted[path];
    return text === undefined ? Promise.reject(new Error('ENOENT')) : Promise.resolve(text);
  };
  return createFileSet(agentConfig(document), LOCAL_TEMPLATES, { read });
}

/** Gives the values by the key of their dependency. */
function values(known: Readonly<Record<string, unknown>>): ValuesOfLogin {
  const all = new Map(Object.entries(known).map(([key, value]) => [key, { value }]));
  return () => all;
}

async function textOf(set: FileSet, known: ValuesOfLogin): Promise<(string | undefined)[]> {
  const files = await set.render(known, never);
  return files.map(({ content }) =>
    content === undefined ? undefined : Buffer.from(content).toString(),
  );
}

test('each kind of source makes a file', async () => {
  const set = fileSet(
    {
      files: [
        { name: 'inline', template: '{{#with (secret "kv/a")}}{{x}}{{/with}}' },
        { name: 'context', secret: 'kv/a', template: '{{x}}' },
        { name: 'mounted', secret: 'kv/a', templateFile: '/t' },
        { name: 'format', secret: 'kv/a', format: 'json' },
        { name: 'key', secret: 'kv/a#x', format: 'raw' },
        { name: 'token', jwtSvid: ['b', 'a'] },
      ],
      x509Svid: true,
    },
    { '/t': 'x={{x}}' },
  );
  await set.reload();
  const federated = [{ trustDomain: 'partner.example', pem: 'P' }];
  const svid = {
    spiffeId: '',
    svid: 'S',
    key: new Secret('K'),
    bundle: 'B',
    federated,
    expiresAtMs: 0,
  };
  const known = { 'read:kv/a': { x: '1' }, 'jwt-svid:["a","b"]': 'JWT', 'x509-svid': svid };
  const texts = await textOf(set, values(known));
  assert.deepEqual(texts.slice(0, 3), ['1', '1', 'x=1']);
  assert.deepEqual(JSON.parse(texts[3] ?? ''), { x: '1' });
  assert.deepEqual(texts.slice(4), ['1', 'JWT', 'S', 'K', 'B', 'P']);
});

test('a format is not rendered before its secret is there: what it needs is known without', async () => {
  const rendered: number[] = [];
  const templates: typeof LOCAL_TEMPLATES = {
    ...LOCAL_TEMPLATES,
    renderTemplates(jobs, known, signal) {
      rendered.push(jobs.length);
      return LOCAL_TEMPLATES.renderTemplates(jobs, known, signal);
    },
  };
  const files = [
    { name: 'a', secret: 'kv/a', format: 'json' },
    { name: 'b', secret: 'kv/b#x', format: 'raw' },
  ];
  const set = createFileSet(agentConfig({ files }), templates, {
    read: () => Promise.reject(new Error('ENOENT')),
  });
  const before = await set.render(values({}), never);
  assert.deepEqual(rendered, []);
  const dependencies = ['kv/a', 'kv/b'].map((path) => ({ kind: 'read' as const, path }));
  assert.deepEqual(
    before.map(({ missing }) => missing),
    dependencies.map((one) => [one]),
  );
  assert.deepEqual(
    before.map(({ used }) => [...used.values()]),
    dependencies.map((one) => [one]),
  );
  const [, after] = await set.render(values({ 'read:kv/b': { x: '1' } }), never);
  assert.equal(Buffer.from(after?.content ?? '').toString(), '1');
  assert.deepEqual(rendered, [1]);
});

test('what is missing is listed, and the file has no content', async () => {
  const set = fileSet({
    files: [
      {
        name: 'a',
        template: '{{#with (secret "kv/a")}}{{x}}{{/with}}{{#with (secret "kv/b")}}{{x}}{{/with}}',
      },
      { name: 'b', jwtSvid: ['aud'] },
    ],
  });
  const [a, b] = await set.render(values({ 'read:kv/a': { x: '1' } }), never);
  assert.ok(a && b);
  assert.equal(a.content, undefined);
  assert.deepEqual(a.missing, [{ kind: 'read', path: 'kv/b' }]);
  assert.deepEqual([...a.used.keys()], ['read:kv/a', 'read:kv/b']);
  assert.deepEqual(b.missing, [{ kind: 'jwt-svid', audiences: ['aud'] }]);
});

test('a file that cannot be rendered has an error and does not affect the others', async () => {
  const set = fileSet({
    files: [
      { name: 'bad', secret: 'kv/a', template: '{{nope}}' },
      { name: 'good', secret: 'kv/a', template: '{{x}}' },
    ],
  });
  const [bad, good] = await set.render(values({ 'read:kv/a': { x: '1' } }), never);
  assert.equal(bad?.error?.code, 'ERR_TEMPLATE_MISSING_KEY');
  assert.equal(bad.content, undefined);
  assert.ok(!bad.error.message.includes("'1'"));
  assert.equal(good?.error, undefined);
  assert.notEqual(good?.content, undefined);
});

test('an invalid inline template is rejected when the set is created', () => {
  for (const [template, code] of [
    ['{{#if', 'ERR_TEMPLATE_SYNTAX'],
    ['{{shout "x"}}', 'ERR_TEMPLATE_HELPER'],
  ]) {
    assert.throws(() => fileSet({ files: [{ name: 'a', template }] }), { code });
  }
});

test('a missing mounted template has no content, and the reload fails', async () => {
  const mounted: Record<string, string> = {};
  const set = fileSet({ files: [{ name: 'a', templateFile: '/t' }] }, mounted);
  await assert.rejects(set.reload(), { code: 'ERR_TEMPLATE_UNREADABLE' });
  const [file] = await set.render(values({}), never);
  assert.equal(file?.error?.code, 'ERR_TEMPLATE_UNREADABLE');
  mounted['/t'] = 'text';
  await set.reload();
  assert.deepEqual(await textOf(set, values({})), ['text']);
  mounted['/t'] = '{{#if';
  await assert.rejects(set.reload(), { code: 'ERR_TEMPLATE_SYNTAX' });
  assert.deepEqual(await textOf(set, values({})), ['text'], 'the last good one stays');
});

test('templates that change together are used together, also if they change between two reads', async () => {
  let version = 1;
  const config = agentConfig({
    files: ['a', 'b', 'c'].map((name) => ({ name, templateFile: `/t/${name}` })),
  });
  let reads = 0;
  const read = (path: string): Promise<string> => {
    reads += 1;
    if (reads === 2) version = 2; // the kubelet swaps the volume after the first file has been read
    return Promise.resolve(`${path} ${version}`);
  };
  const set = createFileSet(config, LOCAL_TEMPLATES, { read });
  await set.reload();
  assert.deepEqual(await textOf(set, values({})), ['/t/a 2', '/t/b 2', '/t/c 2']);
});

test('templates that change at each read are used as they are in the end, and a failed one changes none', async () => {
  let reads = 0;
  const mounted = { read: (path: string) => Promise.resolve(`${path} ${++reads}`) };
  const config = agentConfig({ files: ['a', 'b'].map((name) => ({ name, templateFile: name })) });
  const set = createFileSet(config, LOCAL_TEMPLATES, mounted);
  await set.reload();
  const before = await textOf(set, values({}));
  assert.ok(reads <= 20, `${reads} reads`);
  mounted.read = (path) => Promise.resolve(path === 'a' ? 'newer' : '{{#if');
  const reloading = set.reload();
  assert.deepEqual(await textOf(set, values({})), before, 'not half of them');
  await assert.rejects(reloading, { code: 'ERR_TEMPLATE_SYNTAX' });
  assert.deepEqual(await textOf(set, values({})), before);
});

test('a template file that several files use is watched and read once', async () => {
  let reads = 0;
  const file = (name: string): object => ({ name, templateFile: '/t' });
  const config = agentConfig({ files: [file('a'), file('b')] });
  const read = (): Promise<string> => Promise.resolve(`text ${++reads}`);
  const set = createFileSet(config, LOCAL_TEMPLATES, { read });
  assert.deepEqual(set.templateFiles, ['/t']);
  await set.reload();
  assert.equal(reads, 1);
});

test('an abort ends a rendering with the reason of the signal', async () => {
  const set = fileSet({ files: [{ name: 'a', template: 'text' }] });
  const reason = new Error('the pod ends');
  await assert.rejects(set.render(values({}), AbortSignal.abort(reason)), reason);
});
