/** What holds a pod back in mode native: the hook or the probe, and which pods get which. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Pod } from '../../../src/admission/index.ts';
import { GATE_SOCKET } from '../../../src/agent/index.ts';
import { parseInstallation } from '../../../src/config/installation/index.ts';
import { configIn, containerOf, injectPod, podWith, problemsOf } from './harness.ts';

/** An agent that asks no Workload API. */
const WITHOUT_SPIRE = { identity: 'service-account' };

test('native: one sidecar before all init containers, with a hook that waits for the files', () => {
  const { pod, outcome, reason } = injectPod(
    podWith(WITHOUT_SPIRE, { initContainers: [{ name: 'migrate' }] }),
  );
  assert.deepEqual([outcome, reason], ['injected', 'requested']);
  assert.deepEqual(
    pod.spec.initContainers?.map(({ name }) => name),
    ['vouchsafe-agent', 'migrate'],
  );
  assert.equal(pod.spec.containers.length, 1);
  const agent = containerOf(pod, 'vouchsafe-agent');
  assert.equal(agent.restartPolicy, 'Always');
  assert.deepEqual(gateOf(pod), ['hook', 'hook']);
  const { stateDirectory } = configIn(pod);
  assert.deepEqual(agent['lifecycle'], {
    postStart: {
      exec: {
        command: [
          ...['/vouchsafe/node', '--max-semi-space-size=1', '--v8-pool-size=0'],
          ...['--single-threaded-gc', '--disable-sigusr1', '/vouchsafe/dist/start-gate.cjs'],
          `${stateDirectory}/${GATE_SOCKET}`,
        ],
      },
    },
  });
});

/** What the container has, and what its configuration says. */
function gateOf(pod: Pod): [string, string] {
  const agent = containerOf(pod, 'vouchsafe-agent');
  const has = [agent['lifecycle'] && 'hook', agent['startupProbe'] && 'probe'].filter(Boolean);
  return [has.join(' and '), configIn(pod).startGate];
}

test('the probe waits for as long as the deadline, and a little longer', () => {
  const { pod } = injectPod(podWith({ 'start-gate': 'probe' }));
  assert.deepEqual(containerOf(pod, 'vouchsafe-agent')['startupProbe'], {
    httpGet: { path: '/startup', port: 9102 },
    periodSeconds: 1,
    timeoutSeconds: 5,
    failureThreshold: 150,
  });
});

for (const [gate, given, kubeVersion] of [
  ['hook', WITHOUT_SPIRE, undefined],
  ['hook', WITHOUT_SPIRE, '1.34'],
  ['hook', { ...WITHOUT_SPIRE, 'init-deadline': '2m' }, 'v1.37.2'],
  ['hook', { 'start-gate': 'hook' }, '1.31'],
  // SPIRE's attestor and a hook wait for each other, unless SPIRE is told not to.
  ['probe', {}, '1.37'],
  ['probe', { ...WITHOUT_SPIRE, 'x509-svid': 'true' }, '1.37'],
  ['probe', WITHOUT_SPIRE, '1.33'],
  ['probe', { ...WITHOUT_SPIRE, 'start-gate': 'probe' }, '1.37'],
  ['probe', { ...WITHOUT_SPIRE, 'init-deadline': '121s' }, '1.37'],
  ['probe', { ...WITHOUT_SPIRE, 'on-missing-vault': 'wait' }, '1.37'],
] as const) {
  test(`a ${gate} holds the pod back with ${JSON.stringify(given)} on Kubernetes ${kubeVersion}`, () => {
    const { pod } = injectPod(podWith(given), { kubeVersion });
    assert.deepEqual(gateOf(pod), [gate, gate]);
  });
}

test('a hook as a default gives way to a pod that has to wait', () => {
  const installation = parseInstallation({ defaults: { 'start-gate': 'hook' } });
  for (const given of [{ 'on-missing-vault': 'wait' }, { 'init-deadline': '10m' }]) {
    const { pod, problems } = injectPod(podWith(given), { installation });
    assert.deepEqual(problems, []);
    assert.deepEqual(gateOf(pod), ['probe', 'probe']);
  }
  const probe = parseInstallation({ defaults: { 'start-gate': 'probe' } });
  assert.deepEqual(gateOf(injectPod(podWith(), { installation: probe }).pod), ['probe', 'probe']);
});

for (const [given, problem] of [
  [{ 'on-missing-vault': 'wait' }, /^start-gate: hook conflicts with .*on-missing-vault wait/],
  [{ 'init-deadline': '3m' }, /^start-gate: hook conflicts with .*init-deadline over 2m/],
  [{ mode: 'pair' }, /^start-gate: conflicts with .*mode pair: its init container/],
  [{ mode: 'init' }, /^start-gate: conflicts with .*mode init: its init container/],
] as const) {
  test(`a pod cannot ask for a hook with ${JSON.stringify(given)}`, () => {
    const result = injectPod(podWith({ 'start-gate': 'hook', ...given }));
    assert.equal(result.outcome, 'denied');
    assert.match(problemsOf(result).join('\n'), problem);
  });
}

test('in the modes with an init container there is no other gate', () => {
  for (const mode of ['pair', 'init']) {
    const { pod } = injectPod(podWith({ mode }));
    const init = containerOf(pod, 'vouchsafe-init');
    assert.deepEqual([init['lifecycle'], init['startupProbe']], [undefined, undefined]);
    assert.equal(configIn(pod, 'vouchsafe-init').startGate, 'probe');
  }
});

test('on the host network the agent listens only on loopback', () => {
  const given = { port: '9200', 'start-gate': 'probe' };
  const { pod } = injectPod(podWith(given, { hostNetwork: true }));
  assert.equal(configIn(pod).listen, '127.0.0.1:9200');
  const probe = JSON.stringify(containerOf(pod, 'vouchsafe-agent')['startupProbe']);
  assert.match(probe, /"host":"127\.0\.0\.1"/);
});

test('the kubelet does not restart a pod that waits for Vault', () => {
  const { pod } = injectPod(podWith({ 'on-missing-vault': 'wait' }));
  const probe = containerOf(pod, 'vouchsafe-agent')['startupProbe'];
  assert.match(JSON.stringify(probe), /"failureThreshold":1000000/);
});
