/** The state diagrams of the manual are those of the code. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stateDiagrams } from '../../../.tools/docs/state-diagrams.ts';
import { MANUAL } from './documents.ts';

for (const [section, diagram] of stateDiagrams()) {
  test(`${section} is up to date`, () => {
    const [, written] =
      new RegExp(`<!-- generated: ${section} -->\n\n([^]*?)\n\n<!-- end -->`).exec(MANUAL) ?? [];
    assert.equal(written, diagram, 'run `npm run generate`');
  });
}
