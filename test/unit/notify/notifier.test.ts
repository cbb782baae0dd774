import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { test } from 'node:test';
import type { NotifyAction } from '../../../src/config/schema/index.ts';
import { until } from '../../helpers/until.ts';
import { ALWAYS, notifierOf, pass, serve } from './harness.ts';

function post(url: string): NotifyAction {
  return { kind: 'http', method: 'POST', url };
}

test('an action is carried out once, however often it is in the list, and logged once', async (t) => {
  const server = await serve(t, (response) => response.end());
  const { notifier, log, counts } = notifierOf();
  const actions = [post(server.url), post(server.url), { ...post(server.url) }];
  await notifier.notify(actions, ALWAYS);
  assert.deepEqual(server.calls, ['POST /-/reload']);
  assert.deepEqual(log, [
    `info: application notified {"kind":"http","target":"POST ${server.url}"}`,
  ]);
  assert.deepEqual(counts, ['vouchsafe_notifications_total http success']);
});

test('nothing to do is nothing done', async () => {
  const { notifier, log } = notifierOf();
  await notifier.notify([], ALWAYS);
  assert.deepEqual(log, []);
});

test('actions that differ run side by side; one that fails hinders none', async (t) => {
  const waiting: ServerResponse[] = [];
  const server = await serve(t, (response) => {
    waiting.push(response);
    if (waiting.length === 2) for (const one of waiting) one.end();
  });
  const { notifier, counts } = notifierOf();
  await notifier.notify(
    [post(server.url), post('http://10.0.0.1/'), post(`${server.url}/other`)],
    ALWAYS,
  );
  assert.deepEqual(counts.sort(), [
    'vouchsafe_notifications_total http failure',
    'vouchsafe_notifications_total http success',
    'vouchsafe_notifications_total http success',
  ]);
});

test('a failed try is repeated with growing waits, and success is logged once', async (t) => {
  const server = await serve(t, (response) => {
    response.writeHead(server.calls.length < 4 ? 503 : 200).end();
  });
  const { notifier, clock, log } = notifierOf();
  const began = clock.monotonicMs();
  const work = notifier.notify([post(server.url)], ALWAYS);
  await pass(clock, work, 500);
  assert.equal(server.calls.length, 4);
  assert.ok(clock.monotonicMs() - began >= 1000 + 2000 + 4000);
  assert.equal(log.length, 1);
  assert.match(log[0]!, /^info: application notified/);
});

test('after five tries it is given up, logged once, and never thrown', async (t) => {
  const server = await serve(t, (response) => response.writeHead(500).end());
  const { notifier, clock, log, counts } = notifierOf();
  const work = notifier.notify([post(server.url)], ALWAYS);
  await pass(clock, work, 500);
  await work;
  assert.equal(server.calls.length, 5);
  assert.ok(clock.monotonicMs() <= 60_000);
  assert.equal(log.length, 1);
  assert.match(log[0]!, /^warn: application not notified .*"error":"ERR_NOTIFY_STATUS /);
  assert.deepEqual(counts, ['vouchsafe_notifications_total http failure']);
});

test('what can never succeed is not tried again', async () => {
  const { notifier, clock, log } = notifierOf();
  await notifier.notify(
    [post('http://example.org/'), { kind: 'signal', signal: 'SIGKILL', container: 'app' }],
    ALWAYS,
  );
  assert.equal(clock.sleeping, 0);
  assert.deepEqual(
    log.map((line) => /ERR_\w+/.exec(line)?.[0]),
    ['ERR_CONFIG_INVALID', 'ERR_CONFIG_INVALID'],
  );
});

test('any number of requests during a try adds one round', async (t) => {
  const waiting: ServerResponse[] = [];
  const server = await serve(t, (response) => waiting.push(response));
  const { notifier, counts } = notifierOf();
  const first = notifier.notify([post(server.url)], ALWAYS);
  await until(() => waiting.length === 1);
  const others = Array.from({ length: 10 }, () => notifier.notify([post(server.url)], ALWAYS));
  waiting[0]!.end();
  await until(() => waiting.length === 2);
  waiting[1]!.end();
  await Promise.all([first, ...others]);
  assert.equal(server.calls.length, 2);
  assert.equal(counts.length, 2);
});

test('requests between two tries are served by the next one', async (t) => {
  const server = await serve(t, (response) => {
    response.writeHead(server.calls.length === 1 ? 503 : 200).end();
  });
  let waits = 0;
  const random = { next: (): number => (waits += 1) };
  const { notifier, clock, counts } = notifierOf({ random });
  const first = notifier.notify([post(server.url)], ALWAYS);
  await until(() => waits === 1 && clock.sleeping === 1);
  const others = Array.from({ length: 10 }, () => notifier.notify([post(server.url)], ALWAYS));
  await pass(clock, Promise.all([first, ...others]));
  assert.equal(server.calls.length, 2);
  assert.equal(counts.length, 1);
});

test('a request after the end begins again', async (t) => {
  const server = await serve(t, (response) => response.end());
  const { notifier } = notifierOf();
  await notifier.notify([post(server.url)], ALWAYS);
  await notifier.notify([post(server.url)], ALWAYS);
  assert.equal(server.calls.length, 2);
});

test('a newer request has the patience of a new one', async (t) => {
  const { notifier, clock, log } = notifierOf();
  const notify = (): Promise<void> => notifier.notify([post(server.url)], ALWAYS);
  let second: Promise<void> | undefined;
  const server = await serve(t, (response) => {
    if (server.calls.length === 4) second = notify();
    response.writeHead(500).end();
  });
  await pass(clock, notify(), 500);
  await second;
  assert.ok(server.calls.length >= 9, `${server.calls.length}`);
  assert.equal(log.length, 1);
});

test('what is asked for again and again is given up after twenty failures', async (t) => {
  const { notifier, clock, log } = notifierOf();
  const asked: Promise<void>[] = [];
  const ask = (): Promise<void> => notifier.notify([post(server.url)], ALWAYS);
  const server = await serve(t, (response) => {
    asked.push(ask());
    response.writeHead(500).end();
  });
  await pass(clock, ask(), 500);
  await Promise.all(asked);
  assert.equal(server.calls.length, 20);
  assert.equal(log.length, 1);
});

test('an abort during a try or a wait rejects with its reason and leaves nothing behind', async (t) => {
  const reason = new Error('stop');
  for (const status of [undefined, 500]) {
    const server = await serve(t, (response) => {
      if (status !== undefined) response.writeHead(status).end();
    });
    const { notifier, clock, log, counts } = notifierOf();
    const controller = new AbortController();
    const work = notifier.notify([post(server.url)], controller.signal);
    const aborted = assert.rejects(work, (error) => error === reason);
    await until(() => server.calls.length === 1);
    controller.abort(reason);
    await aborted;
    assert.equal(clock.sleeping, 0);
    assert.deepEqual([...log, ...counts], []);
    await assert.rejects(
      notifier.notify([post(server.url)], controller.signal),
      (error) => error === reason,
    );
  }
});

test('when the first of two who ask gives up, the other one goes on', async (t) => {
  const waiting: ServerResponse[] = [];
  const server = await serve(t, (response) => waiting.push(response));
  const { notifier, log } = notifierOf();
  const controller = new AbortController();
  const first = assert.rejects(notifier.notify([post(server.url)], controller.signal));
  await until(() => waiting.length === 1);
  const second = notifier.notify([post(server.url)], ALWAYS);
  controller.abort();
  await first;
  await until(() => waiting.length === 2);
  waiting[1]!.end();
  await second;
  assert.equal(log.length, 1);
});

test('one who joined can give up alone', async (t) => {
  const waiting: ServerResponse[] = [];
  const server = await serve(t, (response) => waiting.push(response));
  const { notifier } = notifierOf();
  const controller = new AbortController();
  const first = notifier.notify([post(server.url)], ALWAYS);
  await until(() => waiting.length === 1);
  const second = assert.rejects(notifier.notify([post(server.url)], controller.signal));
  controller.abort();
  await second;
  waiting[0]!.end();
  await until(() => waiting.length === 2);
  waiting[1]!.end();
  await first;
});

test('no query of a URL is logged', async (t) => {
  const server = await serve(t, (response) => response.end());
  const { notifier, log } = notifierOf();
  await notifier.notify([post(`${server.url}?token=hush`)], ALWAYS);
  assert.doesNotMatch(log.join(), /hush/);
});
