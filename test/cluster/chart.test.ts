/**
 * The chart by real Helm: what it renders, and what it rejects. Helm is VOUCHSAFE_TEST_HELM.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { CHART, helmProgram, renderedFiles, template } from '../../.tools/chart.ts';
import { parseInstallation } from '../../src/config/installation/index.ts';
import { parseDocumentText } from '../../src/config/schema/index.ts';
import { tempDirectory } from '../helpers/temp-directory.ts';
import { blocksOf, MANUAL, readText } from '../unit/docs/documents.ts';

const skip =
  process.env['VOUCHSAFE_TEST_HELM'] === undefined && 'VOUCHSAFE_TEST_HELM names no helm';

type Fields = Readonly<Record<string, unknown>>;

interface Manifest {
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly [field: string]: unknown;
}

/** The objects with these values, each a line such as `a.b=c`. */
function objects(
  values: readonly string[] = [],
  flags: readonly string[] = [],
): readonly Manifest[] {
  const text = template([...values.flatMap((value) => ['--set', value]), ...flags]);
  return parseAllDocuments(text).map((document) => {
    assert.deepEqual(document.errors, []);
    return document.toJS() as Manifest; // Helm has read its kind and name
  });
}

function one(all: readonly Manifest[], kind: string, name = 'vouchsafe-webhook'): Manifest {
  const [found, ...more] = all.filter((each) => each.kind === kind && each.metadata.name === name);
  assert.ok(found, `there is a ${kind} ${name}`);
  assert.equal(more.length, 0);
  return found;
}

/** A value by its path; names with dots are not needed. */
function at(value: unknown, path: string): unknown {
  return path.split('.').reduce((rest, key) => (rest as Fields | undefined)?.[key], value); // or else undefined
}

const ALL_ON = [
  'metrics.serviceMonitor.enabled=true',
  'metrics.podMonitor.enabled=true',
  'metrics.rules.enabled=true',
  'metrics.dashboard.enabled=true',
  'priorityClassQuota=true',
  'webhook.hostNetwork=true',
  'imagePullSecrets[0].name=registry',
  'tolerations[0].operator=Exists',
  'networkPolicy.metricsFrom[0].podSelector.matchLabels.a=b',
  'webhook.matchConditions[0].name=more',
  'webhook.matchConditions[0].expression=true',
  'webhook.namespaceSelector.matchLabels.a=b',
  'webhook.namespaceSelector.matchExpressions[0].key=c',
  'webhook.namespaceSelector.matchExpressions[0].operator=Exists',
  'webhook.objectSelector.matchLabels.a=b',
  'commonLabels.team=a',
  'podLabels.x=y',
  'podAnnotations.x=y',
  'service.annotations.x=y',
  'serviceAccount.annotations.x=y',
  'webhook.annotations.x=y',
  'csi.enabled=true',
  'csi.podLabels.x=y',
  'csi.podAnnotations.x=y',
  'csi.serviceAccount.annotations.x=y',
];

/** The driver by identity. */
const DRIVERS: Readonly<Record<string, readonly string[]>> = {
  'service-account': ['csi.enabled=true'],
  broker: [
    'csi.enabled=true',
    'csi.identity.kind=broker',
    'csi.identity.socket=/run/spire/broker/api.sock',
  ],
  delegated: [
    'csi.enabled=true',
    'csi.identity.kind=delegated',
    'csi.identity.socket=unix:///run/spire/admin/api.sock',
  ],
};

const CERTIFICATES: Readonly<Record<string, readonly string[]>> = {
  own: [],
  certManager: ['certificate.mode=certManager'],
  'cert-manager with an issuer': ['certificate.mode=certManager', 'certificate.issuerRef.name=ca'],
  secret: ['certificate.mode=secret', 'certificate.secretName=mine'],
  'secret with its CA': [
    'certificate.mode=secret',
    'certificate.secretName=mine',
    'certificate.caBundle=-----BEGIN CERTIFICATE-----',
  ],
  spiffe: ['certificate.mode=spiffe'],
};

test('helm lint finds nothing', { skip }, () => {
  for (const others of [...Object.values(CERTIFICATES), ...Object.values(DRIVERS)]) {
    const flags = [...ALL_ON, ...others].flatMap((value) => ['--set', value]);
    execFileSync(helmProgram(), ['lint', '--strict', '--quiet', CHART, ...flags], {
      stdio: 'pipe',
    });
  }
});

test('the golden file and the plain manifests are those of the chart', { skip }, () => {
  for (const [path, text] of renderedFiles()) {
    const present = readFileSync(join(CHART, '../..', path), 'utf8');
    assert.equal(present, text, `${path} is stale: run .tools/chart.ts`);
  }
});

for (const [name, values] of Object.entries(CERTIFICATES)) {
  test(`an upgrade touches nothing that others write: ${name}`, { skip }, () => {
    const all = objects([...ALL_ON, ...values]);
    assert.ok(!all.some(({ kind }) => kind === 'Secret' || kind === 'Lease'));
    const { webhooks } = one(all, 'MutatingWebhookConfiguration') as {
      webhooks?: readonly unknown[];
    };
    const bundles = webhooks?.map((webhook) => at(webhook, 'clientConfig.caBundle'));
    const given =
      name === 'secret with its CA' ? 'LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t' : undefined;
    assert.deepEqual(bundles, [given, given]);
  });

  test(`the webhook can read its document: ${name}`, { skip }, async () => {
    const vault = ['vault.connections.a.address=http://a', 'vault.connections.b.address=http://b'];
    const choice = ['vault.default=b', 'agent.setUser=false', 'webhook.excludedNamespaces={x,y}'];
    const document = at(one(objects([...values, ...vault, ...choice]), 'ConfigMap'), 'data');
    const text = (document as Fields)['values.yaml']; // a ConfigMap has data
    assert.ok(typeof text === 'string');
    const installation = parseInstallation(await parseDocumentText(text));
    assert.equal(installation.vault.default, 'b');
    assert.equal(installation.agent.setUser, false);
    assert.equal(installation.agent.image, 'vouchsafe:0.1.0');
    const { excludedNamespaces } = installation.webhook;
    assert.deepEqual(excludedNamespaces.slice(3), ['x', 'y', 'vouchsafe']);
  });
}

/** Rules of a role: `verbs group/resource names`. */
function rulesOf(role: Manifest): readonly string[] {
  return (role['rules'] as readonly Readonly<Record<string, readonly string[]>>[]).map((rule) => {
    const { verbs = [], apiGroups = [], resources = [], resourceNames = [] } = rule;
    return `${verbs.join(' ')}: ${apiGroups.join()}/${resources.join()} ${resourceNames.join()}`.trim();
  });
}

const CLUSTER_RULES = [
  'get list watch: /namespaces',
  'get list watch patch: admissionregistration.k8s.io/mutatingwebhookconfigurations vouchsafe-webhook',
  'create patch: events.k8s.io/events',
];

test('rights are the least: own CA', { skip }, () => {
  const all = objects();
  assert.deepEqual(rulesOf(one(all, 'ClusterRole')), CLUSTER_RULES);
  assert.deepEqual(rulesOf(one(all, 'Role')), [
    'get list watch patch: /secrets vouchsafe-webhook-tls',
    'get update: coordination.k8s.io/leases vouchsafe-webhook',
    'create: /secrets',
    'create: coordination.k8s.io/leases',
  ]);
});

test('rights are the least: cert-manager, and no events', { skip }, () => {
  const all = objects(['certificate.mode=certManager', 'events.enabled=false']);
  assert.deepEqual(rulesOf(one(all, 'ClusterRole')), [
    'get list watch: /namespaces',
    'get list watch: admissionregistration.k8s.io/mutatingwebhookconfigurations vouchsafe-webhook',
  ]);
  assert.ok(!all.some(({ kind }) => kind === 'Role'));
});

for (const name of ['secret', 'spiffe']) {
  test(`rights are the least: ${name}`, { skip }, () => {
    const all = objects(CERTIFICATES[name]);
    assert.deepEqual(rulesOf(one(all, 'ClusterRole')), CLUSTER_RULES);
    assert.ok(!all.some(({ kind }) => kind === 'Role'));
  });
}

test(
  'of its registration the webhook may change the bundle alone, where it changes it at all',
  { skip },
  () => {
    const named = (values: readonly string[], flags: readonly string[] = []): readonly string[] =>
      objects(values, flags)
        .filter(({ metadata }) => metadata.name === 'vouchsafe-ca-bundle')
        .map(({ kind }) => kind);
    const both = ['ValidatingAdmissionPolicy', 'ValidatingAdmissionPolicyBinding'];
    for (const mode of ['own', 'secret', 'spiffe'])
      assert.deepEqual(named(CERTIFICATES[mode] ?? []), both);
    assert.deepEqual(named(CERTIFICATES['certManager'] ?? []), []);
    assert.deepEqual(named(['admissionPolicy.enabled=false']), []);
    assert.deepEqual(named([], ['--kube-version', '1.29.0']), []);
    const policy = one(objects(['serviceAccount.name=mine']), both[0] ?? '', 'vouchsafe-ca-bundle');
    const [{ expression }] = at(policy, 'spec.matchConditions') as [{ expression: string }];
    assert.equal(expression, "request.userInfo.username == 'system:serviceaccount:vouchsafe:mine'");
  },
);

test(
  'metrics are for the own namespace, for a Prometheus that is asked for, or for whom is named',
  { skip },
  () => {
    const from = (values: readonly string[]): unknown => {
      const all = objects(['csi.enabled=true', ...values]);
      const driver = at(one(all, 'NetworkPolicy', 'vouchsafe-csi'), 'spec.ingress.0.from');
      assert.deepEqual(at(one(all, 'NetworkPolicy'), 'spec.ingress.1.from'), driver);
      return driver;
    };
    const own = { podSelector: {} };
    assert.deepEqual(from([]), [own]);
    const prometheus = {
      namespaceSelector: {},
      podSelector: { matchLabels: { 'app.kubernetes.io/name': 'prometheus' } },
    };
    assert.deepEqual(from(['metrics.podMonitor.enabled=true']), [own, prometheus]);
    assert.deepEqual(from(['metrics.serviceMonitor.enabled=true']), [own, prometheus]);
    const helmTest = {
      podSelector: {
        matchLabels: {
          'app.kubernetes.io/instance': 'vouchsafe',
          'app.kubernetes.io/component': 'test',
        },
      },
    };
    assert.deepEqual(from(['networkPolicy.metricsFrom[0].podSelector.matchLabels.a=b']), [
      { podSelector: { matchLabels: { a: 'b' } } },
      helmTest,
    ]);
  },
);

/** The flags that have to do with the certificate, and the Secret that is mounted. */
function certificateOf(values: readonly string[] = []): readonly unknown[] {
  const deployment = one(objects(values), 'Deployment');
  const args = at(deployment, 'spec.template.spec.containers.0.args') as readonly string[];
  const volumes = at(deployment, 'spec.template.spec.volumes') as readonly unknown[];
  const mounted = volumes.map((volume) => at(volume, 'secret.secretName')).filter(Boolean);
  return [...args.filter((arg) => /^--(tls|lease)/.test(arg)), ...mounted];
}

test('the webhook has the path of its certificate', { skip }, () => {
  const own = ['--tls-secret=vouchsafe-webhook-tls', '--lease=vouchsafe-webhook'];
  const ca = '--tls-ca=/run/vouchsafe/tls/ca.crt';
  assert.deepEqual(certificateOf(CERTIFICATES['own']), own);
  assert.deepEqual(certificateOf(CERTIFICATES['certManager']), [ca, 'vouchsafe-webhook-tls']);
  assert.deepEqual(certificateOf(CERTIFICATES['secret']), [ca, 'mine']);
  assert.deepEqual(certificateOf(CERTIFICATES['secret with its CA']), ['mine']);
  assert.deepEqual(certificateOf(CERTIFICATES['spiffe']), []);
});

test('cert-manager: the certificate has the name that the API server asks for', { skip }, () => {
  const all = objects(['certificate.mode=certManager', 'certificate.validity=1d12h']);
  const certificate = one(all, 'Certificate');
  assert.deepEqual(
    (at(certificate, 'spec.dnsNames') as readonly string[])[0],
    'vouchsafe-webhook.vouchsafe.svc',
  );
  assert.equal(at(certificate, 'spec.duration'), '129600s');
  assert.equal(at(certificate, 'spec.issuerRef.name'), 'vouchsafe-webhook-ca');
  one(all, 'Issuer', 'vouchsafe-webhook-ca');
  const { annotations } = one(all, 'MutatingWebhookConfiguration').metadata;
  assert.equal(annotations?.['cert-manager.io/inject-ca-from'], 'vouchsafe/vouchsafe-webhook');
  const given = objects(CERTIFICATES['cert-manager with an issuer']);
  assert.equal(at(one(given, 'Certificate'), 'spec.issuerRef.name'), 'ca');
  assert.ok(!given.some(({ kind }) => kind === 'Issuer'));
});

test('an SVID: the webhook sees the Workload API as pods do', { skip }, () => {
  const volume = (values: readonly string[]): unknown =>
    at(
      one(objects(['certificate.mode=spiffe', ...values]), 'Deployment'),
      'spec.template.spec.volumes.1',
    );
  const name = 'workload-api';
  assert.deepEqual(volume([]), { name, csi: { driver: 'csi.spiffe.io', readOnly: true } });
  const hostPath = { path: '/run/x', type: 'Directory' };
  const socket = 'spiffe.socket=unix:///run/x/agent.sock';
  assert.deepEqual(volume(['spiffe.volume=hostPath', socket]), { name, hostPath });
  assert.equal(volume(['spiffe.volume=none', 'spiffe.socket=tcp://127.0.0.1:1']), undefined);
});

test(
  "values for SPIRE's own chart: its directory of the node, at that of the default socket",
  { skip },
  () => {
    const values = ['spiffe.volume=hostPath', 'spiffe.hostPath=/run/spire/agent-sockets'];
    const deployment = one(objects(['certificate.mode=spiffe', ...values]), 'Deployment');
    const name = 'workload-api';
    assert.deepEqual(at(deployment, 'spec.template.spec.volumes.1'), {
      name,
      hostPath: { path: '/run/spire/agent-sockets', type: 'Directory' },
    });
    const mounts = at(deployment, 'spec.template.spec.containers.0.volumeMounts');
    const mount = (mounts as readonly Fields[]).find((one) => one['name'] === name); // a list of mounts
    assert.equal(mount?.['mountPath'], '/run/spire/sockets');
    const text = at(one(objects(values), 'ConfigMap'), 'data') as Fields; // a ConfigMap has data
    assert.match(String(text['values.yaml']), /socket: \/run\/spire\/sockets\/agent\.sock/);
  },
);

test('values of the manual render', { skip }, (t) => {
  const values = blocksOf('yaml').filter((text) => !text.includes('\nkind: '));
  assert.ok(values.length >= 4);
  const file = join(tempDirectory(t), 'values.yaml');
  for (const text of values) {
    writeFileSync(file, text);
    assert.ok(objects([], ['--values', file]).length > 5, text);
  }
});

test('commands of the manual have flags that Helm knows', { skip }, () => {
  const documents = [MANUAL, readText('manifests/vouchsafe/README.md')];
  const commands = documents
    .flatMap((document) => blocksOf('sh', document))
    .flatMap((block) => block.match(/^helm .*$/gm) ?? []);
  assert.ok(commands.length >= 6);
  for (const command of commands) {
    const [, subcommand = '', ...words] = command.split(' ');
    const help = execFileSync(helmProgram(), [subcommand, '--help'], { encoding: 'utf8' });
    for (const flag of words.filter((word) => word.startsWith('--'))) {
      assert.match(help, new RegExp(`${flag}\\b`), command);
    }
  }
});

test('no driver unless it is asked for', { skip }, () => {
  const kinds = objects().map(({ kind }) => kind);
  assert.ok(!kinds.some((kind) => ['DaemonSet', 'CSIDriver'].includes(kind)));
});

for (const [name, values] of Object.entries(DRIVERS)) {
  test(`webhook and driver can read their document: ${name}`, { skip }, async () => {
    const text = at(one(objects(values), 'ConfigMap'), 'data') as Fields; // a ConfigMap has data
    const document = await parseDocumentText(String(text['values.yaml']));
    const { csi } = parseInstallation(document);
    assert.deepEqual([csi.enabled, csi.identity.kind], [true, name]);
    // What the chart alone reads restarts nobody.
    assert.equal(at(document, 'csi.resources'), undefined);
  });
}

const POD = 'spec.template.spec';

/** Volumes of the driver, `name source`. */
function volumesOf(values: readonly string[]): readonly string[] {
  const driver = one(objects(values), 'DaemonSet', 'vouchsafe-csi');
  return (at(driver, `${POD}.volumes`) as readonly Fields[]).map((volume) => {
    const kind = Object.keys(volume).find((key) => key !== 'name');
    const source = [at(volume, 'hostPath.path'), at(volume, 'csi.driver'), kind];
    return `${String(volume['name'])} ${source.find((one) => typeof one === 'string') ?? ''}`;
  });
}

const ALWAYS = [
  'config configMap',
  'mounter emptyDir',
  'kubernetes-api projected',
  'plugin /var/lib/kubelet/plugins/csi.vouchsafe.dev',
  'registration /var/lib/kubelet/plugins_registry',
  'pods /var/lib/kubelet/pods',
  'state /run/vouchsafe-csi/csi.vouchsafe.dev',
];

test('the driver sees the places of the node that it needs, and no others', { skip }, () => {
  assert.deepEqual(volumesOf(DRIVERS['service-account'] ?? []), ALWAYS);
  const broker = DRIVERS['broker'] ?? [];
  const identity = 'identity /run/spire/broker';
  assert.deepEqual(volumesOf(broker), [...ALWAYS, identity, 'workload-api csi.spiffe.io']);
  const onNode = ['spiffe.volume=hostPath', 'spiffe.socket=/run/spire/sockets/agent.sock'];
  assert.deepEqual(volumesOf([...broker, ...onNode]), [
    ...ALWAYS,
    identity,
    'workload-api /run/spire/sockets',
  ]);
  const inOne = 'spiffe.socket=/run/spire/broker/agent.sock';
  assert.deepEqual(volumesOf([...broker, inOne]), [...ALWAYS, identity]);
  const overTcp = 'csi.identity.socket=tcp://10.0.0.1:8443';
  assert.deepEqual(volumesOf([...broker, overTcp]), [...ALWAYS, 'workload-api csi.spiffe.io']);
  assert.deepEqual(volumesOf(DRIVERS['delegated'] ?? []), [...ALWAYS, 'identity /run/spire/admin']);
});

test(
  'the driver has its memory limit as a variable, and no variable without a limit: that would be the memory of the node',
  { skip },
  () => {
    const limitOf = (values: readonly string[]): readonly unknown[] => {
      const all = objects(['csi.enabled=true', ...values]);
      const container = at(
        one(all, 'DaemonSet', 'vouchsafe-csi'),
        'spec.template.spec.containers.0',
      );
      const env = at(container, 'env') as readonly {
        readonly name: string;
        readonly valueFrom: unknown;
      }[];
      const flag = (at(container, 'args') as readonly string[]).filter((word) =>
        word.startsWith('--memory-limit'),
      );
      return [
        ...flag,
        ...env.filter(({ name }) => name === 'MEMORY_LIMIT').map((found) => found.valueFrom),
      ];
    };
    const source = { resourceFieldRef: { containerName: 'driver', resource: 'limits.memory' } };
    assert.deepEqual(limitOf([]), ['--memory-limit=$(MEMORY_LIMIT)', source]);
    for (const none of [
      'csi.resources.limits=null',
      'csi.resources=null',
      'csi.resources.limits.memory=null',
    ]) {
      assert.deepEqual(limitOf([none]), [], none);
    }
  },
);

test(
  'the privilege sits in the mounter, which has nothing else: no token, no values, no port',
  { skip },
  () => {
    const pod = one(objects(DRIVERS['service-account']), 'DaemonSet', 'vouchsafe-csi');
    for (const field of ['hostNetwork', 'hostPID', 'hostIPC']) {
      assert.equal(at(pod, `${POD}.${field}`), undefined);
    }
    assert.equal(at(pod, `${POD}.automountServiceAccountToken`), false);
    assert.equal((at(pod, `${POD}.containers`) as readonly unknown[]).length, 2);
    const mounter = at(pod, `${POD}.containers.1`) as Fields;
    assert.deepEqual(mounter['securityContext'], {
      privileged: true,
      runAsUser: 0,
      runAsGroup: 0,
      readOnlyRootFilesystem: true,
    });
    assert.deepEqual(
      [mounter['name'], mounter['ports'], mounter['env']],
      ['mounter', undefined, undefined],
    );
    assert.deepEqual(mounter['volumeMounts'], [
      { name: 'mounter', mountPath: '/mounter' },
      { name: 'pods', mountPath: '/var/lib/kubelet/pods', mountPropagation: 'Bidirectional' },
    ]);
  },
);

test(
  'the driver has no privilege and no capability, and writes nowhere in pods but to what is mounted',
  { skip },
  () => {
    for (const values of Object.values(DRIVERS)) {
      const pod = one(objects(values), 'DaemonSet', 'vouchsafe-csi');
      assert.deepEqual(at(pod, `${POD}.securityContext`), {
        seccompProfile: { type: 'RuntimeDefault' },
      });
      const driver = at(pod, `${POD}.containers.0`) as Fields;
      assert.deepEqual(driver['securityContext'], {
        allowPrivilegeEscalation: false,
        capabilities: { drop: ['ALL'] },
        runAsUser: 0,
        runAsGroup: 0,
        readOnlyRootFilesystem: true,
        seLinuxOptions: { type: 'spc_t' },
      });
      const mounts = driver['volumeMounts'] as readonly Fields[];
      const shared = mounts.filter((mount) => mount['mountPropagation'] !== undefined);
      assert.deepEqual(shared, [
        {
          name: 'pods',
          mountPath: '/var/lib/kubelet/pods',
          mountPropagation: 'HostToContainer',
          readOnly: true,
        },
      ]);
      const users = at(pod, `${POD}.containers`) as readonly Fields[];
      const sharing = users.filter((container) =>
        (container['volumeMounts'] as readonly Fields[]).some(({ name }) => name === 'mounter'),
      );
      assert.deepEqual(
        sharing.map(({ name }) => name),
        ['driver', 'mounter'],
      );
      assert.equal(at(pod, `${POD}.priorityClassName`), 'system-node-critical');
      assert.deepEqual(at(pod, `${POD}.tolerations`), [{ operator: 'Exists' }]);
    }
  },
);

test('another kubelet and another driver are others everywhere', { skip }, () => {
  const values = ['csi.kubeletDirectory=/var/lib/k0s/kubelet', 'csi.driverName=csi.example.org'];
  const all = objects([...values, 'csi.enabled=true']);
  one(all, 'CSIDriver', 'csi.example.org');
  const text = JSON.stringify(one(all, 'DaemonSet', 'vouchsafe-csi'));
  assert.doesNotMatch(text, /\/var\/lib\/kubelet|csi\.vouchsafe\.dev/);
  const policy = one(all, 'ValidatingAdmissionPolicy', 'vouchsafe-injected');
  assert.match(JSON.stringify(policy), /csi\.example\.org/);
});

test('the CSIDriver object has what the driver requires', { skip }, () => {
  const driver = (values: readonly string[], flags: readonly string[] = []): unknown =>
    one(objects([...values, 'csi.enabled=true'], flags), 'CSIDriver', 'csi.vouchsafe.dev')['spec'];
  assert.deepEqual(driver([]), {
    volumeLifecycleModes: ['Ephemeral'],
    attachRequired: false,
    podInfoOnMount: true,
    requiresRepublish: true,
    fsGroupPolicy: 'None',
    seLinuxMount: true,
    storageCapacity: false,
    tokenRequests: [{ audience: 'vault' }],
    serviceAccountTokenInSecrets: true,
  });
  const audiences = at(driver(['csi.tokenAudiences={a,}']), 'tokenRequests');
  assert.deepEqual(audiences, [{ audience: 'a' }, { audience: '' }]);
  const older = driver([], ['--kube-version', '1.34.9']);
  assert.equal(at(older, 'serviceAccountTokenInSecrets'), undefined);
  const none = [...(DRIVERS['broker'] ?? []), 'csi.tokenAudiences=null'];
  assert.equal(at(driver(none, ['--kube-version', '1.35.0']), 'tokenRequests'), undefined);
});

test('the kubelet projects ClusterTrustBundles of connections into the driver', { skip }, () => {
  const bundles = [
    'vault.connections.a.address=https://a',
    'vault.connections.a.clusterTrustBundle.name=example.org:vault:v1',
    'vault.connections.b.address=https://b',
    'vault.connections.b.clusterTrustBundle.signerName=example.org/vault',
    'vault.connections.c.address=https://c',
  ];
  const all = objects([...bundles, 'csi.enabled=true'], ['--kube-version', '1.37.0']);
  const pod = at(one(all, 'DaemonSet', 'vouchsafe-csi'), POD);
  const volumes = at(pod, 'volumes') as readonly Fields[];
  const a = { name: 'example.org:vault:v1', path: 'a.crt', optional: true };
  const b = { signerName: 'example.org/vault', labelSelector: {}, path: 'b.crt', optional: true };
  const sources = [{ clusterTrustBundle: a }, { clusterTrustBundle: b }];
  assert.deepEqual(
    at(
      volumes.find(({ name }) => name === 'ca'),
      'projected',
    ),
    { sources },
  );
  const [driver, mounter] = at(pod, 'containers') as readonly Fields[];
  assert.match(
    JSON.stringify(driver),
    /"name":"ca","mountPath":"\/run\/vouchsafe\/ca","readOnly":true/,
  );
  assert.doesNotMatch(JSON.stringify(mounter), /vouchsafe\/ca/);
  const old = /clusterTrustBundle of a, b requires Kubernetes 1\.37, and this is v1\.36\.3/;
  assert.throws(() => objects(bundles, ['--kube-version', '1.36.3']), old);
  const gated = ['--api-versions', 'certificates.k8s.io/v1beta1/ClusterTrustBundle'];
  assert.ok(objects(bundles, ['--kube-version', '1.36.3', ...gated]).length > 0);
});

test('rights of the driver are the least', { skip }, () => {
  const rules = (name: string): readonly string[] =>
    rulesOf(one(objects(DRIVERS[name]), 'ClusterRole', 'vouchsafe-csi'));
  assert.deepEqual(rules('service-account'), ['get list watch: /namespaces']);
  assert.deepEqual(rules('broker'), ['get list watch: /namespaces']);
  assert.deepEqual(rules('delegated'), ['get list watch: /namespaces', 'get: /pods']);
  const none = objects(['csi.enabled=true', 'rbac.create=false']);
  assert.ok(!none.some(({ kind }) => kind.startsWith('ClusterRole')));
});

test('the driver uses a service account that is there already', { skip }, () => {
  const values = ['csi.serviceAccount.create=false', 'csi.serviceAccount.name=mine'];
  const all = objects([...values, 'csi.enabled=true']);
  assert.ok(!all.some((each) => each.kind === 'ServiceAccount' && each.metadata.name === 'mine'));
  const driver = one(all, 'DaemonSet', 'vouchsafe-csi');
  assert.equal(at(driver, `${POD}.serviceAccountName`), 'mine');
});

test('the driver is watched where there is one', { skip }, () => {
  const on = ['metrics.podMonitor.enabled=true', 'metrics.rules.enabled=true'];
  const groups = (all: readonly Manifest[]): readonly unknown[] =>
    (at(one(all, 'PrometheusRule', 'vouchsafe'), 'spec.groups') as readonly Fields[]).map(
      (group) => group['name'],
    );
  const without = objects(on);
  assert.ok(!groups(without).includes('vouchsafe-csi'));
  assert.ok(!without.some(({ metadata }) => metadata.name === 'vouchsafe-csi'));
  const all = objects([...on, 'csi.enabled=true']);
  assert.ok(groups(all).includes('vouchsafe-csi'));
  const monitor = one(all, 'PodMonitor', 'vouchsafe-csi');
  const policy = one(all, 'NetworkPolicy', 'vouchsafe-csi');
  const labels = at(one(all, 'DaemonSet', 'vouchsafe-csi'), 'spec.template.metadata.labels');
  for (const selector of [at(monitor, 'spec.selector'), at(policy, 'spec.podSelector')]) {
    const wanted = Object.entries(at(selector, 'matchLabels') as Fields);
    for (const [name, value] of wanted) assert.equal((labels as Fields)[name], value);
  }
  const rules = JSON.stringify(at(one(all, 'PrometheusRule', 'vouchsafe'), 'spec.groups'));
  assert.equal(
    rules.match(/\{namespace=\\"vouchsafe\\",daemonset=\\"vouchsafe-csi\\"\}/g)?.length,
    2,
  );
  // The webhook's own objects do not take the driver's pods for theirs.
  const service = at(one(all, 'Service'), 'spec.selector') as Fields;
  assert.notEqual(
    (labels as Fields)['app.kubernetes.io/component'],
    service['app.kubernetes.io/component'],
  );
});

test('system priority classes need a quota for both', { skip }, () => {
  const classes = (values: readonly string[]): unknown =>
    at(
      one(objects(['priorityClassQuota=true', ...values]), 'ResourceQuota'),
      'spec.scopeSelector.matchExpressions.0.values',
    );
  assert.deepEqual(classes([]), ['system-cluster-critical']);
  const both = ['system-cluster-critical', 'system-node-critical'];
  assert.deepEqual(classes(['csi.enabled=true']), both);
});

test('another prefix is another in every condition', { skip }, () => {
  const text = template([
    '--set',
    'annotationPrefix=secrets.example.org',
    '--show-only=templates/webhook.yaml',
  ]);
  const policy = template([
    '--set',
    'annotationPrefix=secrets.example.org',
    '--show-only=templates/admissionpolicy.yaml',
    '--show-only=templates/misplacedpolicy.yaml',
  ]);
  assert.doesNotMatch(text.replaceAll(/name: \w+\.vouchsafe\.dev/g, '') + policy, /vouchsafe\.dev/);
});

test('an old cluster: no policy, and the webhook knows it', { skip }, () => {
  const all = objects([], ['--kube-version', '1.28.3']);
  assert.ok(!all.some(({ kind }) => kind.startsWith('ValidatingAdmissionPolicy')));
  const args = at(one(all, 'Deployment'), 'spec.template.spec.containers.0.args');
  assert.ok((args as readonly string[]).includes('--kube-version=v1.28.3'));
});

test('settings that no pod gets cause a warning and never a denial', { skip }, () => {
  const name = 'vouchsafe-misplaced';
  const all = objects();
  const policy = one(all, 'ValidatingAdmissionPolicy', name);
  assert.equal(at(policy, 'spec.failurePolicy'), 'Ignore');
  const binding = one(all, 'ValidatingAdmissionPolicyBinding', name);
  assert.deepEqual(at(binding, 'spec.validationActions'), ['Warn']);
  const off = objects(['admissionPolicy.enabled=false']);
  assert.ok(!off.some(({ metadata }) => metadata.name === name));
});

test('the policy warns instead', { skip }, () => {
  const binding = one(
    objects(['admissionPolicy.action=warn']),
    'ValidatingAdmissionPolicyBinding',
    'vouchsafe-injected',
  );
  assert.deepEqual(at(binding, 'spec.validationActions'), ['Warn', 'Audit']);
});

const REFUSED: Readonly<Record<string, readonly [readonly string[], RegExp]>> = {
  'an unknown key': [['replica=3'], /\breplica\b.*not allowed/],
  'a wrong type': [['replicas=two'], /\breplicas: |\/replicas'/],
  'a word that is none': [['webhook.failurePolicy=Maybe'], /webhook.failurePolicy/],
  'an annotation that has no default': [['defaults.rolle=x'], /rolle/],
  'a Secret without name': [['certificate.mode=secret'], /certificate\.secretName: is required/],
  'an identity that is none': [['csi.identity.kind=x509'], /csi.identity.kind/],
  'two drivers of one node': [['csi.updateStrategy.rollingUpdate.maxSurge=1'], /maxSurge/],
  'a driver name that is none': [['csi.driverName=CSI'], /csi.driverName/],
  'a service account of the driver without name': [
    ['csi.enabled=true', 'csi.serviceAccount.create=false'],
    /csi\.serviceAccount\.name: is required/,
  ],
  'a service account without name': [
    ['serviceAccount.create=false'],
    /serviceAccount\.name: is required/,
  ],
};

for (const [name, [values, pattern]] of Object.entries(REFUSED)) {
  test(`rejected: ${name}`, { skip }, () => {
    assert.throws(
      () => objects(values),
      (error) => error instanceof Error && pattern.test(error.message),
    );
  });
}

test('a cluster without matchConditions is rejected', { skip }, () => {
  assert.throws(() => objects([], ['--kube-version', '1.27.0']), /kubeVersion/);
});
