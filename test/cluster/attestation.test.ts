/** SPIRE's attestor of workloads as it comes, with container selectors: it and the start gates of a native sidecar. */
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { agentConfig } from './parts/spire-config.ts';
import { AGENT_FILE, AGENT_MAP } from './parts/spire-objects.ts';
import { act, api, containerStatus, FOREVER, isReady, shellPod, Space } from './parts/suite.ts';

/** Three tries of the hook. */
const PATIENCE_MS = 120_000;

/** Has the agent of SPIRE start with another configuration. */
async function configure(config: string): Promise<void> {
  await act('stop-identity');
  await api.patch(AGENT_MAP, { data: { [AGENT_FILE]: config } });
  await act('start-identity');
}

function settings(gate: string): Record<string, string> {
  return { inject: 'true', 'x509-svid': 'true', 'start-gate': gate };
}

suite('SPIRE with container selectors', { concurrency: true }, () => {
  before(() => configure(agentConfig({ hasContainerSelectors: true })));
  after(() => configure(agentConfig()));

  test('a startup probe lets the agent be attested', async () => {
    await using space = await Space.create();
    await space.create(shellPod('app', settings('probe'), FOREVER));
    await space.ready('app');
  });

  test('a hook does not: SPIRE waits for the container to be listed, which the kubelet does after the hook', async () => {
    await using space = await Space.create();
    await space.create(shellPod('app', settings('hook'), FOREVER));
    const pod = await space.until(
      'app',
      (one) => containerStatus(one, 'vouchsafe-agent').restartCount >= 2,
      PATIENCE_MS,
    );
    assert.ok(!isReady(pod));
    const { lastState } = containerStatus(pod, 'vouchsafe-agent');
    assert.match(lastState?.terminated?.message ?? '', /ERR_AGENT_START_PENDING/);
  });
});
