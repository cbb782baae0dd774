/**
 * Templates and documents drawn for cost, and the worst that are known: none takes more memory than a container of
 * 128 MiB has beside an idle agent.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AGENT_WORK_BYTES, DRIVER_WORK_BYTES } from '../../../src/template/index.ts';
import { sampled } from '../../helpers/arbitraries.ts';
import { COSTLY_TEMPLATES, WORST_FOR_MEMORY } from '../../helpers/costly-templates.ts';
import { peaksOf } from '../../helpers/rendering-memory.ts';

const MIB = 1024 * 1024;
const MOST = 64 * MIB;

test('no template takes more than 64 MiB beyond the idle process', () => {
  const cases = [
    ...[...WORST_FOR_MEMORY, ...sampled(COSTLY_TEMPLATES, 10)].map((source) => ({
      source,
      workBytes: AGENT_WORK_BYTES,
    })),
    // The same renderings, which end earlier.
    ...sampled(COSTLY_TEMPLATES, 5).map((source) => ({ source, workBytes: DRIVER_WORK_BYTES })),
  ];
  const peaks = peaksOf(cases);
  for (const [index, peak] of peaks.entries()) {
    assert.ok(peak < MOST, `${Math.round(peak / MIB)} MiB: ${cases[index]?.source ?? ''}`);
  }
  // What takes nothing would prove nothing.
  assert.ok(Math.max(...peaks) > AGENT_WORK_BYTES / 2);
});
