/** Reviews of one namespace beside those of another, over the real server. */
import assert from 'node:assert/strict';
import { Agent } from 'node:https';
import { test } from 'node:test';
import { parseInstallation } from '../../../src/config/installation/index.ts';
import type { CheckTemplate } from '../../../src/contracts/index.ts';
import { MUTATE, reviewBody, startWebhook } from './harness.ts';

interface Answer {
  readonly response: {
    readonly allowed: boolean;
    readonly status?: { readonly code: number; readonly details?: object };
  };
}

function bodyOf(namespace: string, template: string): string {
  const review = JSON.parse(reviewBody({ 'vouchsafe.dev/template-app': template })) as {
    readonly request: object;
  };
  return JSON.stringify({ ...review, request: { ...review.request, namespace } });
}

function answerOf(body: string): Answer['response'] {
  return (JSON.parse(body) as Answer).response;
}

/** A slow template check that records the order of its calls. */
function slowCheck(): { readonly order: string[]; readonly checkTemplate: CheckTemplate } {
  const order: string[] = [];
  const checkTemplate: CheckTemplate = (source) => {
    order.push(source.slice(0, 2));
    const end = performance.now() + 30;
    while (performance.now() < end);
    return { problems: [], dependencies: [] };
  };
  return { order, checkTemplate };
}

test('six expensive reviews of one namespace delay a review of another by at most one of them', async (t) => {
  const { order, checkTemplate } = slowCheck();
  const webhook = await startWebhook(t, { checkTemplate });
  // The API server keeps its connections, too.
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  t.after(() => agent.destroy());
  await webhook.send({ ...MUTATE, agent }, bodyOf('neighbour', 'b0'));
  const dear = [1, 2, 3, 4, 5, 6].map((index) =>
    webhook.send(MUTATE, bodyOf('greedy', `a${index}`)),
  );
  await Promise.race(dear);
  const before = order.length;
  const { body } = await webhook.send({ ...MUTATE, agent }, bodyOf('neighbour', 'b1'));
  assert.equal(answerOf(body).allowed, true);
  assert.ok(before < 6);
  for (const { body: one } of await Promise.all(dear)) assert.equal(answerOf(one).allowed, true);
  // One may be under way when the request comes, and one more may have its turn first.
  assert.ok(order.indexOf('b1') <= before + 2, order.join());
});

test('a probe is answered between two reviews', async (t) => {
  const { order, checkTemplate } = slowCheck();
  const webhook = await startWebhook(t, { checkTemplate });
  const dear = [1, 2, 3, 4, 5, 6].map((index) =>
    webhook.send(MUTATE, bodyOf('greedy', `a${index}`)),
  );
  await Promise.race(dear);
  assert.equal((await fetch(`${webhook.healthUrl}/healthz`)).status, 200);
  assert.ok(order.length < 6, order.join());
  await Promise.all(dear);
});

test('a namespace with too many waiting reviews gets 429; others are not affected', async (t) => {
  const { checkTemplate } = slowCheck();
  const installation = parseInstallation({ webhook: { maxBodyBytes: 8 << 20 } });
  const webhook = await startWebhook(t, { checkTemplate, installation });
  // Three of these are more than one namespace may queue.
  const large = { 'vouchsafe.dev/template-app': 'a' };
  const review = JSON.parse(reviewBody(large)) as {
    readonly request: { readonly object: { readonly metadata: object } };
  };
  const { request } = review;
  const metadata = { ...request.object.metadata, x: 'x'.repeat(3 << 20) };
  const object = { ...request.object, metadata };
  const body = JSON.stringify({ ...review, request: { ...request, namespace: 'greedy', object } });
  const greedy = Array.from({ length: 12 }, () => webhook.send(MUTATE, body));
  await Promise.race(greedy);
  const neighbour = await webhook.send(MUTATE, bodyOf('neighbour', 'b'));
  assert.equal(answerOf(neighbour.body).allowed, true);
  const answers = (await Promise.all(greedy)).map((reply) => answerOf(reply.body));
  assert.ok(answers.some(({ allowed }) => allowed));
  for (const { allowed, status } of answers) {
    if (allowed) continue;
    assert.equal(status?.code, 429);
    assert.deepEqual(status.details, { retryAfterSeconds: 1 });
  }
});

test('a body of too many parts is rejected before it is parsed', async (t) => {
  const webhook = await startWebhook(t);
  const { status, body } = await webhook.send(MUTATE, `[${'[],'.repeat(70_000)}[]]`);
  assert.equal(status, 413);
  assert.match(body, /more than 65536 parts/);
  assert.equal((await webhook.send(MUTATE, reviewBody())).status, 200);
});
