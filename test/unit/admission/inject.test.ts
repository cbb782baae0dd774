import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readPod, type Pod } from '../../../src/admission/index.ts';
import { parseInstallation } from '../../../src/config/installation/index.ts';
import {
  configIn,
  containerOf,
  injectPod,
  OVERRIDABLE,
  podWith,
  prefixed,
  type Given,
} from './harness.ts';

test('pair: an init container that hands over to a sidecar with the same settings', () => {
  const { pod } = injectPod(podWith({ mode: 'pair' }));
  const [init, sidecar] = [containerOf(pod, 'vouchsafe-init'), containerOf(pod, 'vouchsafe-agent')];
  assert.deepEqual(init['args'], ['agent', '--once']);
  assert.deepEqual(sidecar['args'], ['agent']);
  assert.equal(init.restartPolicy, undefined);
  assert.equal(init['livenessProbe'], undefined);
  assert.deepEqual(configIn(pod, 'vouchsafe-init'), configIn(pod));
  for (const container of [init, sidecar]) {
    assert.ok(container.volumeMounts?.some(({ name }) => name === 'vouchsafe-state'));
  }
});

for (const [grace, setting, seconds] of [
  ['left out', undefined, 22],
  [null, undefined, 22],
  [90, undefined, 82],
  [10, undefined, 2],
  [8, undefined, 0],
  [5, undefined, 0],
  [0, undefined, 0],
  [30, '5s', 5],
  [30, '0s', 0],
  [30, '1h', 22],
  [5, '4s', 0],
  [1e15, undefined, 86_392],
] as const) {
  test(`pair: grace period ${grace}, revoke-delay ${setting}: revoked after ${seconds} s`, () => {
    const manifest = podWith({ mode: 'pair', ...(setting && { 'revoke-delay': setting }) });
    const said = grace === 'left out' ? {} : { terminationGracePeriodSeconds: grace };
    const { pod } = injectPod({ ...manifest, spec: { ...manifest.spec, ...said } });
    assert.equal(configIn(pod).revokeDelayMs, seconds * 1000);
  });
}

for (const [mode, container] of [
  ['native', 'vouchsafe-agent'],
  ['init', 'vouchsafe-init'],
] as const) {
  test(`${mode}: no revocation is delayed, because the application has ended before`, () => {
    assert.equal(configIn(injectPod(podWith({ mode })).pod, container).revokeDelayMs, 0);
  });
}

test('init: only the init container, and what it obtained outlives it', () => {
  const { pod } = injectPod(podWith({ mode: 'init' }));
  assert.equal(pod.spec.containers.length, 1);
  const config = configIn(pod, 'vouchsafe-init');
  assert.equal(config.revokeOnExit, false);
  assert.equal(config.stateDirectory, undefined);
  assert.ok(pod.spec.volumes?.every(({ name }) => name !== 'vouchsafe-state'));
});

for (const mode of ['native', 'pair', 'init']) {
  test(`${mode}: an empty directory takes the place of a token for the API server`, () => {
    const { pod } = injectPod(podWith({ mode }));
    const own = [...(pod.spec.initContainers ?? []), ...pod.spec.containers].filter(({ name }) =>
      name.startsWith('vouchsafe-'),
    );
    assert.ok(own.length > 0);
    const path = '/var/run/secrets/kubernetes.io/serviceaccount';
    for (const { name, volumeMounts } of own) {
      const found = volumeMounts?.filter(({ mountPath }) => mountPath === path);
      assert.deepEqual(
        found?.map((mount) => mount.name),
        ['vouchsafe-no-api-token'],
        name,
      );
    }
    const volume = pod.spec.volumes?.find(({ name }) => name === 'vouchsafe-no-api-token');
    assert.deepEqual(volume?.['emptyDir'], { medium: 'Memory', sizeLimit: '64Ki' });
  });

  test(`${mode}: no such directory in a pod that mounts no token for the API server`, () => {
    const { pod } = injectPod(podWith({ mode }, { automountServiceAccountToken: false }));
    assert.doesNotMatch(
      JSON.stringify(pod),
      /vouchsafe-no-api-token|kubernetes\.io\/serviceaccount/,
    );
  });

  test(`${mode}: whether the service account turns the token off is not visible in the pod`, () => {
    for (const automount of [true, null]) {
      const { pod } = injectPod(podWith({ mode }, { automountServiceAccountToken: automount }));
      assert.ok(pod.spec.volumes?.some(({ name }) => name === 'vouchsafe-no-api-token'));
    }
  });

  test(`${mode}: every emptyDir is in memory and has a size, for the cluster autoscaler`, () => {
    for (const identity of ['spiffe', 'service-account']) {
      const { pod } = injectPod(podWith({ mode, identity, 'template-from-b': 'map/key' }));
      const directories = (pod.spec.volumes ?? []).filter((one) => 'emptyDir' in one);
      assert.ok(directories.length >= 2);
      for (const { emptyDir } of directories) {
        assert.match(
          JSON.stringify(emptyDir),
          /^\{"medium":"Memory","sizeLimit":"[1-9]\d*[KM]i"\}$/,
        );
      }
    }
  });
}

test('the directory on disk of an older version is replaced by one in memory', () => {
  const { pod } = injectPod(podWith());
  const onDisk = (one: object): object =>
    'name' in one && one.name === 'vouchsafe-no-api-token' ? { ...one, emptyDir: {} } : one;
  const volumes = pod.spec.volumes?.map(onDisk);
  const again = injectPod(readPod({ ...pod, spec: { ...pod.spec, volumes } }));
  assert.equal(again.outcome, 'injected');
  assert.deepEqual(again.pod, pod);
});

test('an old cluster gets pair unless the pod sets native', () => {
  const old = { kubeVersion: 'v1.28.9-eks-1' };
  assert.equal(injectPod(podWith(), old).pod.spec.containers.length, 2);
  assert.equal(injectPod(podWith(), { kubeVersion: 'v1.29.0' }).pod.spec.containers.length, 1);
  assert.match(
    injectPod(podWith({ mode: 'native' }), old).message,
    /native requires Kubernetes 1\.29/,
  );
  const installation = parseInstallation({ defaults: { mode: 'native' } });
  const { outcome, warnings } = injectPod(podWith(), { ...old, installation });
  assert.equal(outcome, 'injected');
  assert.match(warnings.join('\n'), /pair is used/);
});

test('a Job with mode pair gets a warning', () => {
  const pod = podWith({ mode: 'pair' });
  const owned = { ...pod, metadata: { ...pod.metadata, ownerReferences: [{ kind: 'Job' }] } };
  assert.match(injectPod(owned).warnings.join('\n'), /keeps the pod of a Job running/);
  const once = podWith({ mode: 'pair' }, { restartPolicy: 'Never' });
  assert.match(injectPod(once).warnings.join('\n'), /keeps the pod of a Job running/);
});

test('the injected containers satisfy the restricted Pod Security Standard', () => {
  for (const mode of ['native', 'pair', 'init']) {
    const { pod } = injectPod(podWith({ mode }));
    const own = [...(pod.spec.initContainers ?? []), ...pod.spec.containers].filter(({ name }) =>
      name.startsWith('vouchsafe-'),
    );
    for (const { securityContext } of own) {
      assert.deepEqual(securityContext, {
        allowPrivilegeEscalation: false,
        capabilities: { drop: ['ALL'] },
        readOnlyRootFilesystem: true,
        runAsNonRoot: true,
        runAsUser: 65_532,
        seccompProfile: { type: 'RuntimeDefault' },
      });
    }
  }
});

const USERS: readonly (readonly [
  string,
  Record<string, string>,
  object,
  number | undefined,
  number,
])[] = [
  ['nothing said', {}, {}, 65_532, 0o444],
  ['the pod has a user', {}, { securityContext: { runAsUser: 1000 } }, 1000, 0o440],
  ['the pod runs as root', {}, { securityContext: { runAsUser: 0 } }, 65_532, 0o444],
  [
    'all containers have one user',
    {},
    { containers: [{ name: 'a', securityContext: { runAsUser: 7 } }] },
    7,
    0o440,
  ],
  [
    'containers have several users',
    {},
    {
      containers: [
        { name: 'a', securityContext: { runAsUser: 7 } },
        { name: 'b', securityContext: { runAsUser: 8 } },
      ],
    },
    65_532,
    0o444,
  ],
  [
    'the annotation says it',
    { 'run-as-user': '5' },
    { securityContext: { runAsUser: 9 } },
    5,
    0o444,
  ],
  ['a mode is asked for', { 'file-mode': '0400' }, {}, 65_532, 0o400],
];

for (const [name, annotations, spec, user, mode] of USERS) {
  test(`user and file mode: ${name}`, () => {
    const { pod } = injectPod(podWith(annotations, { ...spec }), { installation: OVERRIDABLE });
    assert.equal(containerOf(pod, 'vouchsafe-agent').securityContext?.runAsUser, user);
    assert.equal(configIn(pod).files[0]?.mode, mode);
  });
}

/** A pod whose fsGroup lets its containers read, all of which have the same user. */
const SHARED = { securityContext: { fsGroup: 2000, runAsUser: 1000 } };
const APART = 65_528;

function userAndMode(pod: Pod, name = 'vouchsafe-agent'): unknown[] {
  return [containerOf(pod, name).securityContext?.runAsUser, configIn(pod, name).files[0]?.mode];
}

for (const [name, spec, user] of [
  ['of a user', SHARED, APART],
  ['of no user', { securityContext: { fsGroup: 2000 } }, APART],
  ['of root', { securityContext: { fsGroup: 2000, runAsUser: 0 } }, APART],
  ['of group 0', { securityContext: { fsGroup: 0 } }, APART],
  ['with the user of the agent', { securityContext: { fsGroup: 2, runAsUser: APART } }, APART - 1],
  [
    'with a container of that user that sees no file',
    {
      securityContext: { fsGroup: 2 },
      containers: [{ name: 'web' }],
      initContainers: [{ name: 'one', securityContext: { runAsUser: APART } }],
    },
    APART - 1,
  ],
  [
    'with containers of many such users',
    {
      securityContext: { fsGroup: 2, runAsUser: APART - 1 },
      containers: [0, 2, 3, 5].map((one) => ({
        name: `c${one}`,
        securityContext: { runAsUser: APART - one },
      })),
    },
    APART - 4,
  ],
] as const) {
  test(`in a pod with an fsGroup, ${name}, the agent has a user of its own`, () => {
    const { pod } = injectPod(podWith({}, spec));
    assert.deepEqual(userAndMode(pod), [user, 0o440]);
  });
}

for (const [name, annotations] of [
  ['an HTTP notification', { 'on-change': 'http:POST http://127.0.0.1:8080/-/reload' }],
  ['an SVID without a key', { 'jwt-svid-token': 'vault' }],
  ['a mode that the group reads by', { 'file-mode': '0640' }],
  ['a mode of a file by which everybody reads', { 'file-mode-app': '0644' }],
  ['a group of the agent', { 'run-as-group': '7' }],
] as const) {
  test(`${name} leaves the agent a user of its own`, () => {
    const result = injectPod(podWith(annotations, SHARED), { installation: OVERRIDABLE });
    assert.equal(userAndMode(result.pod)[0], APART, result.message);
  });
}

const PKI = '{{#with (pki "pki/issue/web" common_name="web")}}{{private_key}}{{/with}}';

for (const [name, annotations] of [
  ['a signal', { 'on-change': 'signal:HUP@web' }],
  ['a signal for one file', { 'on-change-app': 'signal:HUP@web' }],
  ['a restart', { 'on-change': 'restart@web' }],
  ['an X.509-SVID', { 'x509-svid': 'true' }],
  ['a certificate', { 'template-tls': PKI }],
  [
    'a certificate of a path that is made',
    { 'template-tls': PKI.replace('"pki/', '(concat "m" "/').replace('web" c', 'web") c') },
  ],
  [
    'a certificate by a write',
    { 'template-tls': '{{json (secret "pki_int/issue/web" ttl="1h")}}' },
  ],
  ['a private key', { 'secret-tls': 'kvv2/tls#private_key' }],
  ['files for their owner', { 'file-mode': '0400' }],
  ['one file for its owner', { 'file-mode-app': '0600' }],
  ['a file for everybody but the group', { 'file-mode-app': '0404' }],
  ['a file that its owner alone executes', { 'file-mode-app': '0540' }],
  ['a pod that names it', { 'run-as-user': '1000' }],
] as const) {
  test(`${name} needs the user of the application`, () => {
    const result = injectPod(podWith(annotations, SHARED), { installation: OVERRIDABLE });
    assert.equal(userAndMode(result.pod)[0], 1000, result.message);
  });
}

for (const [name, annotations, spec, group] of [
  ['none is said', {}, {}, APART],
  ['the pod has one', {}, { runAsGroup: 3 }, undefined],
  ['one is asked for', { 'run-as-group': '7' }, { runAsGroup: 3 }, 7],
] as const) {
  test(`group of an agent with a user of its own: ${name}`, () => {
    const pod = podWith(annotations, { securityContext: { ...SHARED.securityContext, ...spec } });
    const result = injectPod(pod, { installation: OVERRIDABLE }).pod;
    assert.equal(containerOf(result, 'vouchsafe-agent').securityContext?.runAsGroup, group);
  });
}

test('settings of namespace and installation affect the user like those of the pod', () => {
  for (const defaults of [
    { 'file-mode': '0400' },
    { 'x509-svid': true },
    { 'run-as-user': 1000 },
  ]) {
    const { pod, message } = injectPod(podWith({}, SHARED), {
      installation: parseInstallation({ defaults }),
    });
    assert.equal(userAndMode(pod)[0], 1000, message);
  }
  const { pod } = injectPod(podWith({}, SHARED), {
    namespaceAnnotations: prefixed({ 'file-mode': '0400' }),
  });
  assert.deepEqual(userAndMode(pod), [1000, 0o400]);
});

test('a user of its own does not make files readable for others', () => {
  const { securityContext } = SHARED;
  const { fsGroup: _, ...withoutGroup } = securityContext;
  assert.deepEqual(
    userAndMode(injectPod(podWith({}, { securityContext: withoutGroup })).pod),
    [1000, 0o440],
  );
  const odd = { securityContext: { runAsUser: 1000, fsGroup: '2000' } };
  assert.deepEqual(userAndMode(injectPod(podWith({}, odd)).pod), [1000, 0o440]);
});

test('init container and sidecar of a pair have the same user, also when injected again', () => {
  const { pod } = injectPod(podWith({ mode: 'pair' }, SHARED));
  assert.deepEqual(userAndMode(pod, 'vouchsafe-init'), [APART, 0o440]);
  assert.deepEqual(userAndMode(pod), [APART, 0o440]);
  assert.deepEqual(injectPod(pod).pod, pod);
  const later = { name: 'later', securityContext: { runAsUser: APART } };
  const more = readPod({
    ...pod,
    spec: { ...pod.spec, containers: [...pod.spec.containers, later] },
  });
  const again = injectPod(more).pod;
  assert.equal(userAndMode(again, 'vouchsafe-init')[0], APART - 1);
  assert.equal(userAndMode(again)[0], APART - 1);
});

test('a platform that assigns users is not overruled', () => {
  const installation = parseInstallation({ agent: { setUser: false } });
  for (const spec of [{}, SHARED]) {
    const { pod } = injectPod(podWith({}, spec), { installation });
    assert.deepEqual(userAndMode(pod), [undefined, 0o440]);
  }
});

test('applications see the files read-only, and nothing else of the agent', () => {
  const { pod } = injectPod(podWith({ 'mount-path': '/app/secrets/' }));
  assert.deepEqual(containerOf(pod, 'web').volumeMounts, [
    { name: 'vouchsafe-secrets', mountPath: '/app/secrets', readOnly: true },
  ]);
  assert.equal(configIn(pod).outputDirectory, '/vault/secrets', 'the agent has a place of its own');
});

test('containers and init containers are chosen by name', () => {
  const spec = {
    containers: [{ name: 'web' }, { name: 'log' }],
    initContainers: [{ name: 'one' }, { name: 'two' }],
  };
  const some = injectPod(podWith({ containers: 'log', 'init-containers': 'two' }, spec)).pod;
  const all = injectPod(podWith({ 'init-containers': 'all' }, spec)).pod;
  const seeing = (pod: typeof some): string[] =>
    ['web', 'log', 'one', 'two'].filter(
      (name) => containerOf(pod, name).volumeMounts !== undefined,
    );
  assert.deepEqual(seeing(some), ['log', 'two']);
  assert.deepEqual(seeing(all), ['web', 'log', 'one', 'two']);
});

test('a signal shares the process namespace and identifies the processes', () => {
  const spec = { securityContext: { runAsUser: 1000 } };
  const { pod } = injectPod(podWith({ 'on-change': 'signal:HUP@web' }, spec));
  assert.equal(pod.spec.shareProcessNamespace, true);
  assert.deepEqual(containerOf(pod, 'web').env, [{ name: 'VOUCHSAFE_CONTAINER', value: 'web' }]);
  assert.equal(containerOf(pod, 'vouchsafe-agent').securityContext?.runAsUser, 1000);
  assert.deepEqual(configIn(pod).onChange, [
    { kind: 'signal', signal: 'SIGHUP', container: 'web' },
  ]);
});

test('an HTTP call shares no process namespace', () => {
  const { pod } = injectPod(podWith({ 'on-change': 'http:POST http://127.0.0.1:8080/-/reload' }));
  assert.equal(pod.spec.shareProcessNamespace, undefined);
  assert.equal(containerOf(pod, 'web').env, undefined);
});

test('a service-account token is projected only for the agent, and no Workload API is mounted', () => {
  const { pod } = injectPod(
    podWith({ identity: 'service-account', audience: 'vault-dev', role: 'k8s-dev' }),
  );
  assert.deepEqual(
    pod.spec.volumes?.find(({ name }) => name === 'vouchsafe-token')?.['projected'],
    {
      sources: [
        {
          serviceAccountToken: { audience: 'vault-dev', expirationSeconds: 3600, path: 'token' },
        },
      ],
    },
  );
  assert.ok(pod.spec.volumes.every(({ name }) => name !== 'vouchsafe-spiffe'));
  const { auth, spiffe } = configIn(pod);
  assert.equal(auth?.tokenFile, '/run/vouchsafe/token/token');
  assert.equal(auth.method, 'jwt');
  assert.equal(spiffe, undefined);
});

test("method kubernetes requests a token for the API server's own audience", () => {
  const { pod } = injectPod(podWith({ 'auth-method': 'kubernetes', role: 'r' }));
  const volume = pod.spec.volumes?.find(({ name }) => name === 'vouchsafe-token');
  assert.doesNotMatch(JSON.stringify(volume), /audience/);
});

test('pods with only SVIDs need no Vault', () => {
  const pod = podWith({
    'x509-svid': 'true',
    'file-svid_key': 'tls/key.pem',
    'file-mode-svid_key': '0400',
  });
  const { 'vouchsafe.dev/secret-app': _, ...rest } = pod.metadata.annotations ?? {};
  const result = injectPod({ ...pod, metadata: { ...pod.metadata, annotations: rest } });
  const config = configIn(result.pod);
  assert.equal(config.vault, undefined);
  assert.deepEqual(
    config.files.map(({ path, mode }) => [path, mode]),
    [
      ['svid.pem', 0o444],
      ['tls/key.pem', 0o400],
      ['bundle.pem', 0o444],
    ],
  );
});

test('an X.509-SVID for Java is a key store and a trust store', () => {
  const given = { 'x509-svid': 'true', 'x509-svid-format': 'pkcs12', 'file-svid': 'keystore.p12' };
  const sources = (annotations: object): unknown =>
    configIn(injectPod(podWith({ ...given, ...annotations })).pod).files.flatMap(
      ({ path, mode, source }) => (source.kind === 'x509-svid' ? [[path, mode, source]] : []),
    );
  const common = { kind: 'x509-svid', password: 'changeit' };
  assert.deepEqual(sources({}), [
    ['keystore.p12', 0o444, { ...common, part: 'svid' }],
    ['bundle.p12', 0o444, { ...common, part: 'bundle' }],
  ]);
  assert.deepEqual(sources({ 'x509-svid-password': 'own', 'file-mode-svid': '0400' }), [
    ['keystore.p12', 0o400, { ...common, part: 'svid', password: 'own' }],
    ['bundle.p12', 0o444, { ...common, part: 'bundle', password: 'own' }],
  ]);
});

test('the Workload API comes from a CSI volume, a directory of the node, or nowhere', () => {
  const volumeFor = (spiffe: object): unknown => {
    const { pod } = injectPod(podWith(), { installation: parseInstallation({ spiffe }) });
    return pod.spec.volumes?.find(({ name }) => name === 'vouchsafe-spiffe');
  };
  assert.deepEqual(volumeFor({}), {
    name: 'vouchsafe-spiffe',
    csi: { driver: 'csi.spiffe.io', readOnly: true },
  });
  assert.deepEqual(volumeFor({ volume: 'hostPath', hostPath: '/node/spire' }), {
    name: 'vouchsafe-spiffe',
    hostPath: { path: '/node/spire', type: 'Directory' },
  });
  assert.equal(volumeFor({ volume: 'none' }), undefined);
});

test('templates of ConfigMaps are mounted by key, one volume per ConfigMap', () => {
  const { pod } = injectPod(
    podWith({
      'template-from-a': 'tpl/a',
      'template-from-b': 'tpl/b',
      'template-from-c': 'base/c',
    }),
  );
  assert.deepEqual(pod.spec.volumes?.slice(-2), [
    {
      name: 'vouchsafe-templates-0',
      configMap: { name: 'base', items: [{ key: 'c', path: 'c' }] },
    },
    {
      name: 'vouchsafe-templates-1',
      configMap: {
        name: 'tpl',
        items: [
          { key: 'a', path: 'a' },
          { key: 'b', path: 'b' },
        ],
      },
    },
  ]);
  assert.deepEqual(configIn(pod).files[0]?.source, {
    kind: 'template-file',
    path: '/run/vouchsafe/templates/tpl/a',
  });
});

test('an optional secret is one in the document, and a required one has no word of it', () => {
  const files = (annotations: Given): unknown =>
    injectPod(podWith(annotations)).agentConfig?.files?.map(({ secret, optional }) => [
      secret,
      optional,
    ]);
  assert.deepEqual(files({ 'optional-app': 'true' }), [['kvv2/app', true]]);
  assert.deepEqual(files({ 'optional-app': 'false' }), [['kvv2/app', undefined]]);
  assert.deepEqual(files({}), [['kvv2/app', undefined]]);
});

test('a connection has its own namespace, CA, server name and proxy', () => {
  const installation = parseInstallation({
    vault: {
      default: 'a',
      connections: {
        a: { address: 'https://a:8200' },
        b: {
          address: 'https://b:8200',
          namespace: 'team',
          caConfigMap: { name: 'vault-ca', key: 'ca.crt' },
          tlsServerName: 'vault.example',
          redirectHosts: ['Vault-1.example', '10.0.0.1'],
          proxy: 'http://proxy.example:3128',
        },
      },
    },
  });
  const { pod } = injectPod(podWith({ vault: 'b' }), { installation });
  const { vault } = configIn(pod);
  assert.equal(vault?.address, 'https://b:8200');
  assert.equal(vault.namespace, 'team');
  assert.equal(vault.caFile, '/run/vouchsafe/ca/ca.crt');
  assert.equal(vault.tlsServerName, 'vault.example');
  assert.deepEqual(vault.redirectHosts, ['vault-1.example', '10.0.0.1']);
  assert.equal(vault.proxy, 'http://proxy.example:3128');
  assert.equal(
    configIn(injectPod(podWith({ vault: 'a' }), { installation }).pod).vault?.proxy,
    undefined,
  );
  assert.ok(pod.spec.volumes?.some(({ name }) => name === 'vouchsafe-ca'));
});

test('an address requires the permission of the installation', () => {
  const pod = podWith({ vault: 'https://evil.example:8200' });
  const denied = injectPod(pod);
  assert.deepEqual([denied.outcome, denied.reason], ['denied', 'forbidden']);
  assert.match(
    denied.message,
    /^vouchsafe\.dev\/vault: .*allowPodAddress.*: set the name of a connection$/,
  );
  const installation = parseInstallation({ vault: { allowPodAddress: true } });
  const { outcome, pod: injected } = injectPod(pod, { installation });
  assert.equal(outcome, 'injected');
  assert.equal(configIn(injected).vault?.proxy, undefined, 'no connection, so no proxy of one');
});

test('a pod cannot choose a proxy by itself', () => {
  const installation = parseInstallation({ vault: { allowPodAddress: true } });
  for (const name of ['proxy', 'vault.proxy']) {
    const { pod, warnings } = injectPod(podWith({ [name]: 'http://mine:3128' }), { installation });
    assert.equal(configIn(pod).vault?.proxy, undefined);
    assert.ok(warnings.some((text) => text.includes(`/${name}`)));
  }
  const { outcome } = injectPod(podWith({ 'vault-proxy': 'http://mine:3128' }), { installation });
  assert.equal(outcome, 'denied', 'that is the connection of a file "proxy"');
});

test('what a shell or the kubelet would expand reaches the template as it was written', () => {
  const template = 'home=$(HOME) $$ ${X} `id`\n';
  const { pod } = injectPod(podWith({ 'template-app': template }));
  const text = containerOf(pod, 'vouchsafe-agent').env?.[0]?.value ?? '';
  assert.ok(!text.includes('$'), 'the kubelet expands $(NAME) in environment variables');
  const source = configIn(pod).files[0]?.source;
  assert.equal(source?.kind === 'template' && source.text, template);
});

test('resources are small, and requests, limits and the volume can be chosen', () => {
  const resources = (annotations: Record<string, string>): unknown =>
    containerOf(injectPod(podWith(annotations)).pod, 'vouchsafe-agent')['resources'];
  assert.deepEqual(resources({}), {
    requests: { cpu: '10m', memory: '48Mi' },
    limits: { memory: '128Mi' },
  });
  assert.deepEqual(resources({ cpu: '20m/1', memory: '64Mi' }), {
    requests: { cpu: '20m', memory: '64Mi' },
    limits: { cpu: '1', memory: '64Mi' },
  });
  const { pod } = injectPod(podWith({ 'volume-size': '1Mi' }));
  assert.deepEqual(pod.spec.volumes?.[0]?.['emptyDir'], { medium: 'Memory', sizeLimit: '1Mi' });
});

test('Azure SDKs find their token file; values of the container take precedence', () => {
  const azure = {
    'jwt-svid-azure': 'api://AzureADTokenExchange',
    'file-azure': 'azure/token',
    'azure-client-id': 'client',
    'azure-tenant-id': 'tenant',
  };
  const own = { containers: [{ name: 'web', env: [{ name: 'AZURE_TENANT_ID', value: 'mine' }] }] };
  const { pod, warnings } = injectPod(podWith(azure, own));
  assert.deepEqual(containerOf(pod, 'web').env, [
    { name: 'AZURE_TENANT_ID', value: 'mine' },
    { name: 'AZURE_CLIENT_ID', value: 'client' },
    { name: 'AZURE_AUTHORITY_HOST', value: 'https://login.microsoftonline.com/' },
    { name: 'AZURE_FEDERATED_TOKEN_FILE', value: '/vault/secrets/azure/token' },
  ]);
  assert.match(warnings.join(), /web sets AZURE_TENANT_ID itself/);
});

const SKIPPED: readonly (readonly [
  string,
  string,
  Parameters<typeof injectPod>[1],
  Record<string, string>,
])[] = [
  ['not_requested', 'inject is false', {}, { inject: 'false' }],
  ['not_requested', 'inject is false, whatever else is wrong', {}, { inject: 'false', mode: 'x' }],
  ['excluded_namespace', 'a system namespace', { namespace: 'kube-system' }, {}],
  [
    'excluded_namespace',
    'a namespace that the installation excludes',
    {
      namespace: 'vouchsafe',
      installation: parseInstallation({ webhook: { excludedNamespaces: ['vouchsafe'] } }),
    },
    {},
  ],
];

for (const [reason, name, input, annotations] of SKIPPED) {
  test(`skipped: ${name}`, () => {
    const pod = podWith(annotations);
    const result = injectPod(pod, input);
    assert.deepEqual([result.outcome, result.reason], ['skipped', reason]);
    assert.equal(result.pod, pod);
  });
}

test('a namespace that requests injection skips pods that request no file', () => {
  const pod = { metadata: {}, spec: { containers: [{ name: 'web' }] } };
  const result = injectPod(pod, { namespaceAnnotations: prefixed({ inject: 'true' }) });
  assert.deepEqual([result.outcome, result.reason], ['skipped', 'nothing_requested']);
});

test('files without inject lead to a hint', () => {
  const pod = podWith();
  const { 'vouchsafe.dev/inject': _, ...annotations } = pod.metadata.annotations ?? {};
  const result = injectPod({ ...pod, metadata: { annotations } });
  assert.equal(result.outcome, 'skipped');
  assert.match(result.warnings.join(), /set vouchsafe\.dev\/inject/);
});

test('a container whose image has the user can be signalled where `run-as-user` names that user', () => {
  const asked = { 'on-change': 'signal:HUP@web' };
  assert.equal(injectPod(podWith(asked)).outcome, 'denied');
  const { outcome, pod } = injectPod(podWith({ ...asked, 'run-as-user': '999' }), {
    installation: OVERRIDABLE,
  });
  assert.equal(outcome, 'injected');
  assert.equal(containerOf(pod, 'vouchsafe-agent').securityContext?.runAsUser, 999);
});

test('a misspelt `inject` leads to a warning for a pod that is not injected', () => {
  const annotations = { 'vouchsafe.dev/injct': 'true' };
  const { outcome, warnings } = injectPod(
    readPod({ metadata: { annotations }, spec: { containers: [{ name: 'web' }] } }),
  );
  assert.equal(outcome, 'skipped');
  assert.match(warnings.join(), /injct; did you mean vouchsafe\.dev\/inject\?/);
});
