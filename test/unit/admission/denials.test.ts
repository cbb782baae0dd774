import assert from 'node:assert/strict';
import { test } from 'node:test';
import { injectPod, OVERRIDABLE, podWith, problemsOf, type Given } from './harness.ts';

const USER = { securityContext: { runAsUser: 1000 } };
const HUP = { 'on-change': 'signal:HUP@web' };

/** Name -> annotations, spec, and the only problem. */
const DENIED: Readonly<Record<string, readonly [Given, object, RegExp]>> = {
  'a misspelt inject': [{ inject: 'yes' }, {}, /^inject: must be true or false/],
  'a template that cannot be parsed': [
    { 'template-app': '{{#if x}}' },
    {},
    /^template-app: app:1:\d+: /,
  ],
  'an unknown helper': [
    { 'template-app': '{{secert "kv/a"}}' },
    {},
    /^template-app: app:1:\d+: .*secert/,
  ],
  'an optional template without a secret': [
    { 'template-x': 'x', 'optional-x': 'true' },
    {},
    /^optional-x: requires vouchsafe\.dev\/secret-x; within a template use the helper optionalSecret$/,
  ],
  'an optional SVID': [
    { 'jwt-svid-x': 'api', 'optional-x': 'true' },
    {},
    /^optional-x: conflicts with vouchsafe\.dev\/jwt-svid-x$/,
  ],
  'an optional file of the X.509-SVID': [
    { 'x509-svid': 'true', 'optional-bundle': 'true' },
    {},
    /^optional-bundle: conflicts with vouchsafe\.dev\/x509-svid/,
  ],
  'an optional file without content': [
    { 'optional-x': 'true' },
    {},
    /^optional-x: has no effect without a file "x": set one of vouchsafe\.dev\/secret-x/,
  ],
  'an unclear optional': [{ 'optional-app': 'maybe' }, {}, /^optional-app: must be true or false/],
  'an optional secret of no path': [
    { 'template-app': '{{json (optionalSecret "kvv2/..")}}' },
    {},
    /^template-app: app:1:\d+: optionalSecret: argument 1 is not a valid Vault path/,
  ],
  'an optional write': [
    { 'template-app': '{{json (optionalSecret "transit/hmac/x" input="a")}}' },
    {},
    /^template-app: app:1:\d+: optionalSecret has no parameter input/,
  ],
  'an unknown connection': [{ vault: 'prod' }, {}, /^vault: the connection "prod" does not exist$/],
  'a port that a native sidecar has': [
    {},
    {
      initContainers: [
        { name: 'proxy', restartPolicy: 'Always', ports: [{ containerPort: 9102 }] },
      ],
    },
    /^port: container "proxy" already uses port 9102/,
  ],
  'an unknown container': [{ containers: 'api' }, {}, /^containers: .*"api"; choose from web/],
  'an unknown init container': [{ 'init-containers': 'x' }, {}, /^init-containers: .*"x"/],
  'an init container before the agent': [
    { 'init-containers': 'first' },
    { initContainers: [{ name: 'first' }, { name: 'istio-proxy', restartPolicy: 'Always' }] },
    /^init-containers: .*"first" runs before the agent/,
  ],
  'a mount at the same path': [
    {},
    { containers: [{ name: 'web', volumeMounts: [{ name: 'd', mountPath: '/vault/secrets/' }] }] },
    /^mount-path: container "web" mounts volume "d" at \/vault\/secrets\//,
  ],
  'a mount below that path': [
    {},
    { containers: [{ name: 'web', volumeMounts: [{ name: 'd', mountPath: '/vault/secrets/x' }] }] },
    /^mount-path: /,
  ],
  'a reserved container name': [
    {},
    { containers: [{ name: 'web' }, { name: 'vouchsafe-agent' }] },
    /^spec: .*"vouchsafe-agent"/,
  ],
  'a reserved volume name': [
    {},
    { volumes: [{ name: 'vouchsafe-templates-3' }] },
    /^spec\.volumes: .*"vouchsafe-templates-3"/,
  ],
  'a port in use': [
    {},
    { containers: [{ name: 'web', ports: [{ containerPort: 9102 }] }] },
    /^port: container "web" already uses port 9102/,
  ],
  'a pod on Windows': [{}, { os: { name: 'windows' } }, /^spec\.os\.name: /],
  'a signal to an unknown container': [
    { 'on-change': 'signal:HUP@api' },
    USER,
    /^on-change: .*"api"; choose from web/,
  ],
  'a signal to an unknown user': [HUP, {}, /^on-change: container "web" has no runAsUser/],
  'a signal to root': [HUP, { securityContext: { runAsUser: 0 } }, /^on-change: .*runs as root/],
  'a signal and another user': [
    { ...HUP, 'run-as-user': '5' },
    USER,
    /^run-as-user: 5 conflicts with vouchsafe\.dev\/on-change: .*UID 1000/,
  ],
  'signals to two users': [
    { 'on-change': 'signal:HUP@a, restart@b' },
    {
      containers: [
        { name: 'a', securityContext: { runAsUser: 1 } },
        { name: 'b', securityContext: { runAsUser: 2 } },
      ],
    },
    /^on-change: containers "a" \(UID 1\) and "b" \(UID 2\)/,
  ],
  'a signal without shared processes': [
    HUP,
    { ...USER, shareProcessNamespace: false },
    /^on-change: conflicts with shareProcessNamespace: false/,
  ],
  'a signal among the processes of the node': [
    HUP,
    { ...USER, hostPID: true },
    /^on-change: conflicts with hostPID/,
  ],
  'a restart of a container that does not start again': [
    { 'on-change': 'restart@web' },
    { ...USER, restartPolicy: 'Never' },
    /^on-change: restart@web conflicts with restartPolicy Never/,
  ],
  'a reserved variable': [
    HUP,
    { ...USER, containers: [{ name: 'web', env: [{ name: 'VOUCHSAFE_CONTAINER' }] }] },
    /VOUCHSAFE_CONTAINER/,
  ],
  'more tokens than all templates of a pod may have': [
    { 'template-app': '{{a}}'.repeat(3000), 'template-other': '{{a}}'.repeat(3001) },
    {},
    /^template-other: the templates of the pod have more than 6000 tokens within/,
  ],
  'more actions than a document can have': [
    { 'on-change': Array.from({ length: 17 }, (_, index) => `signal:HUP@c${index}`).join() },
    {},
    /^on-change: must have at most 16 items/,
  ],
  'a configuration that is too large': [
    { 'template-app': 'x'.repeat(120_000) },
    {},
    /^template-app: .*maximum is 102400: .*template-from-app/,
  ],
};

for (const [name, [annotations, spec, pattern]] of Object.entries(DENIED)) {
  test(`denied: ${name}`, () => {
    const pod = podWith(annotations, { ...spec });
    const result = injectPod(pod, { installation: OVERRIDABLE });
    assert.deepEqual([result.outcome, result.reason], ['denied', 'invalid']);
    assert.equal(result.pod, pod);
    const problems = problemsOf(result);
    assert.equal(problems.length, 1, problems.join('\n'));
    assert.match(problems.join(), pattern);
  });
}

test('denied: nothing to deliver', () => {
  const result = injectPod({
    metadata: { annotations: { 'vouchsafe.dev/inject': 'true' } },
    spec: { containers: [{ name: 'web' }] },
  });
  assert.match(result.message, /^vouchsafe\.dev\/inject: nothing to deliver/);
});

test('every reason is reported at once', () => {
  const annotations = { containers: 'api', vault: 'prod', 'format-b': 'json', mode: 'sidecar' };
  const problems = problemsOf(
    injectPod(podWith(annotations, { volumes: [{ name: 'vouchsafe-ca' }] })),
  );
  const names = problems.map((problem) => problem.split(':', 1)[0]);
  assert.deepEqual(names.sort(), ['containers', 'format-b', 'mode', 'spec.volumes', 'vault']);
});
