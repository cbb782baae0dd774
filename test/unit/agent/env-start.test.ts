/** The start of an agent with environment variables. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VouchsafeError } from '../../../src/core/index.ts';
import { Harness } from '../../helpers/agent-harness.ts';

test('a value that no variable can have ends the start at once, with the name of the variable', async (t) => {
  const h = new Harness(t);
  h.vault.put('kv/app', { good: 'fine', bad: `planted' value` });
  const variables = [
    { name: 'GOOD', secret: 'kv/app#good' },
    { name: 'BAD', secret: 'kv/app#bad' },
  ];
  const running = await h.start({ files: [], env: { variables } });
  await h.clock.advance(1000);
  const error = running.outcome?.error;
  assert.ok(error instanceof VouchsafeError, 'the start has failed');
  const { code, message } = error;
  assert.equal(code, 'ERR_ENV_VALUE');
  assert.match(message, /the variable BAD has a single quote/);
  assert.deepEqual([...h.writer.files], []);
});
