/** A successor continues with the digits of its predecessor's numbers. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { StateFile } from '../../../src/agent/index.ts';
import type { LiveState } from '../../../src/agent/saved-state.ts';
import { digestOf } from '../../../src/agent/fingerprints.ts';
import { dependencyKey, JsonText, parseExactJson } from '../../../src/core/index.ts';
import { FakeClock } from '../../helpers/fake-clock.ts';
import { tempDirectory } from '../../helpers/temp-directory.ts';

const DATA =
  '{"id":1099511627776123456,"amount":1.10,"list":[1e400,-0,{"n":12345678901234567890}]}';

test('values, long values and parameters of writes are resumed with the digits of their numbers', (t) => {
  const clock = new FakeClock();
  const directory = join(tempDirectory(t), 'state');
  const params = parseExactJson(DATA) as Record<string, string>; // any JSON
  const plan = {
    dependency: { kind: 'write', path: 't/e', params } as const,
    refreshMs: 1,
    lease: null,
    action: 'fetch',
    dueInMs: null,
    expiresInMs: null,
  } as const;
  const long = JsonText.of({ number: parseExactJson(DATA), text: 'x'.repeat(10_000) });
  const state: LiveState = {
    kind: 'live',
    identity: '',
    connection: '',
    logins: 0,
    isDelivered: false,
    isRevoked: false,
    told: {},
    retired: [],
    session: null,
    values: [{ ...plan, value: parseExactJson(DATA) }],
    longValues: [{ ...plan, json: long }],
  };
  new StateFile(directory, clock).save(state);
  const loaded = new StateFile(directory, clock).load()?.state;
  assert.equal(JSON.stringify(loaded?.values[0]?.value), DATA);
  assert.deepEqual(loaded?.values, state.values);
  assert.deepEqual(loaded.longValues[0]?.json.parse(), long.parse());
  const [saved] = loaded.values;
  assert.equal(saved && dependencyKey(saved.dependency), dependencyKey(plan.dependency));
});

test('digests differ where digits do', () => {
  assert.notEqual(digestOf(parseExactJson('[1.10]')), digestOf(parseExactJson('[1.1]')));
  assert.notEqual(digestOf(parseExactJson('[1e21]')), digestOf(parseExactJson('["1e21"]')));
});
