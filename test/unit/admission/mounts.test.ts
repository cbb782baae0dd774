import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseInstallation } from '../../../src/config/installation/index.ts';
import { injectPod, podWith, problemsOf } from './harness.ts';

const TOKEN = '/var/run/secrets/kubernetes.io/serviceaccount';
const CSI = { csi: { enabled: true, identity: { kind: 'service-account' } } };

type Mount = Readonly<Record<string, unknown>> & { readonly mountPath: string };

/** A container that mounts the volume `d` so. */
function web(...mounts: readonly Mount[]): Record<string, unknown> {
  return { name: 'web', volumeMounts: mounts.map((mount) => ({ name: 'd', ...mount })) };
}

function podAt(mountPath: string, spec: Readonly<Record<string, unknown>>, mode = 'native') {
  return podWith({ 'mount-path': mountPath, mode }, spec);
}

function denialOf(mountPath: string, spec: Readonly<Record<string, unknown>>, mode?: string) {
  const installation = parseInstallation(mode === 'csi' ? CSI : {});
  const result = injectPod(podAt(mountPath, spec, mode), { installation });
  assert.equal(result.outcome, 'denied');
  const problems = problemsOf(result);
  assert.equal(problems.length, 1, problems.join('\n'));
  return problems.join();
}

for (const mode of ['native', 'pair', 'init', 'csi']) {
  for (const path of [
    ...['/', '/bin', '/boot', '/dev', '/etc', '/home', '/lib', '/lib64', '/opt', '/proc', '/root'],
    ...['/run', '/sbin', '/sys', '/tmp', '/usr', '/usr/bin', '/usr/lib', '/usr/local', '/var'],
    ...['/var/run', '/var/lock', '/var/lib', '/var/log', '/var/tmp', '/etc/', '/var/run/'],
    ...['/etc/ssl', '/etc/ssl/certs', '/etc/pki', '/etc/pki/tls/certs', '/etc/pki/ca-trust'],
    ...['/usr/share/ca-certificates', '/usr/lib/x86_64-linux-gnu', '/lib/aarch64-linux-gnu'],
    ...['/etc/passwd', '/etc/group', '/etc/passwd/x'],
    ...['/etc/hosts', '/etc/resolv.conf', '/etc/hostname', '/etc/hosts/x'],
  ]) {
    test(`${mode}: nothing of the system is hidden: ${path}`, () => {
      assert.match(denialOf(path, {}, mode), /^mount-path: must /);
    });
  }
}

for (const path of [
  '/etc/web',
  '/run/web',
  '/var/run/web',
  '/srv',
  '/mnt',
  '/tmp/x',
  '/opt/web',
  '/etc/ssl/web',
  '/etc/pki/web',
]) {
  test(`a directory of its own is accepted: ${path}`, () => {
    const { outcome, warnings, message } = injectPod(podAt(path, {}));
    assert.deepEqual([outcome, warnings], ['injected', []], message);
  });
}

/** Mount path of the files, and mount path of the volume. */
const SAME: readonly (readonly [string, string])[] = [
  ['/run/web', '/var/run/web'],
  ['/var/run/web', '/run/web'],
  ['/var/run/web', '/var/run/web/'],
  ['/run/web', '/var/run/web/sub'],
  ['/var/run/web', '/run/web/sub'],
  ['/var/lock/web', '/run/lock/web'],
  ['/run/lock/web', '/var/run/lock/web'],
  ['/run/secrets', TOKEN],
  ['/run/secrets/kubernetes.io', TOKEN],
  ['/var/run/secrets', TOKEN],
  ['/data', '/data/../data'],
  ['/data', '//data'],
  ['/data', '/data//x'],
  ['/data', '/data/./x/'],
  ['/data', 'data'],
  ['/data/', '/other/../data/x'],
];

for (const [path, other] of SAME) {
  test(`files at ${path} and a volume at ${other} conflict`, () => {
    for (const mode of ['native', 'csi']) {
      const text = denialOf(path, { containers: [web({ mountPath: other })] }, mode);
      assert.ok(text.includes(`mounts volume "d" at ${other}, which conflicts with`), text);
    }
  });
}

test('the reason says that a link makes two paths one', () => {
  const text = denialOf('/run/web', { containers: [web({ mountPath: '/var/run/web' })] });
  assert.match(text, /\/var\/run is \/run/);
  const plain = denialOf('/srv/web', { containers: [web({ mountPath: '/srv/web/x' })] });
  assert.doesNotMatch(plain, /\/var\/run/);
});

test('similar names do not conflict', () => {
  for (const [path, other] of [
    ['/run/web', '/var/runs/web'],
    ['/data', '/data-2'],
    ['/run/web', '/var/run/web2'],
    ['/data/x', '/data/../x'],
  ] as const) {
    const { outcome, message } = injectPod(
      podAt(path, { containers: [web({ mountPath: other })] }),
    );
    assert.equal(outcome, 'injected', message);
  }
});

test('a device conflicts like a mount', () => {
  for (const devicePath of ['/data/disk', '/data/disk/x', '/data']) {
    const containers = [{ name: 'web', volumeDevices: [{ name: 'd', devicePath }] }];
    assert.match(denialOf('/data/disk', { containers }), /device "d"/);
  }
});

/** A volume, and how it is mounted at /data. */
const UNWRITABLE: Readonly<Record<string, readonly [object, object, RegExp]>> = {
  'a read-only emptyDir': [{ emptyDir: {} }, { readOnly: true }, /"d" read-only: /],
  'a recursively read-only one': [
    { emptyDir: {} },
    { readOnly: true, recursiveReadOnly: 'Enabled' },
    /read-only/,
  ],
  'a read-only mount of a claim': [
    { persistentVolumeClaim: { claimName: 'c' } },
    { readOnly: true },
    /read-only/,
  ],
  'a read-only claim': [{ persistentVolumeClaim: { claimName: 'c', readOnly: true } }, {}, /only/],
  'a read-only hostPath': [{ hostPath: { path: '/srv' } }, { readOnly: true }, /read-only/],
  'a hostPath of a file': [{ hostPath: { path: '/srv/f', type: 'File' } }, {}, /of a file/],
  'a hostPath of a socket': [{ hostPath: { path: '/s', type: 'Socket' } }, {}, /of a file/],
  'a read-only CSI volume': [{ csi: { driver: 'd', readOnly: true } }, {}, /read-only/],
  'a read-only NFS volume': [{ nfs: { server: 's', path: '/', readOnly: true } }, {}, /read-only/],
  'a read-only ephemeral claim': [{ ephemeral: {} }, { readOnly: true }, /read-only/],
  'an image': [{ image: { reference: 'i' } }, {}, /of an image/],
  'a key of a ConfigMap': [{ configMap: { name: 'c' } }, { subPath: 'k' }, /by subPath/],
  'a key of a Secret': [{ secret: { secretName: 's' } }, { subPathExpr: '$(K)' }, /by subPath/],
  'a read-only part of an emptyDir': [{ emptyDir: {} }, { readOnly: true, subPath: 'x' }, /only/],
};

for (const [name, [source, how, pattern]] of Object.entries(UNWRITABLE)) {
  test(`no mount point can be made below ${name}`, () => {
    const spec = {
      volumes: [{ name: 'd', ...source }],
      containers: [web({ mountPath: '/data/', ...how })],
    };
    for (const path of ['/data/secrets', '/data/a/b/c']) {
      for (const mode of ['native', 'init', 'csi']) {
        const text = denialOf(path, spec, mode);
        assert.ok(text.startsWith(`mount-path: ${path} is below /data/, where`), text);
        assert.match(text, pattern);
      }
    }
  });
}

const WRITABLE: Readonly<Record<string, readonly [object, object]>> = {
  'an emptyDir': [{ emptyDir: {} }, {}],
  'a claim': [{ persistentVolumeClaim: { claimName: 'c' } }, { readOnly: false }],
  'a part of a claim': [{ persistentVolumeClaim: { claimName: 'c' } }, { subPath: 'x' }],
  'a hostPath': [{ hostPath: { path: '/srv', type: 'Directory' } }, {}],
  'a ConfigMap, in which the kubelet makes it': [{ configMap: { name: 'c' } }, { readOnly: true }],
  'a Secret': [{ secret: { secretName: 's' } }, { readOnly: true }],
  'a projected volume': [{ projected: { sources: [] } }, { readOnly: true }],
  'a volume of the downward API': [{ downwardAPI: { items: [] } }, { readOnly: true }],
  'a volume that the manifest lacks': [{ name: 'other' }, {}],
};

for (const [name, [source, how]] of Object.entries(WRITABLE)) {
  test(`a mount point can be made below ${name}`, () => {
    const spec = {
      volumes: [{ name: 'd', ...source }],
      containers: [web({ mountPath: '/data', ...how })],
    };
    const { outcome, warnings, message } = injectPod(podAt('/data/secrets', spec));
    assert.deepEqual([outcome, warnings], ['injected', []], message);
  });
}

test('the innermost mount around the path decides', () => {
  const volumes = [
    { name: 'd', emptyDir: {} },
    { name: 'e', emptyDir: {} },
  ];
  const outer = { mountPath: '/data', readOnly: true };
  const spec = {
    volumes,
    containers: [web(outer, { name: 'e', mountPath: '/data/inner/' })],
  };
  assert.equal(injectPod(podAt('/data/inner/x', spec)).outcome, 'injected');
  assert.match(denialOf('/data/x', spec), /is below \/data, where/);
  const swapped = {
    volumes,
    containers: [
      web({ name: 'e', mountPath: '/data/inner', readOnly: true }, { mountPath: '/data' }),
    ],
  };
  assert.match(denialOf('/data/inner/x', swapped), /below \/data\/inner, where .* "e" read-only/);
});

test('a read-only root file system is accepted', () => {
  const securityContext = { readOnlyRootFilesystem: true };
  const { outcome } = injectPod(
    podAt('/data/x', { containers: [{ name: 'web', securityContext }] }),
  );
  assert.equal(outcome, 'injected');
});

test('every container that sees the files is checked, and no other one', () => {
  const volumes = [{ name: 'd', emptyDir: {} }];
  const mounts = { volumeMounts: [{ name: 'd', mountPath: '/data', readOnly: true }] };
  const spec = {
    volumes,
    containers: [{ name: 'web' }, { name: 'side', ...mounts }],
    initContainers: [{ name: 'first', ...mounts }],
  };
  const denied = (annotations: Record<string, string>): string[] =>
    problemsOf(injectPod(podWith({ 'mount-path': '/data/x', ...annotations }, spec)));
  assert.match(denied({}).join('\n'), /^mount-path: .*"side"[^\n]*$/);
  assert.equal(denied({ 'init-containers': 'first' }).length, 2);
  assert.deepEqual(denied({ containers: 'web' }), []);
});

test('the token of the service account may be below the path', () => {
  const { outcome, warnings } = injectPod(podAt('/run/secrets', {}));
  assert.equal(outcome, 'injected');
  assert.match(warnings.join('\n'), /automountServiceAccountToken/);
  const off = injectPod(podAt('/run/secrets', { automountServiceAccountToken: false }));
  assert.deepEqual([off.outcome, off.warnings], ['injected', []]);
  assert.deepEqual(injectPod(podAt('/run/secrets/web', {})).warnings, []);
});

test('what a container runs is not hidden', () => {
  const at = (container: object): string =>
    denialOf('/app', { containers: [{ name: 'web', ...container }] });
  assert.match(at({ command: ['/app/server'] }), /hide \/app\/server, the program of/);
  assert.match(at({ workingDir: '/app/src' }), /working directory of container "web"/);
  assert.match(at({ terminationMessagePath: '/app/log' }), /termination message/);
  const fine = { name: 'web', command: ['server', '/app/x'], workingDir: '/app', args: ['/app'] };
  assert.equal(injectPod(podAt('/app', { containers: [fine] })).outcome, 'injected');
});
