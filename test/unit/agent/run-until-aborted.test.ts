/** An agent whose end and whose revocations are two things, as the CSI driver wants it. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { StateFile } from '../../../src/agent/index.ts';
import { Harness, templateFile } from '../../helpers/agent-harness.ts';
import { failure } from '../../helpers/model-vault.ts';
import { tempDirectory } from '../../helpers/temp-directory.ts';
import { until } from '../../helpers/until.ts';

const DOCUMENT = {
  files: [templateFile('db', '{{#with (secret "database/creds/app")}}{{username}}{{/with}}')],
};

function harness(t: Parameters<typeof tempDirectory>[0]): {
  readonly h: Harness;
  readonly directory: string;
  readonly stateFile: () => StateFile;
} {
  const h = new Harness(t);
  h.vault.define('database/creds/app', { kind: 'dynamic', ttlMs: 3_600_000 });
  const directory = tempDirectory(t);
  return { h, directory, stateFile: () => new StateFile(directory, h.clock) };
}

/** Runs an agent until its files are there, then stops it. */
async function kept(h: Harness, agent: ReturnType<Harness['agent']>): Promise<void> {
  const running = await h.run((one, signal) => one.runUntilAborted(signal), agent);
  // The state is read from a real file, which takes real time.
  await until(() => agent.isDelivered);
  await running.stop();
  assert.deepEqual(running.outcome, { error: undefined });
}

test('keep ends without revoking; release revokes then, and removes the state', async (t) => {
  const { h, directory, stateFile } = harness(t);
  const agent = h.agent(DOCUMENT, stateFile());
  await kept(h, agent);
  assert.equal(h.vault.count('revokeToken'), 0);
  assert.ok(existsSync(join(directory, 'state.json')));
  assert.equal(await agent.revoke(), true);
  assert.equal(h.vault.count('revokeToken'), 1);
  assert.ok(!existsSync(join(directory, 'state.json')));
});

test('release without a run revokes what a predecessor left', async (t) => {
  const { h, directory, stateFile } = harness(t);
  await kept(h, h.agent(DOCUMENT, stateFile()));
  assert.equal(await h.agent(DOCUMENT, stateFile()).revoke(), true);
  assert.deepEqual([h.vault.count('login'), h.vault.count('revokeToken')], [1, 1]);
  assert.ok(!existsSync(join(directory, 'state.json')));
});

test('release that fails keeps the state for another try; what has ended needs none', async (t) => {
  const { h, directory, stateFile } = harness(t);
  await kept(h, h.agent(DOCUMENT, stateFile()));
  h.vault.intercept = () => failure('ERR_VAULT_SEALED');
  const agent = h.agent(DOCUMENT, stateFile());
  assert.equal(await agent.revoke(), false);
  assert.equal(await agent.revoke(), false);
  assert.ok(existsSync(join(directory, 'state.json')));
  await h.clock.advance(2 * 3_600_000);
  assert.equal(await agent.revoke(), true);
  assert.equal(h.vault.count('revokeToken'), 2);
});

test('release with revokeOnExit false lets everything live, and forgets it', async (t) => {
  const { h, directory, stateFile } = harness(t);
  const document = { ...DOCUMENT, revokeOnExit: false };
  await kept(h, h.agent(document, stateFile()));
  assert.equal(await h.agent(document, stateFile()).revoke(), true);
  assert.equal(h.vault.count('revokeToken'), 0);
  assert.ok(!existsSync(join(directory, 'state.json')));
});

test('release of an agent that never had anything is done at once', async (t) => {
  const { h, stateFile } = harness(t);
  assert.equal(await h.agent(DOCUMENT, stateFile()).revoke(), true);
  assert.equal(h.vault.calls.length, 0);
});
