import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Strikes, strikesIn } from '../../../src/csi/strikes.ts';
import { tempDirectory } from '../../helpers/temp-directory.ts';

test('a note counts as soon as it exists, whatever is in it', async (t) => {
  const directory = tempDirectory(t);
  assert.equal(await strikesIn(directory), 0);
  for (const [text, count] of [
    ['', 1],
    ['0', 1],
    ['-3', 1],
    ['no number', 1],
    ['0.5', 1],
    ['2', 2],
    ['1e9', 100],
  ] as const) {
    writeFileSync(join(directory, 'rendering'), text);
    assert.equal(await strikesIn(directory), count, JSON.stringify(text));
  }
});

test('each crash in a row doubles the delay, up to five minutes; a completed rendering resets it', async (t) => {
  const directory = tempDirectory(t);
  const strikes = new Strikes(directory, 2);
  assert.equal(strikes.delayMs, 10_000);
  strikes.renderingStarted();
  assert.equal(await strikesIn(directory), 3);
  strikes.renderingEnded();
  assert.deepEqual([await strikesIn(directory), strikes.count, strikes.delayMs], [0, 0, 0]);
  assert.equal(new Strikes(directory, 50).delayMs, 300_000);
});
