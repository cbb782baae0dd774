import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planVolume } from '../../../src/admission/index.ts';
import { parseInstallation } from '../../../src/config/installation/index.ts';
import { checkTemplate } from '../../../src/template/index.ts';
import {
  containerOf,
  injectPod,
  OVERRIDABLE,
  podWith,
  prefixed,
  problemsOf,
  type Given,
} from './harness.ts';

const OVERRIDES: Given = {
  image: 'elsewhere.example/agent:1',
  'run-as-user': '5',
  'run-as-group': '5',
};

for (const [name, value] of Object.entries(OVERRIDES)) {
  test(`${name} may not be set on a pod unless the installation allows it`, () => {
    const pod = podWith({ [name]: value });
    const result = injectPod(pod);
    assert.deepEqual([result.outcome, result.reason], ['denied', 'forbidden']);
    assert.deepEqual(problemsOf(result), [
      `${name}: may not be set on a pod (agent.allowImageOverride)`,
    ]);
    assert.equal(injectPod(pod, { installation: OVERRIDABLE }).outcome, 'injected');
  });

  test(`${name} may not be set on a Namespace, even if pods may set it`, () => {
    const namespaceAnnotations = prefixed({ [name]: value });
    const given = { namespaceAnnotations, installation: OVERRIDABLE };
    const result = injectPod(podWith(), given);
    assert.deepEqual([result.outcome, result.reason], ['denied', 'forbidden']);
    assert.match(result.message, /of the namespace: may not be set on a Namespace/);
    const installation = parseInstallation({ vault: { namespaceAnnotations: [name] } });
    assert.equal(injectPod(podWith(), { ...given, installation }).outcome, 'injected');
  });
}

test('what the installation itself sets needs no permission', () => {
  const installation = parseInstallation({ defaults: { image: 'registry.example/agent:2' } });
  const { outcome, pod } = injectPod(podWith(), { installation });
  assert.equal(outcome, 'injected');
  assert.equal(containerOf(pod, 'vouchsafe-agent')['image'], 'registry.example/agent:2');
});

test('a Namespace sets what is listed, and a pod overrides it', () => {
  const installation = parseInstallation({ vault: { namespaceAnnotations: ['role'] } });
  const decide = (namespace: Given, pod: Given = {}): string =>
    injectPod(podWith(pod), { installation, namespaceAnnotations: prefixed(namespace) }).outcome;
  assert.equal(decide({ role: 'web' }), 'injected');
  assert.equal(decide({ audience: 'other' }), 'denied');
  assert.equal(decide({ audience: 'other' }, { audience: 'mine' }), 'injected');
});

test('volumes follow the same list; settings without effect on a volume do not deny it', () => {
  const installation = parseInstallation({
    csi: { enabled: true },
    vault: { namespaceAnnotations: ['role'] },
  });
  const plan = (namespace: Given) =>
    planVolume({
      installation,
      checkTemplate,
      hasGroup: false,
      attributes: { 'secret-app': 'kvv2/app' },
      namespaceAnnotations: prefixed(namespace),
      pod: { namespace: 'shop', serviceAccount: 'web' },
    });
  assert.equal(plan({ role: 'web' }).kind, 'planned');
  assert.equal(plan({ image: 'elsewhere.example/agent:1' }).kind, 'planned');
  const refused = plan({ refresh: '1m' });
  assert.ok(refused.kind === 'refused' && refused.isForbidden);
  assert.match(refused.problems.map(({ path }) => path).join(), /refresh of the namespace/);
});

test('the list rejects an annotation that a Namespace cannot have', () => {
  assert.throws(() => parseInstallation({ vault: { namespaceAnnotations: ['secret-app'] } }), {
    code: 'ERR_CONFIG_INVALID',
  });
});
