/** The promise to the operators of Vault, for a fleet small enough for each test run; `npm run fleet` takes the large one. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MOST_TIMES_STEADY, POPULATIONS, runScenario } from '../../fleet/scenario.ts';

const AGENTS = 200;

for (const [name, lives] of Object.entries(POPULATIONS)) {
  test(`a fleet of the ${name} kind does not rush to a Vault that comes back`, async () => {
    const report = await runScenario({ agents: AGENTS, lives, seed: 1 });
    const { start, steady, recovery, change, afterBrownOut } = report;
    assert.ok(
      start.deliveredAfter !== undefined && start.deliveredAfter <= 2,
      'a start waits for nothing',
    );
    assert.ok(steady.ratio <= 2, `a start in one second is spread for ever: ${steady.ratio}`);
    assert.ok(recovery.ratio <= MOST_TIMES_STEADY, `after the outage: ${recovery.ratio}`);
    assert.ok(
      afterBrownOut.ratio <= MOST_TIMES_STEADY,
      `after the brown-out: ${afterBrownOut.ratio}`,
    );
    assert.ok(recovery.freshAfter !== undefined && recovery.freshAfter <= 480);
    assert.ok(recovery.goodAfter !== undefined && recovery.goodAfter <= 245);
    assert.ok(change.allAfter !== undefined && change.allAfter <= 301);
  });
}
