import assert from 'node:assert/strict';
import { test } from 'node:test';
import { apiError, listOldNodes, type KubernetesApi } from '../../../src/kubernetes/index.ts';
import { FakeClock, settle } from '../../helpers/fake-clock.ts';
import { recordingLogger } from '../../helpers/recorder.ts';

type Query = Readonly<Record<string, string>>;

function node(name: string, kubeletVersion: unknown, labels?: unknown): object {
  return { metadata: { name, labels }, status: { nodeInfo: { kubeletVersion } } };
}

/** An API with pages of nodes; while `isAway` it answers 403. */
function bench(pages: readonly (readonly unknown[])[]) {
  const clock = new FakeClock();
  const logger = recordingLogger();
  const controller = new AbortController();
  const queries: Query[] = [];
  const state = { isAway: false, pages };
  const api: KubernetesApi = {
    send: ({ method, path, query = {} }) => {
      assert.deepEqual([method, path], ['GET', '/api/v1/nodes']);
      queries.push(query);
      if (state.isAway) return Promise.reject(apiError({ method, path }, 403));
      const at = Number(query['continue'] ?? 0);
      const isLast = at + 1 >= state.pages.length;
      const metadata = isLast ? {} : { continue: String(at + 1) };
      return Promise.resolve({ metadata, items: state.pages[at] });
    },
    watch: () => Promise.reject(new Error('nodes are not watched')),
  };
  const nodes = listOldNodes({ api, clock, logger, random: { next: () => 0.5 } });
  const running = nodes.run(controller.signal);
  const end = async (): Promise<void> => {
    controller.abort(new Error('over'));
    await assert.rejects(running, /over/);
    assert.equal(clock.sleeping, 0);
  };
  return { clock, logger, queries, state, nodes, end };
}

test('nodes are listed page by page, from the cache, and only old ones are kept', async () => {
  const { nodes, queries, end } = bench([
    [node('new', 'v1.37.2'), node('old', 'v1.34.9', { zone: 'a', odd: 1 })],
    [node('older', 'v1.29.0'), node('unknown', undefined), node('other', 'k3s'), null],
  ]);
  assert.equal(nodes.current(), 'unknown', 'before the first list');
  await settle();
  assert.deepEqual(nodes.current(), [
    { name: 'old', version: 'v1.34.9', labels: { zone: 'a' } },
    { name: 'older', version: 'v1.29.0', labels: {} },
  ]);
  assert.deepEqual(queries, [
    { limit: '500', resourceVersion: '0' },
    { limit: '500', continue: '1' },
  ]);
  await end();
});

test('the list is renewed every ten minutes', async () => {
  const { nodes, clock, state, end } = bench([[node('a', 'v1.34.0')]]);
  await settle();
  state.pages = [[node('a', 'v1.35.0')]];
  await clock.advance(10 * 60_000 - 1);
  assert.equal(nodes.current().length, 1);
  await clock.advance(1);
  assert.deepEqual(nodes.current(), []);
  await end();
});

test('a failed list is tried again and logged once; the last one is used for an hour', async () => {
  const { nodes, clock, state, logger, end } = bench([[]]);
  await settle();
  state.isAway = true;
  await clock.advance(50 * 60_000);
  assert.deepEqual(nodes.current(), []);
  await clock.advance(10 * 60_000 + 1);
  assert.equal(nodes.current(), 'unknown');
  state.isAway = false;
  await clock.advance(60_000);
  assert.deepEqual(nodes.current(), []);
  assert.deepEqual(
    logger.lines.map(({ message }) => message),
    ['nodes cannot be listed', 'nodes are listed again'],
  );
  await end();
});
