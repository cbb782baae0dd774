/** SPIRE's attestor of workloads, with container selectors as it comes and without: it and the start gates of a native sidecar. */
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { agentConfig } from './parts/spire-config.ts';
import { AGENT_FILE, AGENT_MAP } from './parts/spire-objects.ts';
import { act, api, containerStatus, FOREVER, isReady, shellPod, Space } from './parts/suite.ts';

const AGENT = 'vouchsafe-agent';
/** Three tries of the hook. */
const PATIENCE_MS = 120_000;

/** Has the agent of SPIRE start with another configuration. */
async function configure(config: string): Promise<void> {
  await act('stop-identity');
  await api.patch(AGENT_MAP, { data: { [AGENT_FILE]: config } });
  await act('start-identity');
}

const SETTINGS = { inject: 'true', 'x509-svid': 'true' };
const HOOK = { ...SETTINGS, 'start-gate': 'hook' };

suite('SPIRE as it comes, with container selectors', { concurrency: true }, () => {
  test('the default gate is a probe, which lets the agent be attested', async () => {
    await using space = await Space.create();
    await space.create(shellPod('app', SETTINGS, FOREVER));
    const { spec } = await space.ready('app');
    const agent = spec.initContainers?.find(({ name }) => name === AGENT);
    assert.deepEqual([typeof agent?.['startupProbe'], agent?.['lifecycle']], ['object', undefined]);
  });

  test('a hook does not: SPIRE waits for the container to be listed, which the kubelet does after the hook', async () => {
    await using space = await Space.create();
    await space.create(shellPod('app', HOOK, FOREVER));
    const isTriedTwice = (pod: Parameters<typeof containerStatus>[0]): boolean =>
      containerStatus(pod, AGENT).restartCount >= 2;
    const pod = await space.until('app', isTriedTwice, PATIENCE_MS);
    assert.ok(!isReady(pod));
    const { lastState } = containerStatus(pod, AGENT);
    assert.match(lastState?.terminated?.message ?? '', /ERR_AGENT_START_PENDING/);
  });
});

suite('SPIRE without container selectors', () => {
  before(() => configure(agentConfig({ hasContainerSelectors: false })));
  after(() => configure(agentConfig()));

  test('a hook that is requested lets the agent be attested', async () => {
    await using space = await Space.create();
    await space.create(shellPod('app', HOOK, FOREVER));
    const pod = await space.ready('app');
    assert.equal(containerStatus(pod, AGENT).restartCount, 0);
  });
});
