import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as DEFAULTS from '../../../src/config/schema/defaults.ts';
import { VouchsafeError } from '../../../src/core/index.ts';
import { localTemplates } from '../../../src/agent-runtime/local-templates.ts';
import { AGENT_WORK_BYTES, DRIVER_WORK_BYTES } from '../../../src/template/index.ts';

const never = new AbortController().signal;

test('a rendering is limited to the bytes of its agent', async () => {
  const source = `{{concat "${'x'.repeat(40_000)}" "${'y'.repeat(40_000)}"}}`;
  for (const [most, isFine] of [
    [160_000, true],
    [159_999, false],
  ] as const) {
    const templates = localTemplates(most);
    const jobs = [{ template: templates.parseTemplate(source, 't') }];
    const [output] = await templates.renderTemplates(jobs, new Map(), never);
    if (isFine) assert.ok(output !== undefined && !(output instanceof VouchsafeError));
    else assert.ok(output instanceof VouchsafeError && output.code === 'ERR_TEMPLATE_LIMIT');
  }
});

test('the defaults of the values are those of the templates', () => {
  assert.equal(DEFAULTS.AGENT_RENDER_BYTES, AGENT_WORK_BYTES);
  assert.equal(DEFAULTS.DRIVER_RENDER_BYTES, DRIVER_WORK_BYTES);
});
