import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cachedNamespaces } from '../../../src/kubernetes/index.ts';
import { FakeClock } from '../../helpers/fake-clock.ts';

const SIGNAL = new AbortController().signal;

interface Fake {
  calls: number;
  isDown: boolean;
  readonly read: (name: string) => Promise<Record<string, string>>;
}

function fakeApi(): Fake {
  const fake: Fake = {
    calls: 0,
    isDown: false,
    read: (name) => {
      fake.calls += 1;
      if (fake.isDown) return Promise.reject(new Error('down'));
      return Promise.resolve({ name, call: String(fake.calls) });
    },
  };
  return fake;
}

test('an answer is fresh for half a minute', async () => {
  const [clock, api] = [new FakeClock(), fakeApi()];
  const namespaces = cachedNamespaces(api.read, clock);
  await namespaces('a', SIGNAL);
  await clock.advance(29_999);
  assert.equal((await namespaces('a', SIGNAL))['call'], '1');
  await clock.advance(1);
  assert.equal((await namespaces('a', SIGNAL))['call'], '2');
});

test('namespaces do not meet', async () => {
  const namespaces = cachedNamespaces(fakeApi().read, new FakeClock());
  assert.equal((await namespaces('a', SIGNAL))['name'], 'a');
  assert.equal((await namespaces('b', SIGNAL))['name'], 'b');
});

test('the last answer stands in for ten minutes, then the error is thrown', async () => {
  const [clock, api] = [new FakeClock(), fakeApi()];
  const namespaces = cachedNamespaces(api.read, clock);
  await namespaces('a', SIGNAL);
  api.isDown = true;
  await clock.advance(9 * 60_000);
  assert.equal((await namespaces('a', SIGNAL))['call'], '1');
  await clock.advance(60_000);
  await assert.rejects(namespaces('a', SIGNAL), /down/);
  await assert.rejects(namespaces('never-seen', SIGNAL), /down/);
});

test('however many namespaces are asked for, few are kept', async () => {
  const api = fakeApi();
  const namespaces = cachedNamespaces(api.read, new FakeClock());
  for (let index = 0; index <= 5000; index += 1) await namespaces(`n${index}`, SIGNAL);
  const before = api.calls;
  await namespaces('n5000', SIGNAL);
  assert.equal(api.calls, before);
  await namespaces('n0', SIGNAL);
  assert.equal(api.calls, before + 1);
});
