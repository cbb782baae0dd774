/**
 * Annotations of pod and namespace, and attributes of a CSI volume, in hostile hands: a patch, a plan or a rejection
 * that names what is wrong, never a crash.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  answerReview,
  inject,
  planVolume,
  readPod,
  removeInjection,
  type Pod,
} from '../../../src/admission/index.ts';
import { parseInstallation } from '../../../src/config/installation/index.ts';
import { outputPathProblem, VouchsafeError } from '../../../src/core/index.ts';
import { checkTemplate } from '../../../src/template/index.ts';
import {
  holds,
  hostileText,
  hostileValue,
  mutated,
  mutatedText,
  PROTOTYPE_NAMES,
} from '../../helpers/arbitraries.ts';
import { configIn, injectPod, podWith } from '../admission/harness.ts';

const INSTALLATION = parseInstallation({});
const WITH_BROKER = parseInstallation({
  csi: {
    enabled: true,
    identity: {
      kind: 'broker',
      socket: '/run/spire/broker/api.sock',
      agentIds: ['spiffe://example.org/spire/agent/x'],
    },
  },
});

/** Good values by annotation; `<name>` stands for the name of a file. */
const GOOD: Readonly<Record<string, readonly string[]>> = {
  inject: ['true', 'true', 'true', 'false'],
  mode: ['native', 'pair', 'init', 'csi'],
  identity: ['spiffe', 'service-account'],
  vault: ['default', 'https://vault.example:8200'],
  role: ['demo'],
  'auth-method': ['jwt', 'cert', 'spiffe', 'kubernetes'],
  'auth-mount': ['auth/jwt'],
  'auth-svid': ['jwt', 'x509'],
  audience: ['vault'],
  'spiffe-id': ['spiffe://example.org/web'],
  'spiffe-hint': ['internal'],
  'x509-svid': ['true', 'false'],
  'x509-svid-format': ['pem', 'pkcs12'],
  'x509-svid-password': ['changeit'],
  refresh: ['5m', '1h30m'],
  'file-mode': ['0440'],
  'on-change': ['signal:HUP@web', 'restart@web', 'http:POST http://127.0.0.1:8080/-/reload'],
  containers: ['web', 'constructor,web'],
  'init-containers': ['all', 'one'],
  'mount-path': ['/vault/secrets'],
  'volume-size': ['16Mi'],
  'on-missing-vault': ['fail', 'wait'],
  'init-deadline': ['2m'],
  'revoke-on-exit': ['true'],
  'revoke-grace': ['10s'],
  'revoke-delay': ['5s'],
  cpu: ['10m', '10m/1'],
  memory: ['48Mi/128Mi'],
  'log-level': ['debug'],
  'run-as-user': ['65532'],
  'run-as-group': ['65532'],
  image: ['registry.example/vouchsafe:1', 'vouchsafe@sha256:abcdef'],
  port: ['9102'],
  'azure-client-id': ['00000000-0000-0000-0000-000000000001'],
  'azure-tenant-id': ['00000000-0000-0000-0000-000000000002'],
  'azure-authority-host': ['https://login.microsoftonline.com'],
  'aws-role-arn': ['arn:aws:iam::123456789012:role/app'],
  'aws-region': ['eu-central-1'],
  'aws-role-session-name': ['web'],
  'aws-audience': ['sts.amazonaws.com'],
  'gcp-workload-identity-provider': [
    'projects/1/locations/global/workloadIdentityPools/spire/providers/spire',
  ],
  'gcp-service-account': ['app@project.iam.gserviceaccount.com'],
  'gcp-audience': ['//iam.googleapis.com/x'],
  'env-on-change': ['restart', 'none'],
  'env-X': ['kvv2/app#key'],
  'env-<name>': ['kvv2/app#key', 'kvv2/app'],
  'env-template-<name>': ['{{secret "kv/b"}}'],
  'env-optional-<name>': ['true'],
  status: ['injected'],
  injected: ['{"env":{"web":["X"]},"empty":{"volumes":null}}'],
  'secret-<name>': ['kvv2/app', 'kvv2/app#key'],
  'template-<name>': ['{{json this}}', '{{#with (secret "kv/b")}}{{password}}{{/with}}'],
  'template-from-<name>': ['map/key'],
  'format-<name>': ['json', 'env', 'raw'],
  'file-<name>': ['app.json', 'tls/server.pem'],
  'file-mode-<name>': ['0400'],
  'refresh-<name>': ['30s'],
  'on-change-<name>': ['signal:USR1@constructor'],
  'jwt-svid-<name>': ['api://AzureADTokenExchange', 'a,b'],
};

const fileName = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom('app', 'b', 'svid') },
  { weight: 1, arbitrary: fc.constantFrom<string>('..', '.', '..data', 'a..', ...PROTOTYPE_NAMES) },
  { weight: 1, arbitrary: hostileText },
);

const annotation = fc
  .tuple(fc.constantFrom(...Object.entries(GOOD)), fileName)
  .chain(([[name, values], file]) =>
    fc.tuple(
      fc.constant(`vouchsafe.dev/${name.replace('<name>', () => file)}`),
      fc.oneof(
        { weight: 6, arbitrary: fc.constantFrom(...values) },
        { weight: 2, arbitrary: mutatedText(...values) },
        { weight: 1, arbitrary: hostileText },
      ),
    ),
  );

const odd = fc.tuple(
  fc.oneof(
    hostileText.map((name) => `vouchsafe.dev/${name}`),
    hostileText,
  ),
  hostileText,
);

const annotations = fc
  .array(fc.oneof({ weight: 6, arbitrary: annotation }, { weight: 1, arbitrary: odd }), {
    maxLength: 6,
  })
  .map((entries): Record<string, string> => Object.fromEntries(entries));

const containerNames = fc.shuffledSubarray(['web', 'constructor', '__proto__', 'toString'], {
  minLength: 1,
});

const pods = fc
  .record({
    given: annotations,
    asks: fc.boolean(),
    names: containerNames,
    env: fc.constantFrom(undefined, null, [], [{ name: '__proto__', value: 'x' }]),
    initContainers: fc.constantFrom(undefined, null, [], [{ name: 'one' }, { name: 'valueOf' }]),
  })
  .map(({ given, asks, names, env, initContainers }): Pod => {
    const asked = asks
      ? { 'vouchsafe.dev/inject': 'true', 'vouchsafe.dev/secret-app': 'kvv2/app' }
      : {};
    const pod: unknown = {
      metadata: { annotations: { ...asked, ...given } },
      spec: { containers: names.map((name) => ({ name, env })), initContainers },
    };
    return readPod(JSON.parse(JSON.stringify(pod)));
  });

test('a patch that can be repeated and taken away, or a denial that names what is wrong', () => {
  const outcomes = { injected: 0, denied: 0, skipped: 0 };
  holds(fc.tuple(pods, annotations), 1500, ([pod, namespaceAnnotations]) => {
    const input = {
      pod,
      namespace: 'shop',
      namespaceAnnotations,
      checkTemplate,
      installation: WITH_BROKER,
    };
    const result = inject(input);
    outcomes[result.outcome] += 1;
    if (result.outcome === 'denied') {
      assert.ok(result.problems.length > 0);
      for (const { path, message } of result.problems) {
        assert.match(path, /^(vouchsafe\.dev\/|spec\b)/);
        assert.notEqual(message, '');
      }
    }
    if (result.outcome !== 'injected') return;
    const again = inject({ ...input, pod: readPod(structuredClone(result.pod)) });
    assert.deepEqual([again.outcome, again.reason], ['skipped', 'already_injected']);
    assert.deepEqual(
      removeInjection(result.pod, 'vouchsafe.dev'),
      removeInjection(pod, 'vouchsafe.dev'),
    );
    assertConfined(result.pod);
  });
  assert.ok(outcomes.injected > 100 && outcomes.denied > 100, JSON.stringify(outcomes));
});

test('attributes of a volume: a plan with files that stay in it, or problems that name what is wrong', () => {
  const counts = { planned: 0, refused: 0 };
  const installations = [INSTALLATION, WITH_BROKER];
  const input = fc.record({
    given: annotations,
    namespaceAnnotations: annotations,
    hasGroup: fc.boolean(),
    installation: fc.constantFrom(...installations),
    pod: fc.record({ namespace: hostileText, serviceAccount: hostileText }),
    noise: fc.constantFrom<readonly string[]>(
      [],
      ['inject', 'containers', 'mode', 'image', 'port'],
    ),
  });
  holds(input, 1500, ({ given, noise, ...rest }) => {
    const entries = Object.entries({ 'vouchsafe.dev/secret-app': 'kvv2/app', ...given })
      .map(([name, text]) => [name.replace('vouchsafe.dev/', ''), text] as const)
      .filter(([name]) => !noise.includes(name));
    const plan = planVolume({ ...rest, attributes: Object.fromEntries(entries), checkTemplate });
    counts[plan.kind] += 1;
    if (plan.kind === 'refused') {
      assert.ok(plan.problems.length > 0);
      for (const { message } of plan.problems) assert.notEqual(message, '');
      return;
    }
    const { config, sizeBytes } = plan;
    for (const { path } of config.files) assert.equal(outputPathProblem(path), undefined, path);
    assert.ok(sizeBytes >= 65_536 && sizeBytes <= rest.installation.csi.maxVolumeBytes);
    const actions = [config.onChange, ...config.files.map(({ onChange }) => onChange)].flat();
    assert.deepEqual([actions, config.listen, config.stateDirectory], [[], undefined, undefined]);
  });
  assert.ok(counts.planned > 100 && counts.refused > 100, JSON.stringify(counts));
});

test('annotations as large as the API server lets them be are answered in time', () => {
  const names = fc.constantFrom(
    ...['secret-a', 'template-a', 'on-change', 'containers', 'refresh', 'jwt-svid-a', 'image'],
    ...['mount-path', 'file-a', 'spiffe-id', 'memory', 'auth-mount', 'azure-client-id', 'injected'],
  );
  const units = fc.oneof(
    fc.constantFrom(
      'a',
      'a,',
      '1h',
      '{{a}}',
      '{{#a}}',
      '{{#if x}}',
      '(',
      'a/',
      '-',
      '{',
      '[',
      ' ',
      '/',
    ),
    fc.constantFrom('{{!', '"', '@', '.', '\\', '\n', '${', 'signal:HUP@web,', '0', 'a..', 'é'),
    mutatedText(...Object.values(GOOD).flat()).filter((text) => text !== ''),
  );
  holds(fc.tuple(names, units, fc.string()), 60, ([name, unit, end]) => {
    const text = unit.repeat(Math.floor(250_000 / unit.length)).slice(0, 250_000) + end;
    injectPod(podWith({ [name]: text }));
  });
});

test('long runs of one character take time by their length', () => {
  const [slashes, dashes] = ['/', '-'].map((one) => one.repeat(200_000));
  holds(fc.constant(`${slashes}x`), 1, (path) => {
    assert.equal(injectPod(podWith({ 'mount-path': path })).outcome, 'denied');
    const container = { name: 'web', volumeMounts: [{ name: 'data', mountPath: path }] };
    injectPod(podWith({}, { containers: [container] }));
    injectPod(podWith({ [`templat${dashes}x`]: '' }));
  });
});

test('thousands of unknown and of invalid annotations are answered in time', () => {
  const starts = fc.constantFrom('secret-', 'file-', 'templates-', 'x', 'env-');
  const many = fc.tuple(starts, fc.string({ maxLength: 8 }));
  holds(many, 6, ([start, end]) => {
    const entries = Array.from({ length: 4000 }, (_, index) => [`${start}${index}${end}`, 'kv/a']);
    const result = injectPod(podWith(Object.fromEntries(entries) as Record<string, string>)); // pairs of texts
    assert.ok(result.warnings.length < 100);
  });
});

const EXAMPLE = podWith(
  { 'on-change': 'signal:HUP@web', 'x509-svid': 'true' },
  {
    containers: [
      {
        name: 'web',
        image: 'web:1',
        env: [{ name: 'A', value: 'b' }],
        volumeMounts: [{ name: 'data', mountPath: '/data' }],
        ports: [{ containerPort: 80 }],
        securityContext: { runAsUser: 7 },
      },
      { name: 'log' },
    ],
    initContainers: [{ name: 'one', restartPolicy: 'Always' }],
    volumes: [{ name: 'data', emptyDir: {} }],
    securityContext: { fsGroup: 5, runAsUser: 6 },
    os: { name: 'linux' },
    nodeSelector: { 'kubernetes.io/os': 'linux' },
    restartPolicy: 'Never',
    shareProcessNamespace: false,
  },
);

test('a pod with unusual parts is rejected as malformed, or answered', () => {
  const injected = injectPod(EXAMPLE).pod;
  const either = fc.oneof(mutated(EXAMPLE), mutated(injected), hostileValue);
  holds(either, 1500, (value) => {
    let pod: Pod;
    try {
      pod = readPod(value);
    } catch (error) {
      assert.ok(error instanceof VouchsafeError && error.code === 'ERR_ADMISSION_MALFORMED');
      return;
    }
    const request = { uid: 'u', namespace: 'shop', dryRun: false, pod };
    const { answer } = answerReview(request, { installation: INSTALLATION, checkTemplate });
    assert.equal(answer.response.uid, 'u');
    JSON.parse(JSON.stringify(answer));
    removeInjection(pod, 'vouchsafe.dev');
  });
});

function assertConfined(pod: Pod): void {
  const init = pod.spec.initContainers ?? [];
  for (const name of ['vouchsafe-agent', 'vouchsafe-init']) {
    if (!init.some((one) => one.name === name)) continue;
    for (const { path } of configIn(pod, name).files) {
      assert.equal(outputPathProblem(path), undefined, path);
    }
  }
}
