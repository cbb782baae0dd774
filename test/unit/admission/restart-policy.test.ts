/** Containers that `restart@` ends: whether the kubelet starts them again. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { injectPod, podWith, problemsOf } from './harness.ts';

const USER = { securityContext: { runAsUser: 1000 } };
const NOT_ZERO = /does not start again if it ends with exit code 0 after SIGTERM/;
const NOT_AGAIN = /^on-change: restart@web conflicts with restartPolicy Never/;

function restarting(container: object, spec: object, name = 'web'): ReturnType<typeof injectPod> {
  const containers = [{ name: 'web', ...container }];
  const annotations = { 'on-change': `restart@${name}` };
  return injectPod(podWith(annotations, { ...USER, containers, ...spec }));
}

function rule(operator: string, ...values: readonly number[]): object {
  return { restartPolicyRules: [{ action: 'Restart', exitCodes: { operator, values } }] };
}

const STARTS: Readonly<Record<string, readonly [object, object]>> = {
  'by default': [{}, {}],
  'with a policy of its own in a pod with Never': [
    { restartPolicy: 'Always' },
    { restartPolicy: 'Never' },
  ],
  'with a rule for every exit code': [rule('NotIn', 1), { restartPolicy: 'Never' }],
  'with a rule that restarts all containers': [
    {
      restartPolicy: 'Never',
      restartPolicyRules: [
        { action: 'RestartAllContainers', exitCodes: { operator: 'In', values: [0, 143] } },
      ],
    },
    {},
  ],
};

for (const [name, [container, spec]] of Object.entries(STARTS)) {
  test(`a container starts again ${name}`, () => {
    const { outcome, warnings, message } = restarting(container, spec);
    assert.equal(outcome, 'injected', message);
    assert.ok(!warnings.some((text) => NOT_ZERO.test(text)));
  });
}

test('a native sidecar starts again, whatever the policy of the pod is', () => {
  const initContainers = [{ name: 'side', restartPolicy: 'Always' }];
  const { outcome, message } = restarting({}, { initContainers, restartPolicy: 'Never' }, 'side');
  assert.equal(outcome, 'injected', message);
});

const WARNED: Readonly<Record<string, readonly [object, object]>> = {
  OnFailure: [{}, { restartPolicy: 'OnFailure' }],
  'OnFailure of its own': [{ restartPolicy: 'OnFailure' }, {}],
  'a rule for what SIGTERM ends': [rule('In', 143), { restartPolicy: 'Never' }],
};

for (const [name, [container, spec]] of Object.entries(WARNED)) {
  test(`a container that may end with 0 is not started again with ${name}: a warning`, () => {
    const { outcome, warnings } = restarting(container, spec);
    assert.equal(outcome, 'injected');
    assert.equal(warnings.filter((text) => NOT_ZERO.test(text)).length, 1);
  });
}

const DENIED: Readonly<Record<string, readonly [object, object]>> = {
  'Never of the pod': [{}, { restartPolicy: 'Never' }],
  'Never of its own': [{ restartPolicy: 'Never' }, { restartPolicy: 'Always' }],
  'a rule for another exit code': [rule('In', 1), { restartPolicy: 'Never' }],
  'a rule for all but this exit code': [rule('NotIn', 143), { restartPolicy: 'Never' }],
  'an unknown operator': [rule('Is', 143), { restartPolicy: 'Never' }],
  'rules that are not a list': [
    { restartPolicyRules: { exitCodes: {} } },
    { restartPolicy: 'Never' },
  ],
  'a rule that is not an object': [{ restartPolicyRules: [null, 143] }, { restartPolicy: 'Never' }],
};

for (const [name, [container, spec]] of Object.entries(DENIED)) {
  test(`a container does not start again with ${name}: denied`, () => {
    const result = restarting(container, spec);
    assert.deepEqual([result.outcome, result.reason], ['denied', 'invalid']);
    const [problem = '', ...more] = problemsOf(result);
    assert.match(problem, NOT_AGAIN);
    assert.deepEqual(more, []);
    assert.match(JSON.stringify(result.problems), /restartPolicyRules.*143/);
  });
}
