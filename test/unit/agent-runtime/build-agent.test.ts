import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { parseAgentConfig } from '../../../src/config/agent/index.ts';
import { NO_LOGGER } from '../../../src/core/index.ts';
import {
  buildAgent,
  createSharedConnections,
  type AgentDependencies,
} from '../../../src/agent-runtime/index.ts';
import { systemClock, systemRandom } from '../../../src/platform/index.ts';
import { createWorkloadApi } from '../../../src/spiffe/index.ts';
import { tempDirectory } from '../../helpers/temp-directory.ts';

/** AgentDependencies that count what an agent has of them: SVIDs, to begin with. */
function counting(): { readonly surroundings: AgentDependencies; readonly out: { count: number } } {
  const out = { count: 1 };
  const clock = systemClock;
  const svids = createWorkloadApi({ clock, logger: NO_LOGGER, address: 'unix:///no/such/socket' });
  const shared = createSharedConnections({
    logger: NO_LOGGER,
    clock: systemClock,
    random: systemRandom,
  });
  const surroundings: AgentDependencies = {
    clock,
    random: systemRandom,
    svids: {
      ...svids,
      close() {
        svids.close();
        out.count -= 1;
      },
    },
    shared: {
      ...shared,
      async connect(config, owner) {
        const borrowed = await shared.connect(config, owner);
        out.count += 1;
        return {
          ...borrowed,
          giveBack() {
            borrowed.giveBack();
            out.count -= 1;
          },
        };
      },
    },
  };
  return { surroundings, out };
}

function configIn(t: TestContext, vault: object): ReturnType<typeof parseAgentConfig> {
  return parseAgentConfig({
    apiVersion: 'vouchsafe.dev/v1',
    kind: 'AgentConfig',
    vault: { address: 'http://127.0.0.1:1', ...vault },
    spiffe: { socket: 'unix:///no/such/socket' },
    auth: { method: 'jwt', role: 'web' },
    files: [{ name: 'app', secret: 'kv/app' }],
    output: { directory: join(tempDirectory(t), 'out') },
  });
}

test('an agent that was made gives back what it borrowed when it is closed', async (t) => {
  const { surroundings, out } = counting();
  const built = await buildAgent(configIn(t, {}), surroundings);
  assert.equal(out.count, 2);
  built.close();
  assert.equal(out.count, 0);
});

test('an agent that cannot be made gives back what it borrowed before', async (t) => {
  const { surroundings, out } = counting();
  const wrap = (): never => {
    throw new Error('no agent');
  };
  await assert.rejects(buildAgent(configIn(t, {}), { ...surroundings, wrap }), /no agent/);
  assert.equal(out.count, 0);
});

test('an agent without connections to Vault gives back the SVIDs that it was given', async (t) => {
  const { surroundings, out } = counting();
  const config = configIn(t, { address: 'https://127.0.0.1:1', caFile: '/no/such/ca.pem' });
  await assert.rejects(buildAgent(config, surroundings), { code: 'ERR_CONFIG_UNREADABLE' });
  assert.equal(out.count, 0);
});
