import assert from 'node:assert/strict';
import { test } from 'node:test';
import { settle } from '../../helpers/fake-clock.ts';
import { Harness, templateFile } from '../../helpers/agent-harness.ts';
import { failure } from '../../helpers/model-vault.ts';

const MINUTE_MS = 60_000;
const HUP = 'signal:HUP@app';
const RELOAD = 'http:POST http://127.0.0.1:8080/-/reload';

/** A file that holds the user name of a dynamic secret. */
function dbFile(path = 'database/creds/app', name = 'db'): Record<string, unknown> {
  return templateFile(name, `{{#with (secret "${path}")}}{{username}}{{/with}}`);
}

/** A file that holds one key of a plain secret. */
function kvFile(name: string, path = 'kv/app', key = 'a'): Record<string, unknown> {
  return templateFile(name, `{{#with (secret "${path}")}}{{${key}}}{{/with}}`);
}

test('nothing is written while anything is missing', async (t) => {
  const h = new Harness(t);
  h.vault.put('kv/app', { a: '1' });
  h.vault.define('database/creds/app', { kind: 'dynamic', ttlMs: 60 * MINUTE_MS });
  h.vault.intercept = ({ subject }) =>
    subject === 'database/creds/app' ? failure('ERR_VAULT_SEALED') : undefined;
  const { agent } = await h.start({ files: [kvFile('kv'), dbFile()] });
  await h.clock.advance(MINUTE_MS);
  assert.equal(h.writer.writes, 0);
  assert.equal(agent.isDelivered, false);
  h.vault.intercept = () => undefined;
  await h.clock.advance(MINUTE_MS - 1000);
  assert.deepEqual([...h.writer.files.keys()].sort(), ['db', 'kv']);
  assert.equal(h.writer.swaps, 1);
  assert.ok(agent.isDelivered);
});

test('paths may depend on values that were read before', async (t) => {
  const h = new Harness(t);
  h.vault.put('kv/index', { next: 'kv/middle' });
  h.vault.put('kv/middle', { next: 'kv/leaf' });
  h.vault.put('kv/leaf', { a: 'found' });
  const template = `{{#with (secret "kv/index")}}{{#with (secret next)}}{{#with (secret next)}}{{a}}{{/with}}{{/with}}{{/with}}`;
  await h.start({ files: [templateFile('chain', template)] });
  await h.clock.advance(1000);
  assert.equal(h.writer.get('chain'), 'found');
  assert.equal(h.vault.count('fetch'), 3);
});

test('a set waits for all that it awaits and is written once', async (t) => {
  const h = new Harness(t);
  const paths = Array.from({ length: 50 }, (_, index) => `kv/app-${index}`);
  for (const path of paths) h.vault.put(path, { a: path });
  await h.start({ files: paths.map((path, index) => kvFile(`f${index}`, path)) });
  await h.clock.advance(1000);
  assert.equal(h.writer.swaps, 1);
  assert.equal(h.writer.files.size, 50);
});

test('templates that generate paths endlessly are rejected', async (t) => {
  const h = new Harness(t);
  const chain = Array.from({ length: 130 }, () => '{{#with (secret next)}}').join('');
  const ends = Array.from({ length: 130 }, () => '{{/with}}').join('');
  for (let index = 0; index < 200; index += 1) {
    h.vault.put(`kv/${index}`, { next: `kv/${index + 1}` });
  }
  const template = `{{#with (secret "kv/0")}}${chain}x${ends}{{/with}}`;
  const running = await h.start({ files: [templateFile('endless', template)] });
  await running.end();
  assert.match(String(running.outcome?.error), /after 100 passes/);
  assert.equal(h.writer.writes, 0);
});

test('the first delivery notifies nothing; later ones notify per file and per set', async (t) => {
  const h = new Harness(t);
  h.vault.put('kv/a', { a: '1' });
  h.vault.put('kv/b', { a: '1' });
  await h.start({
    files: [
      { ...kvFile('one', 'kv/a'), onChange: [HUP] },
      { ...kvFile('two', 'kv/b'), onChange: ['restart@app'] },
    ],
    onChange: [RELOAD],
  });
  await h.clock.advance(10 * MINUTE_MS);
  assert.equal(h.notifier.notified.length, 0);
  h.vault.put('kv/a', { a: '2' });
  await h.clock.advance(6 * MINUTE_MS);
  assert.equal(h.writer.get('one'), '2');
  assert.deepEqual(
    h.notifier.notified.map((actions) => actions.map(({ kind }) => kind)),
    [['signal', 'http']],
  );
});

test('a refresh that changes no bytes neither writes nor notifies', async (t) => {
  const h = new Harness(t);
  h.vault.put('kv/app', { a: '1', other: 'x' });
  await h.start({ files: [kvFile('kv')], onChange: [HUP] });
  await h.clock.advance(1000);
  h.vault.put('kv/app', { a: '1', other: 'y' });
  await h.clock.advance(6 * MINUTE_MS);
  assert.equal(h.writer.swaps, 1);
  assert.deepEqual(h.notifier.notified, []);
});

test('a failed write keeps the old files, is retried, and notifies the application when it succeeds', async (t) => {
  const h = new Harness(t);
  h.vault.put('kv/app', { a: '1' });
  const { agent } = await h.start({ files: [kvFile('kv')], onChange: [HUP] });
  await h.clock.advance(1000);
  h.writer.failure = failure('ERR_OUTPUT_FULL');
  h.vault.put('kv/app', { a: '2' });
  await h.clock.advance(10 * MINUTE_MS);
  const tries = h.writer.writes;
  assert.equal(h.writer.get('kv'), '1');
  assert.ok(tries > 5 && tries < 40, `${tries} tries`);
  assert.equal(agent.status().phase, 'degraded');
  assert.equal(h.logger.lines.filter(({ message }) => /not delivered/.test(message)).length, 1);
  assert.ok((agent.status().files[0]?.age_seconds ?? 0) > 500, 'the age of the file shows');
  h.writer.failure = undefined;
  await h.clock.advance(MINUTE_MS);
  assert.equal(h.writer.get('kv'), '2');
  assert.equal(h.notifier.notified.length, 1);
  assert.equal(agent.status().phase, 'ready');
});

test('an old lease is revoked only after swap, notification and grace period', async (t) => {
  const h = new Harness(t);
  h.vault.define('database/creds/app', {
    kind: 'dynamic',
    ttlMs: 10 * MINUTE_MS,
    maxTtlMs: 25 * MINUTE_MS,
  });
  await h.start({ files: [dbFile()], onChange: [HUP], revokeGrace: '30s' });
  await h.clock.advance(1000);
  const first = h.writer.get('db') ?? '';
  const notified = Promise.withResolvers<undefined>();
  h.notifier.before = async () => {
    await notified.promise;
  };
  while (h.writer.get('db') === first) {
    assert.ok(h.vault.isGood(first));
    await h.clock.advance(1000);
  }
  await h.clock.advance(31_000);
  assert.equal(h.vault.count('revokeLease'), 0, 'the application has not been notified yet');
  notified.resolve(undefined);
  await h.clock.advance(29_000);
  assert.equal(h.vault.count('revokeLease'), 0, 'the grace has not passed yet');
  await h.clock.advance(2000);
  assert.deepEqual(
    [h.vault.count('revokeLease', `lease-${first}`), h.vault.isGood(first)],
    [1, false],
  );
  assert.equal(h.vault.good, 1);
});

test('an old token is revoked only after the notification, although the files are compared meanwhile', async (t) => {
  const h = new Harness(t);
  h.vault.tokenRenewable = false;
  h.vault.define('database/creds/app', { kind: 'dynamic', ttlMs: 24 * 60 * MINUTE_MS });
  await h.start({ files: [dbFile()], onChange: [HUP], revokeGrace: '30s' });
  await h.clock.advance(1000);
  const first = h.writer.get('db') ?? '';
  const notified = Promise.withResolvers<undefined>();
  h.notifier.before = async () => {
    await notified.promise;
  };
  while (h.writer.get('db') === first) await h.clock.advance(MINUTE_MS);
  const { writes } = h.writer;
  await h.clock.advance(7 * MINUTE_MS);
  assert.ok(h.writer.writes > writes, 'compared');
  assert.ok(h.vault.isGood(first), 'the application has not been notified yet');
  notified.resolve(undefined);
  await h.clock.advance(31_000);
  assert.deepEqual([h.vault.isGood(first), h.vault.liveTokens], [false, 1]);
});

test('while the new credential cannot be written, the old one is not revoked', async (t) => {
  const h = new Harness(t);
  h.vault.define('database/creds/app', {
    kind: 'dynamic',
    ttlMs: 10 * MINUTE_MS,
    maxTtlMs: 25 * MINUTE_MS,
  });
  await h.start({ files: [dbFile()], revokeGrace: '0s' });
  await h.clock.advance(1000);
  h.writer.failure = failure('ERR_OUTPUT_FULL');
  await h.clock.advance(24 * MINUTE_MS);
  assert.equal(h.vault.count('fetch'), 2, 'the new one is there');
  assert.equal(h.vault.count('revokeLease'), 0);
  assert.ok(h.vault.isGood(h.writer.get('db') ?? ''));
});

test('a credential that is replaced during a write stays good until the next write succeeds', async (t) => {
  const h = new Harness(t);
  h.vault.tokenRenewable = false;
  for (const name of ['a', 'b']) {
    h.vault.define(`database/creds/${name}`, { kind: 'dynamic', ttlMs: 24 * 60 * MINUTE_MS });
  }
  const files = ['a', 'b'].map((name) => dbFile(`database/creds/${name}`, name));
  await h.start({ files, revokeGrace: '0s' });
  await h.clock.advance(1000);
  const old = new Map(h.writer.files);
  const gate = Promise.withResolvers<undefined>();
  h.vault.intercept = ({ subject }) => (subject === 'database/creds/b' ? gate.promise : undefined);
  let isFull = true;
  h.writer.before = async (texts) => {
    if (texts.get('b') !== old.get('b') && isFull) throw failure('ERR_OUTPUT_FULL');
    if (texts.get('a') === old.get('a')) return;
    gate.resolve(undefined); // the new b comes while the set with the old one is written
    await settle();
  };
  await h.clock.advance(52 * MINUTE_MS);
  assert.deepEqual([h.vault.count('login'), h.vault.count('fetch')], [2, 4]);
  assert.notEqual(h.writer.get('a'), old.get('a'));
  assert.equal(h.writer.get('b'), old.get('b'));
  assert.ok(h.vault.isGood(old.get('b') ?? ''), 'the old token lives as long as a file needs it');
  isFull = false;
  await h.clock.advance(2 * MINUTE_MS);
  assert.ok(h.vault.isGood(h.writer.get('b') ?? ''));
  assert.deepEqual([h.vault.good, h.vault.liveTokens], [2, 1]);
});

test('a token without leases is revoked after the next login', async (t) => {
  const h = new Harness(t);
  h.vault.put('kv/app', { a: '1' });
  h.vault.tokenRenewable = false;
  await h.start({ files: [kvFile('kv')] });
  await h.clock.advance(53 * MINUTE_MS);
  assert.deepEqual([h.vault.count('login'), h.vault.count('revokeToken')], [2, 1]);
  assert.deepEqual([h.vault.liveTokens, h.writer.swaps], [1, 1]);
});

test('a file that cannot be rendered any more keeps its bytes and holds up no other', async (t) => {
  const h = new Harness(t);
  h.vault.put('kv/app', { a: '1' });
  h.vault.define('database/creds/app', {
    kind: 'dynamic',
    ttlMs: 10 * MINUTE_MS,
    maxTtlMs: 25 * MINUTE_MS,
  });
  const { agent } = await h.start({ files: [kvFile('kv'), dbFile()], onChange: [HUP] });
  await h.clock.advance(1000);
  h.vault.put('kv/app', { b: '2' });
  for (let minute = 0; minute < 120; minute += 1) {
    await h.clock.advance(MINUTE_MS);
    assert.ok(h.vault.isGood(h.writer.get('db') ?? ''), `minute ${minute}`);
  }
  assert.equal(h.writer.get('kv'), '1');
  const status = agent.status();
  assert.equal(status.phase, 'degraded');
  assert.equal(status.errors[0]?.code, 'ERR_TEMPLATE_MISSING_KEY');
  const ages = Object.fromEntries(status.files.map((file) => [file.name, file.age_seconds]));
  assert.ok(
    (ages['kv'] ?? 0) > 3600 && (ages['db'] ?? Infinity) < 1200,
    'each file has its own age',
  );
  h.vault.put('kv/app', { a: '3' });
  await h.clock.advance(6 * MINUTE_MS);
  assert.equal(h.writer.get('kv'), '3');
  assert.equal(agent.status().phase, 'ready');
});

test('files that share a credential always match, and their credential is not revoked', async (t) => {
  const h = new Harness(t);
  h.vault.put('kv/app', { a: '1' });
  h.vault.define('database/creds/app', {
    kind: 'dynamic',
    ttlMs: 10 * MINUTE_MS,
    maxTtlMs: 25 * MINUTE_MS,
  });
  const both = templateFile(
    'both',
    '{{#with (secret "kv/app")}}{{a}}{{/with}} {{#with (secret "database/creds/app")}}{{username}}{{/with}}',
  );
  await h.start({ files: [both, dbFile()], revokeGrace: '0s' });
  await h.clock.advance(1000);
  const first = h.writer.get('db') ?? '';
  h.vault.put('kv/app', { b: '2' });
  await h.clock.advance(24 * MINUTE_MS);
  assert.equal(h.vault.count('fetch', 'database/creds/app'), 2);
  assert.equal(h.writer.get('db'), first);
  assert.equal(h.writer.get('both'), `1 ${first}`);
  assert.ok(h.vault.isGood(first));
  h.vault.put('kv/app', { a: '3' });
  await h.clock.advance(6 * MINUTE_MS);
  const second = h.writer.get('db') ?? '';
  assert.notEqual(second, first);
  assert.equal(h.writer.get('both'), `3 ${second}`);
  assert.equal(h.vault.isGood(first), false);
});

test('a mounted template that changes is rendered again, and leases it no longer uses are revoked', async (t) => {
  const h = new Harness(t);
  h.vault.put('kv/app', { a: '1' });
  h.vault.define('database/creds/app', { kind: 'dynamic', ttlMs: 60 * MINUTE_MS });
  h.templates.set('/t', '{{#with (secret "database/creds/app")}}{{username}}{{/with}}');
  await h.start({ files: [{ name: 'f', templateFile: '/t' }], revokeGrace: '0s' });
  await h.clock.advance(1000);
  assert.ok(h.vault.isGood(h.writer.get('f') ?? ''));
  assert.equal(h.logger.lines.filter(({ level }) => level === 'error').length, 0);
  h.templates.set('/t', '{{#with (secret "kv/app")}}{{a}}{{/with}}');
  h.templatesChanged.set(undefined);
  await h.clock.advance(1000);
  assert.equal(h.writer.get('f'), '1');
  assert.equal(h.vault.good, 0, 'the lease that nobody uses is revoked at once');
});

test('a corrected mounted template ends the wait for the dependencies of the previous one', async (t) => {
  const h = new Harness(t);
  h.vault.put('kv/app', { a: '1' });
  h.vault.define('kv/typo', {
    kind: 'answer',
    answer: () => {
      throw failure('ERR_VAULT_NOT_FOUND');
    },
  });
  h.templates.set('/t', '{{#with (secret "kv/typo")}}{{a}}{{/with}}');
  await h.start({ files: [{ name: 'f', templateFile: '/t' }] });
  await h.clock.advance(10_000);
  h.templates.set('/t', '{{#with (secret "kv/app")}}{{a}}{{/with}}');
  h.templatesChanged.set(undefined);
  await h.clock.advance(1000);
  assert.equal(h.writer.get('f'), '1');
});

test('a mounted template that breaks keeps the last good one', async (t) => {
  const h = new Harness(t);
  h.vault.put('kv/app', { a: '1' });
  h.templates.set('/t', '{{#with (secret "kv/app")}}{{a}}{{/with}}');
  const { agent } = await h.start({ files: [{ name: 'f', templateFile: '/t' }] });
  await h.clock.advance(1000);
  h.templates.set('/t', '{{#with');
  h.templatesChanged.set(undefined);
  h.vault.put('kv/app', { a: '2' });
  await h.clock.advance(6 * MINUTE_MS);
  assert.equal(h.writer.get('f'), '2');
  assert.equal(agent.status().errors[0]?.code, 'ERR_TEMPLATE_SYNTAX');
});

test('X.509-SVID files of one moment are written together', async (t) => {
  const h = new Harness(t);
  h.identity.rotate('one');
  await h.start({ vault: undefined, auth: undefined, x509Svid: true });
  await h.clock.advance(1000);
  assert.deepEqual(
    [h.writer.get('svid.pem'), h.writer.get('svid_key.pem')],
    ['svid one', 'key one'],
  );
  h.identity.rotate('two');
  await h.clock.advance(1000);
  assert.deepEqual(
    [h.writer.get('svid.pem'), h.writer.get('svid_key.pem')],
    ['svid two', 'key two'],
  );
  assert.equal(h.writer.swaps, 2);
});

test('a federation that begins or ends adds or removes its file in one swap, and the application is notified', async (t) => {
  const h = new Harness(t);
  h.identity.rotate('one');
  const { agent } = await h.start({
    vault: undefined,
    auth: undefined,
    x509Svid: { bundleMode: '0444', onChange: ['signal:HUP@app'] },
  });
  await h.clock.advance(1000);
  const names = (): readonly string[] => [...h.writer.files.keys()].sort();
  const own = ['bundle.pem', 'svid.pem', 'svid_key.pem'];
  assert.deepEqual([names(), h.writer.swaps, h.notifier.notified.length], [own, 1, 0]);
  h.identity.federateWith('partner.example', 'other.example');
  h.identity.rotate('one');
  await h.clock.advance(MINUTE_MS);
  assert.deepEqual(names(), ['bundle-other.example.pem', 'bundle-partner.example.pem', ...own]);
  assert.equal(h.writer.get('bundle-partner.example.pem'), 'bundle of partner.example');
  assert.equal(h.writer.get('bundle.pem'), 'bundle');
  assert.deepEqual([h.writer.swaps, h.notifier.notified.length], [2, 1]);
  h.identity.federateWith('other.example');
  h.identity.rotate('one');
  await h.clock.advance(MINUTE_MS);
  assert.deepEqual(names(), ['bundle-other.example.pem', ...own]);
  assert.deepEqual([h.writer.swaps, h.notifier.notified.length], [3, 2]);
  const listed = agent.status().files.map(({ path }) => path);
  assert.deepEqual(listed.sort(), names());
});

test('more federated trust domains than have files degrade the agent, and do not keep a new SVID back', async (t) => {
  const h = new Harness(t);
  h.identity.federateWith(...Array.from({ length: 101 }, (_, index) => `d${index}.example`));
  h.identity.rotate('one');
  const { agent } = await h.start({ vault: undefined, auth: undefined, x509Svid: true });
  await h.clock.advance(1000);
  assert.equal(h.writer.files.size, 103);
  assert.deepEqual(
    agent.status().errors.map(({ code }) => code),
    ['ERR_SPIFFE_BUNDLES'],
  );
  h.identity.rotate('two');
  await h.clock.advance(MINUTE_MS);
  assert.equal(h.writer.get('svid.pem'), 'svid two');
  h.identity.federateWith('d0.example');
  h.identity.rotate('two');
  await h.clock.advance(MINUTE_MS);
  assert.deepEqual([h.writer.files.size, agent.status().errors], [4, []]);
});

test('credentials that are replaced together are swapped and notified together', async (t) => {
  const h = new Harness(t);
  const names = Array.from({ length: 20 }, (_, index) => `role-${index}`);
  for (const name of names) {
    h.vault.define(`database/creds/${name}`, { kind: 'dynamic', ttlMs: 60 * MINUTE_MS });
  }
  await h.start({
    files: names.map((name) => dbFile(`database/creds/${name}`, name)),
    onChange: ['restart@app'],
  });
  await h.clock.advance(1000);
  assert.equal(h.writer.swaps, 1);
  let delayMs = 0;
  h.vault.intercept = async ({ operation }) => {
    delayMs = (delayMs + 37) % 200;
    if (operation === 'fetch') await h.clock.sleep(delayMs, new AbortController().signal);
    return undefined;
  };
  h.vault.revokeTokens();
  await h.clock.advance(45 * MINUTE_MS);
  assert.equal(h.vault.count('fetch'), 40);
  assert.equal(h.writer.swaps, 2);
  assert.equal(h.notifier.notified.length, 1);
});

test('a read that hangs does not delay the delivery of the others', async (t) => {
  const h = new Harness(t);
  h.vault.put('kv/a', { a: '1' });
  h.vault.put('kv/b', { a: '1' });
  await h.start({ files: [kvFile('one', 'kv/a'), kvFile('two', 'kv/b')] });
  await h.clock.advance(1000);
  h.vault.put('kv/a', { a: '2' });
  const hanging = Promise.withResolvers<undefined>();
  h.vault.intercept = ({ subject }) => (subject === 'kv/b' ? hanging.promise : undefined);
  await h.clock.advance(6 * MINUTE_MS);
  assert.equal(h.writer.get('one'), '2');
  hanging.resolve(undefined);
});

for (const [refresh, afterMs] of [
  ['1s', 10_000],
  ['90s', 90_000],
  ['1h', 5 * MINUTE_MS],
] as const) {
  test(`missing files are written again without a notification: refresh ${refresh}`, async (t) => {
    const h = new Harness(t);
    h.vault.put('kv/app', { a: '1' });
    const files = [
      { ...kvFile('kv'), refresh },
      { ...kvFile('too'), refresh: '1h' },
    ];
    const { agent } = await h.start({ files, onChange: [HUP] });
    await h.clock.advance(1000);
    h.writer.files.clear();
    await h.clock.advance(afterMs - 3000);
    assert.equal(h.writer.get('kv'), undefined);
    await h.clock.advance(5000);
    assert.deepEqual([h.writer.get('kv'), h.writer.get('too')], ['1', '1']);
    h.writer.files.set('kv', 'meddled with');
    await h.clock.advance(afterMs + 2000);
    assert.equal(h.writer.get('kv'), '1');
    assert.equal(h.writer.swaps, 3);
    assert.deepEqual(h.notifier.notified, []);
    assert.ok(
      h.logger.lines.some(({ message }) => message.includes('differed from what was delivered')),
    );
    assert.equal(agent.status().phase, 'ready');
    assert.equal(h.vault.count('login'), 1);
  });
}

test('a volume that is emptied while a value changes: the application is notified once', async (t) => {
  const h = new Harness(t);
  h.vault.put('kv/app', { a: '1' });
  const { agent } = await h.start({ files: [{ ...kvFile('kv'), refresh: '1m' }], onChange: [HUP] });
  await h.clock.advance(1000);
  h.writer.files.clear();
  h.writer.failure = failure('ERR_OUTPUT_IO');
  h.vault.put('kv/app', { a: '2' });
  await h.clock.advance(5 * MINUTE_MS);
  assert.equal(agent.status().errors[0]?.code, 'ERR_OUTPUT_IO');
  h.writer.failure = undefined;
  await h.clock.advance(2 * MINUTE_MS);
  assert.equal(h.writer.get('kv'), '2');
  assert.equal(agent.status().phase, 'ready');
  assert.equal(h.notifier.notified.length, 1);
});

test('while all is well comparing swaps nothing, and before the first delivery there is nothing to compare', async (t) => {
  const h = new Harness(t);
  h.vault.put('kv/app', { b: '1' });
  await h.start({
    files: [{ ...kvFile('kv'), refresh: '10s' }],
    onChange: [HUP],
    initDeadline: '1h',
  });
  await h.clock.advance(MINUTE_MS);
  assert.equal(h.writer.swaps, 0);
  h.vault.put('kv/app', { a: '1' });
  await h.clock.advance(10 * MINUTE_MS);
  assert.deepEqual(h.writer.get('kv'), '1');
  assert.ok(h.writer.writes <= 62, `${h.writer.writes} writes`);
  assert.deepEqual(h.notifier.notified, []);
});
