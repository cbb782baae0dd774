import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { podText, run } from './harness.ts';

suite('the command line', () => {
  test('help is not an error', async () => {
    for (const words of [['--help'], ['help'], ['inject', '--help'], ['agent', '--help']]) {
      const { code, out } = await run(words);
      assert.equal(code, 0);
      assert.match(out, /^Usage: vouchsafe/);
    }
  });

  const wrong: readonly (readonly [string, readonly string[]])[] = [
    ['no command', []],
    ['an unknown command', ['injekt']],
    ['an unknown option', ['inject', '--foo']],
    ['an argument too many', ['inject', 'pod.yaml']],
    ['an option without its value', ['inject', '-f']],
    ['render of nothing', ['render']],
    ['render of two things', ['render', '-f', 'a', '--pod', 'b']],
    ['one standard input for two', ['inject', '-f', '-', '--values', '-']],
    ['the same without -f', ['explain', '--values', '-']],
    ['the same for render', ['render', '-f', '-', '--data', '-']],
    ['a port that is none', ['dev', '--oidc-port', '99999']],
    ['a version that is none', ['dev', '--kube-version', 'new']],
  ];
  for (const [name, words] of wrong) {
    test(`exit code 2: ${name}`, async () => {
      const { code, out, errors } = await run(words);
      assert.deepEqual([code, out], [2, '']);
      assert.notEqual(errors, '');
    });
  }

  test('exit code 10: a file that is not there, in every command', async () => {
    for (const words of [
      ['inject', '-f', 'none'],
      ['inject', '--review', '-f', 'none'],
      ['explain', '-f', 'none'],
      ['render', '-f', 'none'],
      ['render', '--pod', 'none'],
      ['dev', '-f', 'none'],
    ]) {
      const { code, errors } = await run(words);
      assert.equal(code, 10);
      assert.equal(errors, 'vouchsafe: ERR_CONFIG_UNREADABLE: cannot read none (ENOENT)\n');
    }
  });

  test('exit code 18: a manifest whose pod is denied or left alone cannot be rendered', async () => {
    const denied = await run(['render', '--pod', '-'], {
      '-': podText({ 'vouchsafe.dev/mode': 'csi' }),
    });
    assert.equal(denied.code, 18);
    assert.match(
      denied.errors,
      /Pod\/web: vouchsafe\.dev\/mode: this installation has no CSI driver/,
    );
    const alone = await run(['render', '--pod', '-'], {
      '-': podText({ 'vouchsafe.dev/inject': 'false' }),
    });
    assert.equal(alone.code, 18);
    const none = await run(['dev', '-f', '-'], { '-': 'kind: Service\n' });
    assert.equal(none.code, 10);
    assert.match(none.errors, /contains no pod and no workload/);
  });
});

suite('explain', () => {
  test('reports where each setting comes from', async () => {
    const namespace = {
      kind: 'Namespace',
      metadata: { name: 'default', annotations: { 'vouchsafe.dev/role': 'of-namespace' } },
    };
    const values = `
defaults: {refresh: 1m}
agent: {image: {repository: registry.example/vouchsafe}}
vault: {connections: {east: {address: "https://east.example:8200"}}}
`;
    const text = `${JSON.stringify(namespace)}\n---\n${podText({ 'vouchsafe.dev/audience': 'mine' })}`;
    const { code, out } = await run(['explain', '-f', '-', '--values', 'v'], {
      '-': text,
      v: values,
    });
    assert.equal(code, 0);
    assert.match(out, /^Pod\/web in namespace default: injected \(requested\)$/m);
    assert.match(out, /^ +audience +mine +pod$/m);
    assert.match(out, /^ +role +of-namespace +namespace$/m);
    assert.match(out, /^ +refresh +1m +installation$/m);
    assert.match(out, /^ +vault +https:\/\/east\.example:8200 +installation$/m);
    assert.match(out, /^ +image +registry\.example\/vouchsafe:0\.1\.0 +installation$/m);
    assert.match(out, /^ +mode +native +built in$/m);
    assert.match(out, /^ +secret-app +kvv2\/app +pod$/m);
    assert.match(out, /^ +initContainers: vouchsafe-agent$/m);
    assert.match(out, /^ +web mounts the files at \/vault\/secrets$/m);
  });

  test('reports that a volume is added, and no agent, in mode csi', async () => {
    const { code, out } = await run(['explain', '-f', '-', '--values', 'v'], {
      '-': podText(),
      v: 'csi: { enabled: true }\ndefaults: { mode: csi }',
    });
    assert.equal(code, 0);
    assert.match(out, /^ +mode +csi +installation$/m);
    assert.match(out, /^ +identity +service-account +built in$/m);
    assert.match(out, /^ +image +\(no agent in the pod\)/m);
    assert.match(out, /^added:\n +volumes: vouchsafe-secrets\n +web mounts the files at/m);
  });

  test('reports why a pod has an agent where csi is the default', async () => {
    const { out } = await run(['explain', '-f', '-', '--values', 'v'], {
      '-': podText({ 'vouchsafe.dev/on-change': 'http:POST http://127.0.0.1:1/' }),
      v: 'csi: { enabled: true }\ndefaults: { mode: csi }',
    });
    assert.match(
      out,
      /^warnings:\n +vouchsafe\.dev\/mode csi of the installation does not fit this/m,
    );
    assert.match(out, /^ +mode +native \(not csi\) +installation$/m);
    assert.match(out, /^ +initContainers: vouchsafe-agent$/m);
  });

  test('what the installation does not say is built in', async () => {
    const { out } = await run(['explain', '-f', '-'], { '-': podText() });
    assert.match(out, /^ +vault +https:\/\/vault\.vault\.svc:8200 +built in$/m);
    assert.match(out, /^ +image +vouchsafe:0\.1\.0 +built in$/m);
  });

  test('says why not', async () => {
    const skipped = await run(['explain', '-f', '-'], {
      '-': podText({ 'vouchsafe.dev/inject': 'false' }),
    });
    assert.equal(skipped.code, 0);
    assert.match(
      skipped.out,
      /skipped \(not_requested\)\n +Neither the pod nor its namespace sets/,
    );
    const denied = await run(['explain', '-f', '-'], {
      '-': podText({ 'vouchsafe.dev/vault': 'https://elsewhere.example' }),
    });
    assert.equal(denied.code, 18);
    assert.match(
      denied.out,
      /denied \(forbidden\)\n +vouchsafe\.dev\/vault: the installation does not allow/,
    );
    const none = await run(['explain', '-f', '-'], { '-': 'kind: Service\n' });
    assert.deepEqual([none.code, none.out], [0, 'no pod in these manifests\n']);
  });
});

suite('render -f', () => {
  const render = (template: string, data: string): ReturnType<typeof run> =>
    run(['render', '-f', 'app.hbs', '--data', 'data'], { 'app.hbs': template, data });
  const DATA = `
user: it's
list: [a, b]
nested: {key: value}
kvv2/app: {password: hunter2}
secrets: {kvv2/deep: {key: below}}
kvv2/names/: [one, two]
kvv2/keys: {keys: [three]}
kvv2/c#sharp: {key: hash}
kvv2/f\\#: {key: escaped}
kvv2/c: {sharp: other}
team/kv/data/app: {data: {key: unwrapped}, metadata: {version: 3, created_time: now}}
kvv2/empty: {}
kvv2/null: null
kvv2/text: text
kvv2/list: [a]
kvv2/gone: {data: null, metadata: {version: 3, created_time: now}}
kvv2/mixed: [a, 1]
jwtSvid: {vault: token}
spiffeId: spiffe://example.org/web
transit/hmac/app input=x: {hmac: h}
`;

  for (const [template, text] of [
    ['{{user}} {{shell user}} {{nested.key}}', "it's 'it'\\''s' value"],
    ['{{#each list}}{{@index}}{{this}}{{#unless @last}},{{/unless}}{{/each}}', '0a,1b'],
    ['{{#with nested as |n|}}{{n.key}}{{/with}}{{#if none}}x{{else}}y{{/if}}', 'valuey'],
    ['{{secret "kvv2/app#password"}} {{secret "kvv2/data/deep#key"}}', 'hunter2 below'],
    ['{{#each (secrets "kvv2/names")}}{{this}} {{/each}}', 'one two '],
    ['{{#each (secrets "kvv2/keys")}}{{this}} {{/each}}', 'three '],
    ['{{secret "kvv2/c\\#sharp#key"}} {{secret "kvv2/c#sharp"}}', 'hash other'],
    ['{{secret "kvv2/f\\##key"}}', 'escaped'],
    ['{{secret "team/kv/app#key"}} {{json (secret "kvv2/empty")}}', 'unwrapped {}'],
    ['{{#with (optionalSecret "kvv2/app")}}{{password}}{{/with}}', 'hunter2'],
    ['{{#with (optionalSecret "kvv2/none")}}x{{else}}none{{/with}}', 'none'],
    ['{{json (optionalSecret "kvv2/gone")}} {{json (optionalSecret "kvv2/null")}}', 'null null'],
    ['{{default (optionalSecret "kvv2/app#none") "none"}}', 'none'],
    [
      '{{#each (secrets "kvv2/keys")}}{{#with (optionalSecret (concat "kvv2/keys/" this))}}x{{/with}}{{/each}}.',
      '.',
    ],
    ['{{jwtSvid "vault"}} {{spiffeId}}', 'token spiffe://example.org/web'],
    ['{{secret "transit/hmac/app#hmac" input="x"}}', 'h'],
    ['{{default nested.none "d"}} {{! no text }}{{{{raw}}}}{{x}}{{{{/raw}}}}', 'd {{x}}'],
  ] as const) {
    test(template, async () => {
      const { code, out, errors } = await render(template, DATA);
      assert.deepEqual([code, out, errors], [0, text, '']);
    });
  }

  const NUMBERS =
    '{"id":1099511627776123456,"amount":1.10,"list":[12345678901234567890,1e21,-0],"1.10":{"2.50":0.50}}';
  const NUMBERS_YAML = [
    'id: 1099511627776123456',
    'amount: +1.10',
    'list: [&big 12345678901234567890, 1e21, -0]',
    '1.10: {2.50: .50}',
  ].join('\n');
  for (const [name, data] of [
    ['JSON', NUMBERS],
    ['YAML', NUMBERS_YAML],
  ] as const) {
    test(`numbers of ${name} keep their digits, as in a pod`, async () => {
      const { code, out, errors } = await render('{{id}} {{amount}} {{json this}}', data);
      assert.deepEqual([code, errors], [0, '']);
      assert.equal(out, `1099511627776123456 1.10 ${NUMBERS}`);
    });
  }

  test('parameters of a write in the name of its answer are as they are sent', async () => {
    const data = 'id: 1.10\n"t/e b=[1.10,{\\"x\\":2.0}] a=1.10": {n: 3.0}\n"t/f a=1 b=2": {n: 4.0}';
    const template =
      '{{secret "t/e#n" b=(list id (object x=2.0)) a=id}} {{secret "t/f#n" b=2 a=1}}';
    const { code, out, errors } = await render(template, data);
    assert.deepEqual([code, out, errors], [0, '3.0 4.0', '']);
  });

  for (const [template, code, message] of [
    [
      'one\n  {{nested.none}}',
      11,
      /app\.hbs:2:5: nested\.none: there is no key none \(keys: key\)/,
    ],
    ['{{secret "kvv2/app#none"}}', 11, /there is no key none in kvv2\/app \(keys: password\)/],
    ['{{json (secret "kvv2/null")}}', 15, /ERR_VAULT_NO_VALUE: .*kvv2\/null is not an object; set/],
    ['{{secret "kvv2/text"}}', 15, /kvv2\/text is not an object; set it as "kvv2\/text": \{/],
    ['{{json (secret "kvv2/list")}}', 15, /kvv2\/list is not an object/],
    ['{{json (secret "kvv2/gone")}}', 15, /kvv2\/gone is a version without data/],
    ['{{#each (secrets "kvv2/mixed")}}{{/each}}', 15, /kvv2\/mixed\/ is not a list of names/],
    ['{{optionalSecret "kvv2/text"}}', 15, /kvv2\/text is not an object/],
    ['{{secret "kvv2/none"}}', 15, /no value for kvv2\/none; add "kvv2\/none"/],
    ['a\n{{none "x"}}', 11, /ERR_TEMPLATE_HELPER: .*app\.hbs:2:3: unknown helper none/],
    ['{{replace "a"}}', 11, /replace takes 3 arguments, not 1/],
    ['{{#if user}}', 11, /ERR_TEMPLATE_SYNTAX: .*app\.hbs:1:/],
    ['{{nested}}', 11, /ERR_TEMPLATE_VALUE: .*an object \(keys: key\) cannot be printed/],
    ['{{required none "say who"}}', 11, /say who/],
    ['{{nested.constructor}}', 11, /there is no key constructor/],
  ] as const) {
    test(`rejected: ${template}`, async () => {
      const { code: found, out, errors } = await render(template, DATA);
      assert.deepEqual([found, out], [code, '']);
      assert.match(errors, message);
      assert.doesNotMatch(errors, /hunter2|below/);
    });
  }

  test('data that cannot be read names its file', async () => {
    const { code, errors } = await render('x', 'a: [');
    assert.equal(code, 10);
    assert.match(errors, /ERR_CONFIG_UNREADABLE: data: not valid JSON or YAML/);
  });

  test('bytes come out as they are', async () => {
    const { code, out } = await render('{{base64Decode blob}}', 'blob: w6k=');
    assert.deepEqual([code, out], [0, 'é']);
  });
});
