/** Hours of bad weather, different in each seed: whatever fails, what is promised holds. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ErrorCode } from '../../../src/core/index.ts';
import { Harness, templateFile } from '../../helpers/agent-harness.ts';
import { failure, type ModelCall } from '../../helpers/model-vault.ts';
import { seededRandom } from '../../helpers/random.ts';

const MINUTE_MS = 60_000;
const HOURS = 12;
const NAMES = ['a', 'b', 'c'] as const;

const FAILURES: readonly ErrorCode[] = [
  'ERR_VAULT_UNREACHABLE',
  'ERR_VAULT_TIMEOUT',
  'ERR_VAULT_SERVER',
  'ERR_VAULT_SEALED',
  'ERR_VAULT_DENIED',
  'ERR_VAULT_BAD_REQUEST',
];

for (let seed = 1; seed <= 8; seed += 1) {
  test(`every third request fails, and no file ever holds a credential that ended (seed ${seed})`, async (t) => {
    const h = new Harness(t);
    const random = seededRandom(seed);
    h.vault.tokenTtlMs = 20 * MINUTE_MS;
    h.vault.tokenMaxTtlMs = 90 * MINUTE_MS;
    for (const name of NAMES) {
      const ttlMs = (5 + Math.floor(random.next() * 10)) * MINUTE_MS;
      h.vault.define(`database/creds/${name}`, { kind: 'dynamic', ttlMs, maxTtlMs: ttlMs * 3 });
    }
    const files = NAMES.map((name) =>
      templateFile(name, `{{#with (secret "database/creds/${name}")}}{{username}}{{/with}}`),
    );
    await h.start({ files });
    await h.clock.advance(1000);
    const isBadWeather = (call: ModelCall): boolean =>
      call.operation !== 'revokeToken' && random.next() < 1 / 3;
    h.vault.intercept = (call) => {
      if (!isBadWeather(call)) return undefined;
      return failure(FAILURES[Math.floor(random.next() * FAILURES.length)] ?? 'ERR_VAULT_SERVER');
    };
    for (let minute = 0; minute < HOURS * 60; minute += 1) {
      await h.clock.advance(MINUTE_MS);
      for (const name of NAMES) {
        assert.ok(h.vault.isGood(h.writer.get(name) ?? ''), `${name} at minute ${minute}`);
      }
      assert.ok(h.vault.liveTokens <= 3, `${h.vault.liveTokens} tokens at minute ${minute}`);
    }
    const tokens = (HOURS * 60) / 90;
    assert.ok(
      h.logger.lines.filter(({ message }) => message === 'logged in to vault').length <= tokens * 2,
    );
    const requests = h.vault.calls.length / (HOURS * 60);
    assert.ok(requests < 2, `${requests} requests a minute`);
  });
}
