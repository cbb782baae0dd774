import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMetrics } from '../../../src/platform/index.ts';
import { createRenderCounts } from '../../../src/renderer/index.ts';

test('render processes are counted under the documented names', async () => {
  const metrics = createMetrics();
  const counts = createRenderCounts(metrics);
  counts.waited(0.01);
  counts.done('render', 'ok');
  counts.replaced('memory');
  const text = await metrics.expose();
  for (const line of [
    'vouchsafe_csi_render_wait_seconds_count 1',
    'vouchsafe_csi_render_jobs_total{operation="render",result="ok"} 1',
    'vouchsafe_csi_render_replaced_total{reason="memory"} 1',
  ]) {
    assert.ok(text.split('\n').includes(line), `${line} is not in:\n${text}`);
  }
});
