/** Added parts of a pod are protected: against mounts in other containers, and against changed containers. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { readPod, type Container, type Pod } from '../../../src/admission/index.ts';
import { parseInstallation } from '../../../src/config/installation/index.ts';
import { containerOf, injectPod, podWith, problemsOf } from './harness.ts';

const OWN_VOLUMES = [
  ...[
    'vouchsafe-secrets',
    'vouchsafe-state',
    'vouchsafe-spiffe',
    'vouchsafe-token',
    'vouchsafe-ca',
  ],
  ...['vouchsafe-no-api-token', 'vouchsafe-templates-0', 'vouchsafe-templates-17'],
];

const WAYS: Readonly<Record<string, (name: string) => object>> = {
  'a mount': (name) => ({ volumeMounts: [{ name, mountPath: '/steal' }] }),
  'a read-only mount': (name) => ({
    volumeMounts: [{ name, mountPath: '/steal', readOnly: true }],
  }),
  'a mount of a part': (name) => ({
    volumeMounts: [{ name, mountPath: '/steal', subPath: 'state.json' }],
  }),
  'a mount of a part by expression': (name) => ({
    volumeMounts: [{ name, mountPath: '/steal', subPathExpr: '$(X)' }],
  }),
  'a device': (name) => ({ volumeDevices: [{ name, devicePath: '/dev/steal' }] }),
};

const LISTS = ['containers', 'initContainers', 'ephemeralContainers'] as const;

function withContainer(pod: Pod, list: (typeof LISTS)[number], container: Container): Pod {
  return readPod({
    ...pod,
    spec: { ...pod.spec, [list]: [...(pod.spec[list] ?? []), container] },
  });
}

const INSTALLATION = parseInstallation({ csi: { enabled: true } });

suite('mounts of our volumes in other containers', () => {
  for (const [way, make] of Object.entries(WAYS)) {
    for (const list of LISTS) {
      test(`${way} in ${list} is denied, in every mode`, () => {
        for (const volume of OWN_VOLUMES) {
          const container = { name: 'thief', image: 'thief', ...make(volume) };
          for (const mode of ['native', 'pair', 'init', 'csi']) {
            const pod = withContainer(podWith({ mode }), list, container);
            const result = injectPod(pod, { installation: INSTALLATION });
            assert.equal(result.outcome, 'denied');
            const problem =
              problemsOf(result).find((one) => one.startsWith(`spec.${list}: `)) ?? '';
            assert.match(problem, /container "thief" mounts "vouchsafe-/);
            assert.ok(problem.includes(volume));
          }
        }
      });
    }
  }

  test('also in a pod that is already injected, or has only the annotations', () => {
    const injected = injectPod(podWith()).pod;
    const { metadata } = injected;
    for (const pod of [injected, readPod({ ...podWith(), metadata })]) {
      for (const volume of OWN_VOLUMES.filter((name) => name !== 'vouchsafe-secrets')) {
        const thief = { name: 'thief', ...WAYS['a mount']?.(volume) };
        assert.equal(injectPod(withContainer(pod, 'containers', thief)).outcome, 'denied', volume);
      }
    }
  });

  test('in an injected pod an additional mount of the files is removed', () => {
    const { pod } = injectPod(podWith({ containers: 'web' }));
    const mounts = [{ name: 'vouchsafe-secrets', mountPath: '/rw' }];
    const late = withContainer(pod, 'containers', { name: 'late', volumeMounts: mounts });
    const result = injectPod(late);
    assert.equal(result.outcome, 'injected');
    assert.deepEqual(containerOf(result.pod, 'late').volumeMounts ?? [], []);
    assert.deepEqual(
      containerOf(result.pod, 'web').volumeMounts,
      containerOf(pod, 'web').volumeMounts,
    );
  });

  test('volumes with names that only have the same prefix belong to the pod', () => {
    for (const volume of [
      'vouchsafe',
      'vouchsafe-x',
      'vouchsafe-templates-',
      'vouchsafe-templates-a',
    ]) {
      const container = { name: 'web2', volumeMounts: [{ name: volume, mountPath: '/x' }] };
      const pod = withContainer(podWith(), 'containers', container);
      assert.equal(injectPod(pod).outcome, 'injected', volume);
    }
  });
});

/** Changes that make another program of a container of ours. */
const CHANGES: Readonly<Record<string, (one: Container) => object>> = {
  'another image': () => ({ image: 'evil' }),
  'no image': () => ({ image: undefined }),
  'a command': () => ({ command: ['/bin/evil'] }),
  'other words': () => ({ args: ['agent', '--help'] }),
  'no words': () => ({ args: undefined }),
  'another directory': () => ({ workingDir: '/tmp' }),
  'a hook': () => ({ lifecycle: { postStart: { exec: { command: ['evil'] } } } }),
  'another probe': () => ({ readinessProbe: { exec: { command: ['evil'] } } }),
  'a startup probe that passes': () => ({ startupProbe: { exec: { command: ['true'] } } }),
  'no restart': () => ({ restartPolicy: 'Never' }),
  'variables from elsewhere': () => ({ envFrom: [{ configMapRef: { name: 'evil' } }] }),
  'a device': () => ({ volumeDevices: [{ name: 'disk', devicePath: '/dev/x' }] }),
  'one port more': ({ ports }) => ({ ports: [...(ports ?? []), { containerPort: 1 }] }),
  'its document twice, the second one evil': ({ env }) => ({
    env: [...(env ?? []), { name: 'VOUCHSAFE_CONFIG', value: '{}' }],
  }),
  'its document twice, alike': ({ env }) => ({ env: [...(env ?? []), env?.[0]] }),
  'a variable of ours twice': ({ env }) => ({
    env: [...(env ?? []), { name: 'SPIFFE_ENDPOINT_SOCKET', value: 'unix:///evil' }],
  }),
  'another pod’s name': ({ env }) => ({
    env: env?.map((one) => (one.name === 'POD_NAME' ? { name: 'POD_NAME', value: 'evil' } : one)),
  }),
  'a variable of ours less': ({ env }) => ({ env: env?.slice(0, -1) }),
  'options of Node': ({ env }) => ({
    env: [...(env ?? []), { name: 'NODE_OPTIONS', value: '--require /evil.js' }],
  }),
  'no look at certificates': ({ env }) => ({
    env: [...(env ?? []), { name: 'NODE_TLS_REJECT_UNAUTHORIZED', value: '0' }],
  }),
  'a CA of somebody': ({ env }) => ({
    env: [...(env ?? []), { name: 'SSL_CERT_FILE', value: '/evil.pem' }],
  }),
  'a configuration of OpenSSL': ({ env }) => ({
    env: [...(env ?? []), { name: 'OPENSSL_CONF', value: '/evil.cnf' }],
  }),
  'a library': ({ env }) => ({ env: [...(env ?? []), { name: 'LD_PRELOAD', value: '/evil.so' }] }),
  'no variables': () => ({ env: [] }),
  'all privileges': ({ securityContext }) => ({
    securityContext: { ...securityContext, privileged: true },
  }),
  root: ({ securityContext }) => ({ securityContext: { ...securityContext, runAsUser: 0 } }),
  'a capability': ({ securityContext }) => ({
    securityContext: { ...securityContext, capabilities: { drop: ['ALL'], add: ['SYS_ADMIN'] } },
  }),
  'nothing dropped': ({ securityContext }) => ({
    securityContext: { ...securityContext, capabilities: { drop: [] } },
  }),
  'no seccomp': ({ securityContext }) => ({
    securityContext: { ...securityContext, seccompProfile: { type: 'Unconfined' } },
  }),
  'an SELinux type': ({ securityContext }) => ({
    securityContext: { ...securityContext, seLinuxOptions: { level: 's0', type: 'spc_t' } },
  }),
  'an unmasked /proc': ({ securityContext }) => ({
    securityContext: { ...securityContext, procMount: 'Unmasked' },
  }),
  'no security context': () => ({ securityContext: undefined }),
  'one mount more, over the program': ({ volumeMounts }) => ({
    volumeMounts: [...(volumeMounts ?? []), { name: 'evil', mountPath: '/app' }],
  }),
  'one mount less': ({ volumeMounts }) => ({ volumeMounts: volumeMounts?.slice(1) }),
  'a mount elsewhere': ({ volumeMounts }) => ({
    volumeMounts: volumeMounts?.map((one) => ({ ...one, mountPath: `${one.mountPath}x` })),
  }),
  'a mount of a part': ({ volumeMounts }) => ({
    volumeMounts: volumeMounts?.map((one) => ({ ...one, subPath: 'x' })),
  }),
  'a mount of a part by expression': ({ volumeMounts }) => ({
    volumeMounts: volumeMounts?.map((one) => ({ ...one, subPathExpr: 'x' })),
  }),
  'a mount of another volume': ({ volumeMounts }) => ({
    volumeMounts: volumeMounts?.map((one) => ({ ...one, name: 'evil' })),
  }),
};

/** Changes of others that are accepted. */
const HARMLESS: Readonly<Record<string, (one: Container) => object>> = {
  'resources of an autoscaler': () => ({ resources: { requests: { cpu: '50m' } } }),
  'defaults of the API server': ({ env, livenessProbe }) => ({
    terminationMessagePath: '/dev/termination-log',
    terminationMessagePolicy: 'File',
    env: env?.map((one) => {
      const { valueFrom } = one as { readonly valueFrom?: { readonly fieldRef: object } };
      if (valueFrom === undefined) return one;
      return { ...one, valueFrom: { fieldRef: { apiVersion: 'v1', ...valueFrom.fieldRef } } };
    }),
    ...(typeof livenessProbe === 'object' && {
      livenessProbe: { ...livenessProbe, successThreshold: 1 },
    }),
  }),
  'the pull policy of a plug-in': () => ({ imagePullPolicy: 'Always' }),
  'variables of others': ({ env }) => ({ env: [...(env ?? []), { name: 'DD_ENV', value: 'x' }] }),
  'what OpenShift adds': ({ securityContext }) => ({
    securityContext: {
      ...securityContext,
      seLinuxOptions: { level: 's0:c26,c5' },
      capabilities: { drop: ['ALL', 'KILL'] },
      procMount: 'Default',
      privileged: false,
    },
  }),
};

function changed(pod: Pod, name: string, change: (one: Container) => object): Pod {
  const apply = (one: Container): Container =>
    one.name === name ? { ...one, ...change(one) } : one;
  const { containers, initContainers } = pod.spec;
  const spec = {
    ...pod.spec,
    containers: containers.map(apply),
    initContainers: initContainers?.map(apply),
  };
  return readPod(JSON.parse(JSON.stringify({ ...pod, spec })));
}

const OWN = { native: ['vouchsafe-agent'], pair: ['vouchsafe-init', 'vouchsafe-agent'] } as const;

suite('a container with a reserved name', () => {
  for (const [mode, names] of Object.entries(OWN)) {
    const { pod } = injectPod(podWith({ mode }));
    for (const name of names) {
      for (const [what, change] of Object.entries(CHANGES)) {
        test(`${mode}: ${name} with ${what} is restored`, () => {
          const result = injectPod(changed(pod, name, change));
          assert.equal(result.outcome, 'injected');
          assert.deepEqual(result.pod, pod);
        });
      }
      for (const [what, change] of Object.entries(HARMLESS)) {
        test(`${mode}: ${name} with ${what} stays as it is`, () => {
          assert.equal(injectPod(changed(pod, name, change)).reason, 'already_injected');
        });
      }
    }
  }

  test('whatever is changed about it, the original comes back, or the pod is denied', () => {
    const { pod } = injectPod(podWith());
    const values = fc.oneof(
      fc.jsonValue({ maxDepth: 3 }),
      fc.constantFrom(undefined, true, false, 0, '', [], {}, ['sh', '-c', 'evil']),
    );
    const fields = fc.constantFrom(
      ...['image', 'command', 'args', 'securityContext', 'volumeMounts', 'env', 'lifecycle'],
      ...[
        'workingDir',
        'envFrom',
        'livenessProbe',
        'startupProbe',
        'restartPolicy',
        'ports',
        'stdin',
      ],
    );
    let restored = 0;
    fc.assert(
      fc.property(fields, values, (field, value) => {
        let result;
        try {
          result = injectPod(changed(pod, 'vouchsafe-agent', () => ({ [field]: value })));
        } catch {
          return; // it is no pod any more
        }
        if (result.outcome === 'denied') return;
        assert.deepEqual(result.pod, pod);
        restored += 1;
      }),
      { numRuns: 2000 },
    );
    assert.ok(restored > 500, `${restored} restored`);
  });

  test('a volume with an additional source or item is restored', () => {
    const { pod } = injectPod(podWith({ identity: 'service-account', role: 'web' }));
    const volumes = (pod.spec.volumes ?? []).map((one) =>
      'projected' in one
        ? { ...one, projected: { sources: [...sourcesOf(one), { secret: { name: 'evil' } }] } }
        : { ...one, hostPath: { path: '/' } },
    );
    const result = injectPod(readPod({ ...pod, spec: { ...pod.spec, volumes } }));
    assert.equal(result.outcome, 'injected');
    assert.deepEqual(result.pod, pod);
  });
});

function sourcesOf(volume: object): readonly object[] {
  const { projected } = volume as { readonly projected: { readonly sources: readonly object[] } };
  return projected.sources;
}
