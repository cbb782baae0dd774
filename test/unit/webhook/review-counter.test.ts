import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMetrics } from '../../../src/platform/index.ts';
import { createReviewCounter } from '../../../src/webhook/review-counter.ts';
import { MUTATE, reviewBody, startWebhook } from './harness.ts';

/** Values of the label `namespace`. */
function labelsIn(exposed: string): readonly string[] {
  const found = exposed.matchAll(/^vouchsafe_admission_total\{namespace="([^"]*)"/gm);
  return [...new Set([...found].map(([, label = '']) => label))];
}

test('namespaces that are not known share one label, however many are made up', async () => {
  const metrics = createMetrics();
  const count = createReviewCounter(metrics, (name) => name === 'shop');
  for (let index = 0; index < 5000; index += 1) count(`made-up-${index}`, 'denied', 'invalid');
  for (const name of [undefined, '', 'a\nb', '__proto__']) count(name, 'denied', 'invalid');
  count('shop', 'injected', 'requested');
  const exposed = await metrics.expose();
  assert.deepEqual(labelsIn(exposed), ['unknown', 'shop']);
  assert.match(exposed, /namespace="unknown",outcome="denied",reason="invalid"\} 5004/);
});

test('labels of known namespaces are limited, and a deleted one makes room for another', async () => {
  const metrics = createMetrics();
  const known = new Set(Array.from({ length: 1001 }, (_, index) => `n-${index}`));
  const count = createReviewCounter(metrics, (name) => known.has(name));
  for (const name of known) count(name, 'injected', 'requested');
  assert.equal(labelsIn(await metrics.expose()).length, 1001);
  assert.ok(labelsIn(await metrics.expose()).includes('other'));
  known.delete('n-0');
  count('n-1000', 'injected', 'requested');
  const labels = labelsIn(await metrics.expose());
  assert.ok(labels.includes('n-1000') && !labels.includes('n-0'));
});

test('reviews of made-up namespaces and malformed requests have the same label', async (t) => {
  const webhook = await startWebhook(t);
  for (const namespace of ['made-up', 'kube-system', 'x"} 1']) {
    const review = JSON.parse(reviewBody()) as { request: object };
    Object.assign(review.request, { namespace });
    await webhook.send(MUTATE, JSON.stringify(review));
  }
  await webhook.send(MUTATE, 'nonsense');
  await webhook.send(MUTATE, reviewBody());
  const exposed = await (await fetch(`${webhook.healthUrl}/metrics`)).text();
  assert.deepEqual([...labelsIn(exposed)].sort(), ['shop', 'unknown']);
});
