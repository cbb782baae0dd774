import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { applyPatch, type Operation } from 'rfc6902';
import {
  inject,
  jsonPatch,
  readPod,
  removeInjection,
  type InjectionInput,
  type InjectionResult,
  type Pod,
} from '../../../src/admission/index.ts';
import { parseInstallation } from '../../../src/config/installation/index.ts';
import { configIn, injectPod, podWith, prefixed } from './harness.ts';

const maybe = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(arbitrary, { nil: undefined });

/** Lists are absent, null, empty or filled: removal must restore the pod exactly. */
const emptyOr = <T>(filled: fc.Arbitrary<T[]>): fc.Arbitrary<T[] | null | undefined> =>
  fc.oneof(fc.constant(undefined), fc.constant(null), filled);

const named = (prefix: string): fc.Arbitrary<{ name: string }[]> =>
  fc.array(fc.nat(9), { maxLength: 3 }).map((ids) => ids.map((id) => ({ name: `${prefix}${id}` })));

const container = fc.record(
  {
    image: maybe(fc.constant('image:1')),
    env: emptyOr(named('VAR_')),
    volumeMounts: emptyOr(
      named('data').map((list) => list.map((one) => ({ ...one, mountPath: `/mnt/${one.name}` }))),
    ),
    securityContext: maybe(fc.record({ runAsUser: fc.constantFrom(0, 7, 8) })),
    restartPolicy: maybe(fc.constant('Always')),
  },
  { requiredKeys: [] },
);

const containers = (names: readonly string[], least: number): fc.Arbitrary<object[]> =>
  fc
    .array(container, { minLength: least, maxLength: names.length })
    .map((list) => list.map((one, index) => ({ name: names[index], ...one })));

const ownAnnotations = fc.record(
  {
    inject: fc.constant('true'),
    'secret-app': fc.constantFrom('kvv2/app', 'kvv2/app#key'),
    'template-app': fc.constantFrom('{{json this}}', 'x=$(HOME) $$'),
    mode: fc.constantFrom('native', 'pair', 'csi'),
    'x509-svid': fc.constantFrom('true', 'false'),
    'on-change': fc.constantFrom('signal:HUP@web', 'http:PUT http://127.0.0.1:1/'),
    'init-containers': fc.constant('all'),
    'jwt-svid-azure': fc.constant('api://AzureADTokenExchange'),
    'azure-client-id': fc.constant('c'),
    'azure-tenant-id': fc.constant('t'),
    identity: fc.constantFrom('spiffe', 'service-account'),
    'template-from-b': fc.constant('map/key'),
    'init-first': fc.constantFrom('true', 'false'),
    port: fc.constantFrom('9102', '9200'),
  },
  { requiredKeys: ['inject', 'secret-app'] },
);

const AWS = {
  'jwt-svid-aws': 'sts.amazonaws.com',
  'aws-role-arn': 'arn:aws:iam::123456789012:role/app',
};
const GCP = {
  'jwt-svid-gcp': 'gcp',
  'gcp-audience': 'gcp',
  'gcp-workload-identity-provider':
    'projects/1/locations/global/workloadIdentityPools/spire/providers/spire',
};

/** With clouds, each as a whole. */
const annotations = fc
  .tuple(ownAnnotations, fc.constantFrom({}, {}, AWS, GCP, { ...AWS, ...GCP }))
  .map(([own, clouds]) => ({ ...own, ...clouds }));

const annotationsOfCsi = fc.record(
  {
    inject: fc.constant('true'),
    'secret-app': fc.constantFrom('kvv2/app', 'kvv2/app#key'),
    mode: fc.constant('csi'),
    'template-app': fc.constantFrom('{{json this}}', 'x=$(HOME) $$'),
    'x509-svid': fc.constantFrom('true', 'false'),
    'init-containers': fc.constant('all'),
    'volume-size': fc.constantFrom('1Mi', '8Mi', '9Mi'),
    identity: fc.constantFrom('spiffe', 'service-account'),
  },
  { requiredKeys: ['inject', 'secret-app', 'mode'] },
);

/** What a mesh has already put among the init containers. */
const setUps = fc.constantFrom(
  [],
  [],
  [{ name: 'istio-init', args: ['-p', '15001', '-d', '15090'] }],
  [{ name: 'linkerd-init', args: ['--inbound-ports-to-ignore', '4190, 9000-9150'] }],
  [{ name: 'kuma-init' }, { name: 'kuma-sidecar', restartPolicy: 'Always' }],
);

const ofMeshes = fc.record(
  {
    'traffic.sidecar.istio.io/excludeInboundPorts': fc.constantFrom('', '80', ' 80, 9102 ', '1-9'),
    'config.linkerd.io/skip-inbound-ports': fc.constantFrom('25,', '9000-9110'),
    'linkerd.io/inject': fc.constantFrom('enabled', 'disabled'),
  },
  { requiredKeys: [] },
);

/** With a driver that has SVIDs, so that most pods can have csi. */
const INSTALLATION = parseInstallation({
  csi: { enabled: true, identity: { kind: 'delegated', socket: '/run/spire/admin/api.sock' } },
});
const injectAny = (pod: Pod): InjectionResult => injectPod(pod, { installation: INSTALLATION });

const anyPod = fc
  .record({
    given: fc.oneof(annotations, annotationsOfCsi),
    other: maybe(fc.constant({ team: 'a' })),
    containers: containers(['web', 'log', 'istio-proxy', 'queue-proxy'], 1),
    initContainers: emptyOr(containers(['one', 'istio-proxy-init', 'two'], 0)),
    setUps,
    meshes: ofMeshes,
    labels: maybe(fc.constantFrom({}, { 'sidecar.istio.io/inject': 'true' })),
    volumes: emptyOr(named('volume')),
    securityContext: maybe(fc.record({ fsGroup: maybe(fc.nat(9)), runAsUser: maybe(fc.nat(9)) })),
    shareProcessNamespace: maybe(fc.constantFrom(true, null)),
  })
  .map(({ given, other, labels, meshes, setUps: added, ...rest }): Pod => {
    const metadata = {
      name: 'x',
      labels,
      annotations: { ...other, ...meshes, ...prefixed(given) },
    };
    const initContainers =
      added.length === 0 ? rest.initContainers : [...(rest.initContainers ?? []), ...added];
    const spec = { ...rest, initContainers };
    // JSON has no undefined: absent means absent.
    const pod: unknown = { apiVersion: 'v1', kind: 'Pod', metadata, spec };
    return readPod(JSON.parse(JSON.stringify(pod)));
  });

test('patches apply, injection is idempotent and repeatable, and can be removed', () => {
  const outcomes = { injected: 0, denied: 0, skipped: 0 };
  let byDriver = 0;
  fc.assert(
    fc.property(anyPod, (pod) => {
      const bytes = JSON.stringify(pod);
      const result = injectAny(pod);
      outcomes[result.outcome] += 1;
      assert.equal(JSON.stringify(pod), bytes, 'the pod that was given is not changed');
      assert.equal(
        JSON.stringify(injectAny(readPod(JSON.parse(bytes))).pod),
        JSON.stringify(result.pod),
      );
      if (result.outcome !== 'injected') return;

      const patched = structuredClone(pod);
      const patch = JSON.parse(JSON.stringify(jsonPatch(pod, result.pod))) as Operation[]; // as sent
      assert.ok(applyPatch(patched, patch).every((failure) => failure === null));
      assert.deepEqual(patched, result.pod);

      const again = injectAny(readPod(patched));
      assert.deepEqual([again.outcome, again.reason], ['skipped', 'already_injected']);
      assert.deepEqual(removeInjection(result.pod, 'vouchsafe.dev'), pod);
      const files = result.pod.spec.volumes?.find(({ name }) => name === 'vouchsafe-secrets');
      if (files !== undefined && 'csi' in files) byDriver += 1;
      else configIn(result.pod); // the agent can read what it is given
    }),
    { numRuns: 400 },
  );
  assert.ok(byDriver > 30, String(byDriver));
  assert.ok(outcomes.injected > 100 && outcomes.denied > 5, JSON.stringify(outcomes));
});

test('a pod without a record is returned unchanged', () => {
  fc.assert(
    fc.property(anyPod, (pod) => {
      assert.equal(removeInjection(pod, 'vouchsafe.dev'), pod);
    }),
  );
});

test('removal does not throw, whatever the record contains', () => {
  fc.assert(
    fc.property(fc.oneof(fc.json(), fc.string()), (marks) => {
      const pod = podWith({ status: 'injected', injected: marks }, { volumes: [] });
      removeInjection(pod, 'vouchsafe.dev');
      assert.equal(injectPod(pod).outcome, 'injected');
    }),
  );
});

test('the annotation is not sufficient: copied pods get their agent, with a warning', () => {
  const result = injectPod(podWith({ status: 'injected' }));
  assert.equal(result.outcome, 'injected');
  assert.match(result.warnings.join(), /copied from a running pod/);
});

test('a copied pod whose annotations were edited gets the new configuration', () => {
  const first = injectPod(podWith()).pod;
  const { annotations: known } = first.metadata;
  const edited = { ...known, ...prefixed({ 'secret-app': 'kvv2/other' }) };
  const result = injectPod({ ...first, metadata: { ...first.metadata, annotations: edited } });
  assert.equal(result.outcome, 'injected');
  assert.match(JSON.stringify(configIn(result.pod).files), /kvv2\/other/);
  assert.equal(result.pod.spec.initContainers?.length, 1);
});

test('additions of other webhooks and the API server to the agent are kept', () => {
  const first = injectPod(podWith({ 'template-from-b': 'map/key' })).pod;
  const defaulted: Pod = {
    ...first,
    spec: {
      ...first.spec,
      initContainers: (first.spec.initContainers ?? []).map((one) => ({
        ...one,
        terminationMessagePath: '/dev/termination-log',
      })),
      volumes: (first.spec.volumes ?? []).map((one) =>
        'configMap' in one
          ? { ...one, configMap: { ...Object(one['configMap']), defaultMode: 420 } }
          : one,
      ),
    },
  };
  assert.equal(injectPod(defaulted).reason, 'already_injected');
});

test('a container that another webhook added later gets the files, too', () => {
  const first = injectPod(podWith()).pod;
  const spec = { ...first.spec, containers: [...first.spec.containers, { name: 'late' }] };
  const { outcome, pod } = injectPod({ ...first, spec });
  assert.equal(outcome, 'injected');
  assert.equal(pod.spec.containers.at(-1)?.volumeMounts?.length, 1);
});

test('another prefix works the same and leaves other annotations unchanged', () => {
  const input: InjectionInput = {
    pod: readPod({
      metadata: { annotations: { 'v.example/inject': 'true', 'v.example/secret-a': 'kv/a' } },
      spec: { containers: [{ name: 'web' }] },
    }),
    namespace: 'default',
    installation: parseInstallation({ annotationPrefix: 'v.example' }),
    checkTemplate: () => ({ problems: [], dependencies: [] }),
  };
  const { pod } = inject(input);
  assert.equal(pod.metadata.annotations?.['v.example/status'], 'injected');
  assert.deepEqual(removeInjection(pod, 'v.example'), input.pod);
});

test('containers with names of prototype properties are injected, injected again and restored', () => {
  const containers = [{ name: 'constructor' }, { name: '__proto__' }, { name: 'web' }];
  const securityContext = { runAsUser: 7 };
  for (const container of ['constructor', 'web']) {
    // `__proto__` is no valid name, but the API server says so only after admission.
    const pod = podWith(
      { 'on-change': `signal:HUP@${container}` },
      { containers, securityContext },
    );
    const result = injectPod(pod);
    assert.equal(result.outcome, 'injected');
    assert.equal(injectPod(result.pod).reason, 'already_injected');
    assert.deepEqual(removeInjection(result.pod, 'vouchsafe.dev'), pod);
  }
});

test('a list that lost items is replaced', () => {
  const before = { names: ['a', 'b', 'c'], other: 1 };
  const after = { names: ['c', 'd'], other: 1 };
  assert.deepEqual(jsonPatch(before, after), [
    { op: 'replace', path: '/names', value: ['c', 'd'] },
  ]);
});

test('a patch of long lists takes time proportional to their length', () => {
  const volumes = Array.from({ length: 4000 }, (_, index) => ({ name: `volume${index}` }));
  const pod = podWith({}, { volumes });
  const patch = jsonPatch(pod, injectPod(pod).pod);
  assert.ok(patch.length < 20);
});
