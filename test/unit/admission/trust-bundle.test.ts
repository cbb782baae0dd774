/** A connection whose CA is in ClusterTrustBundles: in the agent's pod and in a volume of the driver. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planVolume } from '../../../src/admission/index.ts';
import { parseInstallation, type Installation } from '../../../src/config/installation/index.ts';
import { checkTemplate } from '../../../src/template/index.ts';
import { configIn, containerOf, injectPod, podWith, prefixed, problemsOf } from './harness.ts';

function installationWith(clusterTrustBundle: object): Installation {
  const prod = { address: 'https://vault:8200', clusterTrustBundle };
  return parseInstallation({ vault: { connections: { prod } } });
}

const BY_NAME = installationWith({ name: 'example.org:vault:v1' });

test('the kubelet projects the bundle into a volume of the agent, from which it reads its CA', () => {
  for (const mode of ['native', 'pair', 'init']) {
    const { pod, warnings } = injectPod(podWith({ mode }), { installation: BY_NAME });
    const container = mode === 'native' || mode === 'pair' ? 'vouchsafe-agent' : 'vouchsafe-init';
    assert.equal(configIn(pod, container).vault?.caFile, '/run/vouchsafe/ca/prod.crt');
    assert.deepEqual(
      pod.spec.volumes?.find(({ name }) => name === 'vouchsafe-ca'),
      {
        name: 'vouchsafe-ca',
        projected: {
          sources: [{ clusterTrustBundle: { name: 'example.org:vault:v1', path: 'prod.crt' } }],
        },
      },
    );
    const mount = { name: 'vouchsafe-ca', mountPath: '/run/vouchsafe/ca', readOnly: true };
    const { volumeMounts } = containerOf(pod, container);
    assert.deepEqual(
      volumeMounts?.find(({ name }) => name === 'vouchsafe-ca'),
      mount,
    );
    assert.ok(!containerOf(pod, 'web').volumeMounts?.some(({ name }) => name === 'vouchsafe-ca'));
    assert.deepEqual(warnings, []);
  }
});

test('bundles of a signer are selected by label, and injecting twice changes nothing', () => {
  const labelSelector = { matchLabels: { live: 'true' } };
  const installation = installationWith({ signerName: 'example.org/vault', labelSelector });
  const { pod } = injectPod(podWith(), { installation });
  const source = { signerName: 'example.org/vault', labelSelector, path: 'prod.crt' };
  assert.deepEqual(pod.spec.volumes?.find(({ name }) => name === 'vouchsafe-ca')?.['projected'], {
    sources: [{ clusterTrustBundle: source }],
  });
  assert.deepEqual(injectPod(pod, { installation }).pod, pod);
});

test('only pods that use the connection get the volume', () => {
  const bundle = { address: 'https://a', clusterTrustBundle: { name: 'a' } };
  const connections = { bundle, plain: { address: 'https://b' } };
  const installation = parseInstallation({ vault: { default: 'bundle', connections } });
  const { pod } = injectPod(podWith({ vault: 'plain' }), { installation, kubeVersion: '1.30.0' });
  assert.equal(configIn(pod).vault?.caFile, undefined);
  assert.ok(!pod.spec.volumes?.some(({ name }) => name === 'vouchsafe-ca'));
});

test('an old cluster, whose API server would drop the source: the pod is denied, with what to set', () => {
  const result = injectPod(podWith(), { installation: BY_NAME, kubeVersion: 'v1.32.9' });
  assert.deepEqual([result.outcome, result.reason], ['denied', 'invalid']);
  assert.deepEqual(problemsOf(result), [
    'vault: the CA of connection "prod" is in ClusterTrustBundles (clusterTrustBundle), which require Kubernetes 1.37, and this is v1.32.9: set caPem or caConfigMap of the connection',
  ]);
});

test('a cluster that has them behind feature gates: a warning names the gates', () => {
  for (const kubeVersion of ['v1.33.0', '1.36.3-gke.1']) {
    const { outcome, warnings } = injectPod(podWith({ vault: 'prod' }), {
      installation: BY_NAME,
      kubeVersion,
    });
    assert.equal(outcome, 'injected');
    assert.equal(warnings.length, 1);
    assert.match(warnings[0] ?? '', /this is v?1\.3.*feature gates ClusterTrustBundle and/);
  }
});

test('no warning on a cluster that has them, or whose version is not known', () => {
  for (const kubeVersion of ['v1.37.0', 'v1.40.1', 'v2.0.0', 'unknown', undefined]) {
    const { outcome, warnings } = injectPod(podWith(), { installation: BY_NAME, kubeVersion });
    assert.deepEqual([outcome, warnings], ['injected', []], String(kubeVersion));
  }
});

test('a volume of the CSI driver reads it from the driver’s own pod', () => {
  const attributes = { 'secret-app': 'kvv2/app', role: 'web' };
  const plan = planVolume({
    attributes,
    namespaceAnnotations: prefixed({}),
    installation: BY_NAME,
    pod: { namespace: 'shop', serviceAccount: 'web' },
    hasGroup: false,
    checkTemplate,
  });
  assert.ok(plan.kind === 'planned');
  assert.equal(plan.config.vault?.caFile, '/run/vouchsafe/ca/prod.crt');
  assert.equal(plan.config.vault.caPem, undefined);
});
