/** The arithmetic of `npm run bench:cluster`; no cluster is needed for it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { difference, parseHistogram, quantile } from '../../bench/cluster/histogram.ts';
import { phasesOf } from '../../bench/cluster/phases.ts';

const EXPOSITION = `
# TYPE took_seconds histogram
took_seconds_bucket{name="ours",rejected="false",le="0.005"} 50
took_seconds_bucket{name="ours",rejected="false",le="0.025"} 90
took_seconds_bucket{name="ours",rejected="false",le="+Inf"} 99
took_seconds_sum{name="ours",rejected="false"} 1.5
took_seconds_count{name="ours",rejected="false"} 99
took_seconds_bucket{name="ours",rejected="true",le="0.005"} 0
took_seconds_bucket{name="ours",rejected="true",le="0.025"} 0
took_seconds_bucket{name="ours",rejected="true",le="+Inf"} 1
took_seconds_sum{name="ours",rejected="true"} 0.5
took_seconds_count{name="ours",rejected="true"} 1
took_seconds_bucket{name="theirs",le="+Inf"} 7
took_seconds_count{name="theirs"} 7
`;

test('quantiles are those of Prometheus', () => {
  const all = parseHistogram(EXPOSITION, 'took_seconds', 'name="ours"');
  assert.deepEqual([all.count, all.sum], [100, 2]);
  assert.equal(quantile(all, 0.25), 0.0025);
  assert.equal(quantile(all, 0.5), 0.005);
  assert.equal(quantile(all, 0.7), 0.015);
  assert.equal(quantile(all, 0.99), 0.025, 'above the last bound nothing is known');
  const none = difference(all, all);
  assert.deepEqual([none.count, none.sum, quantile(none, 0.5)], [0, 0, NaN]);
});

test('only what came since the first reading counts', () => {
  const later = parseHistogram(EXPOSITION, 'took_seconds', 'name="ours"');
  const earlier = { buckets: [[0.005, 50]] as const, count: 50, sum: 0.1 };
  assert.deepEqual(difference(later, earlier).buckets, [
    [0.005, 0],
    [0.025, 90],
    [Infinity, 100],
  ]);
  assert.equal(quantile(difference(later, earlier), 0), 0.005);
});

const LOG = [
  { time: '2026-01-01T00:00:00.500Z', message: 'agent starts' },
  { time: '2026-01-01T00:00:00.510Z', message: 'listening' },
  {
    time: '2026-01-01T00:00:00.600Z',
    message: 'vault request',
    operation: 'login',
    seconds: 0.04,
  },
  { time: '2026-01-01T00:00:00.700Z', message: 'files delivered' },
];
const AT = Date.parse('2026-01-01T00:00:00Z');

test('the parts of a start add up to it', () => {
  const moments = {
    createdMs: AT,
    admissionMs: 10,
    applicationMs: AT + 990,
    calledMs: AT + 1000,
    agent: {
      startedMs: AT + 300,
      endedMs: AT + 720,
      log: LOG.map((line) => `${JSON.stringify(line)}\n`).join(''),
    },
  };
  const parts = phasesOf(moments);
  assert.deepEqual(parts, {
    admission: 10,
    node: 290,
    process: 200,
    identity: 60,
    login: 40,
    reads: 100,
    exit: 20,
    kubelet: 270,
    application: 10,
  });
  assert.deepEqual(phasesOf({ ...moments, admissionMs: 0, agent: undefined }), {
    admission: 0,
    node: 990,
    application: 10,
  });
});

test('a log that lacks a moment is shown', () => {
  const agent = { startedMs: AT, endedMs: undefined, log: `${JSON.stringify(LOG[0])}\n` };
  const moments = { createdMs: AT, admissionMs: 0, agent, applicationMs: AT, calledMs: AT };
  assert.throws(() => phasesOf(moments), /no line "vault request":\n.*agent starts/);
});
