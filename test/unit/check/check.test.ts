import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { createTestCa } from '../../../src/dev/ca/index.ts';
import { FakeClock } from '../../helpers/fake-clock.ts';
import { run } from '../cli/harness.ts';
import { AT, check, CA, kubeconfig, pod, refusal, registration, type Objects } from './harness.ts';

suite('an installation', () => {
  test('that is healthy: every check is ok, as text and as JSON', async (t) => {
    const { code, errors, findings, requests, ...checked } = await check(t);
    const text = await checked.text();
    assert.deepEqual([code, errors], [0, '']);
    assert.deepEqual([...new Set(findings.map(({ status }) => status))], ['ok']);
    assert.match(text, /^API server\n {2}ok {7}Kubernetes v1\.34\.2\n\nWebhook\n/);
    assert.match(
      text,
      /a test pod \(dry run\) was injected in \d+ ms: the webhook is reachable and trusted/,
    );
    assert.match(text, /\n\n\d+ checks: 0 failed, 0 with a warning, 0 could not run\n$/);
    const writes = requests.filter(({ method }) => method !== 'GET');
    assert.deepEqual(
      writes.map(({ method, path }) => `${method} ${path}`),
      ['POST /api/v1/namespaces/default/pods?dryRun=All'],
      'nothing is kept',
    );
    assert.doesNotMatch(text + errors, /hunter2/);
  });

  const two = { items: [registration(), registration({}, { name: 'other' })] };
  const bundle = (pem: string): object => ({
    items: [
      registration({
        clientConfig: {
          service: { name: 'vouchsafe-webhook', namespace: 'vouchsafe' },
          caBundle: Buffer.from(pem).toString('base64'),
        },
      }),
    ],
  });
  const past = new FakeClock(Date.UTC(2025, 0, 1));
  const future = new FakeClock(Date.UTC(2027, 0, 1));
  const expired = createTestCa(past).caPem;
  const nearlyOver = createTestCa(new FakeClock(Date.UTC(2025, 11, 31, 1))).caPem;
  const values = (text: string): object => ({ data: { 'values.yaml': text } });
  const wrong: readonly (readonly [string, Objects, string, string, RegExp])[] = [
    [
      'no registration',
      { [AT.webhooks]: { items: [] } },
      'registered',
      'failure',
      /no MutatingWebhookConfiguration/,
    ],
    ['two registrations', { [AT.webhooks]: two }, 'registered', 'failure', /several.*other/],
    [
      'failurePolicy Ignore',
      { [AT.webhooks]: { items: [registration({ failurePolicy: 'Ignore' })] } },
      'registered',
      'warning',
      /lets pods start without secrets/,
    ],
    [
      'no caBundle',
      { [AT.webhooks]: bundle('') },
      'ca-bundle',
      'failure',
      /contains no certificate/,
    ],
    [
      'garbage in the caBundle',
      { [AT.webhooks]: bundle(CA.replace(/M/g, '!')) },
      'ca-bundle',
      'failure',
      /contains an invalid certificate/,
    ],
    ['an old CA', { [AT.webhooks]: bundle(expired) }, 'ca-bundle', 'failure', /has expired/],
    [
      'a CA to come',
      { [AT.webhooks]: bundle(createTestCa(future).caPem) },
      'ca-bundle',
      'failure',
      /is not valid yet/,
    ],
    [
      'a CA that nobody renews',
      { [AT.webhooks]: bundle(nearlyOver) },
      'ca-bundle',
      'warning',
      /for another 1h/,
    ],
    [
      'an old CA beside a good one',
      { [AT.webhooks]: bundle(expired + CA) },
      'ca-bundle',
      'ok',
      /./,
    ],
    [
      'no Deployment',
      { [AT.deployment]: 404 },
      'deployment',
      'warning',
      /^Deployment .* does not exist/,
    ],
    [
      'no replica',
      { [AT.deployment]: { spec: { replicas: 2 }, status: {} } },
      'deployment',
      'failure',
      /^0 of 2 replicas/,
    ],
    [
      'a replica that is not there yet',
      { [AT.deployment]: { spec: { replicas: 2 }, status: { availableReplicas: 1 } } },
      'deployment',
      'warning',
      /^1 of 2 replicas/,
    ],
    ['no Service', { [AT.service]: 404 }, 'service', 'failure', /cannot call the webhook/],
    ['no endpoints', { [AT.slices]: { items: [] } }, 'endpoints', 'failure', /^0 of 0/],
    [
      'no policy',
      { [AT.policy]: 404 },
      'bound',
      'warning',
      /^ValidatingAdmissionPolicy .* does not exist/,
    ],
    ['no binding', { [AT.binding]: 404 }, 'bound', 'warning', /has no binding/],
    ['no values', { [AT.values]: 404 }, 'readable', 'failure', /^ConfigMap .* does not exist/],
    [
      'broken values',
      { [AT.values]: values('a: [') },
      'readable',
      'failure',
      /not valid JSON or YAML/,
    ],
    ['wrong values', { [AT.values]: values('vault: {oops: 1}') }, 'readable', 'failure', /oops/],
    [
      'a Vault without TLS',
      { [AT.values]: values('vault: {connections: {a: {address: "http://vault:8200"}}}') },
      'connection-a',
      'warning',
      /sent unencrypted/,
    ],
    [
      'a Vault behind a proxy',
      {
        [AT.values]: values(
          'vault: {connections: {a: {address: "https://vault:8200", proxy: "http://proxy:3128"}}}',
        ),
      },
      'connection-a',
      'ok',
      /https:\/\/vault:8200 through the proxy http:\/\/proxy:3128: its CA/,
    ],
    [
      'a Vault with an old CA',
      {
        [AT.values]: values(
          JSON.stringify({
            vault: { connections: { a: { address: 'https://vault:8200', caPem: expired } } },
          }),
        ),
      },
      'connection-a',
      'failure',
      /its CA has expired/,
    ],
    [
      'no CSI driver',
      { [AT.driver]: 404 },
      'workload-api',
      'warning',
      /CSI driver csi\.spiffe\.io is not registered/,
    ],
    [
      'sockets on the nodes',
      { [AT.values]: values('spiffe: {volume: hostPath}') },
      'workload-api',
      'unknown',
      /not visible from outside/,
    ],
    ['an old cluster', { [AT.version]: { gitVersion: 'v1.28.3' } }, 'version', 'warning', /pair/],
    ['no login', { [AT.version]: 401 }, 'version', 'failure', /rejects the credentials/],
    ['an ill API server', { [AT.service]: 500 }, 'service', 'failure', /HTTP 500/],
  ];
  for (const [name, objects, which, status, message] of wrong) {
    test(`${name}: ${status}`, async (t) => {
      const { code, errors, the } = await check(t, { objects });
      assert.equal(the(which).status, status);
      assert.match(the(which).message, message);
      assert.equal(code, status === 'failure' ? 22 : 0);
      if (status === 'failure') assert.match(errors, /^vouchsafe: ERR_CHECK_FAILED: \d+ checks: /);
    });
  }

  test('selected from several', async (t) => {
    const { code, the } = await check(t, { objects: { [AT.webhooks]: two } }, [
      '--install-namespace',
      'elsewhere',
    ]);
    assert.equal(code, 22);
    assert.match(the('registered').message, /there is: vouchsafe-webhook, other/);
    const labels = { 'app.kubernetes.io/instance': 'second' };
    const items = [registration(), registration({}, { name: 'other', labels })];
    const words = ['--release', 'vouchsafe', '--install-namespace', 'vouchsafe'];
    const chosen = await check(t, { objects: { [AT.webhooks]: { items } } }, words);
    assert.equal(chosen.code, 0);
  });
});

suite('missing rights', () => {
  test('each 403 names the right, and is not a failure', async (t) => {
    const forbidden = Object.values(AT).filter((path) => path !== AT.version);
    const objects: Objects = {
      ...Object.fromEntries(forbidden.map((path) => [path, 403])),
      [AT.deployments]: {
        items: [{ metadata: { name: 'vouchsafe-webhook', namespace: 'vouchsafe' } }],
      },
    };
    const message = 'pods is forbidden: User "u" cannot create resource "pods"';
    const { code, findings } = await check(t, { objects, write: () => refusal(403, message) });
    assert.equal(code, 0);
    const unknown = findings.filter(({ status }) => status === 'unknown');
    assert.deepEqual(
      unknown.map((finding) =>
        finding.message.replace('could not be checked: requires the right to ', ''),
      ),
      [
        'list mutatingwebhookconfigurations.admissionregistration.k8s.io',
        'get deployments.apps in namespace vouchsafe',
        'get services in namespace vouchsafe',
        'list endpointslices.discovery.k8s.io in namespace vouchsafe',
        'create pods in namespace default',
        'get validatingadmissionpolicies.admissionregistration.k8s.io',
        'get configmaps in namespace vouchsafe',
        'get csidrivers.storage.k8s.io',
        'list resourcequotas',
        'list pods',
      ],
    );
  });

  test('without the right to list namespaces pods are checked by their own annotations', async (t) => {
    const objects = { [AT.namespaces]: 403, [AT.pods]: { items: [pod()] } };
    const { the } = await check(t, { objects });
    assert.equal(the('namespaces').status, 'unknown');
    assert.match(the('injected').message, /requests the agent but runs without it/);
  });
});

suite('a test pod', () => {
  const call =
    'Internal error occurred: failed calling webhook "pods.vouchsafe.dev": failed to call webhook: ';
  const refusals: readonly (readonly [string, number, string, string, RegExp])[] = [
    [
      'not trusted',
      500,
      `${call}tls: x509: certificate signed by unknown authority`,
      'failure',
      /caBundle/,
    ],
    [
      'no endpoints',
      500,
      `${call}no endpoints available for service`,
      'failure',
      /no replica is ready/,
    ],
    [
      'no Service',
      500,
      `${call}service "vouchsafe-webhook" not found`,
      'failure',
      /Service does not exist/,
    ],
    ['a firewall', 500, `${call}context deadline exceeded`, 'failure', /firewall/],
    ['nobody there', 500, `${call}dial tcp: connection refused`, 'failure', /nothing listens/],
    ['something new', 500, `${call}flux`, 'failure', /^$/],
    [
      'not seen, but refused',
      422,
      "ValidatingAdmissionPolicy 'vouchsafe-injected' denied request: the pod requests the Vouchsafe agent",
      'failure',
      /^$/,
    ],
    [
      'denied',
      403,
      'admission webhook "pods.vouchsafe.dev" denied the request: policy',
      'ok',
      /^$/,
    ],
    ['refused by others', 403, 'violates PodSecurity "restricted"', 'unknown', /--namespace/],
  ];
  for (const [name, status, message, expected, remedy] of refusals) {
    test(`${name}: ${expected}`, async (t) => {
      const write = () => refusal(status, `${message}\n\u001b[31m`);
      const { the, text } = await check(t, { write });
      assert.equal(the('admits').status, expected);
      assert.ok(the('admits').message.includes(message), 'word for word');
      assert.match(the('admits').remedy ?? '', remedy);
      assert.ok(!(await text()).includes('\u001b'), 'nothing steers the terminal');
    });
  }

  test('left alone by the webhook', async (t) => {
    const write = () => ({ status: 201, body: { metadata: {} } });
    const { the } = await check(t, { write });
    assert.match(the('admits').message, /was not injected/);
  });

  test('no answer at all', async (t) => {
    const { the } = await check(t, { write: () => 'garbage' });
    assert.equal(the('admits').status, 'failure');
    assert.match(the('admits').message, /no response/);
  });

  test('is not sent in a namespace that is not selected', async (t) => {
    const { the, requests } = await check(t, {}, ['--namespace', 'kube-system']);
    assert.equal(the('admits').status, 'unknown');
    assert.ok(requests.every(({ method }) => method === 'GET'));
  });

  test('has the labels that the objectSelector requires', async (t) => {
    const objectSelector = { matchLabels: { team: 'a' } };
    const objects = { [AT.webhooks]: { items: [registration({ objectSelector })] } };
    const { requests } = await check(t, { objects });
    const sent = requests.find(({ method }) => method === 'POST');
    assert.match(sent?.text ?? '', /"labels":\{"team":"a"\}/);
  });
});

suite('access to the API server', () => {
  test('a missing kubeconfig: exit code 19', async () => {
    const { code, errors } = await run(['check', '--kubeconfig', '/nowhere']);
    assert.equal(code, 19);
    assert.match(errors, /ERR_KUBERNETES_API: the kubeconfig \/nowhere cannot be read/);
  });

  test('a missing context, or one without a cluster: exit code 19', async (t) => {
    const file = kubeconfig(t, 'https://127.0.0.1:1', CA);
    for (const context of ['missing', 'nowhere']) {
      const { code, errors } = await run(['check', '--kubeconfig', file, '--context', context]);
      assert.equal(code, 19);
      assert.match(errors, new RegExp(`no context ${context} with a cluster`));
    }
  });

  test('an API server that does not answer: one failure, and its cause', async (t) => {
    const file = kubeconfig(t, 'https://127.0.0.1:1', CA);
    const { code, out } = await run(['check', '--kubeconfig', file]);
    assert.equal(code, 22);
    assert.match(out, /FAILURE {2}the API server does not answer: .*ECONNREFUSED/);
  });

  for (const words of [
    ['--probe', 'Shop'],
    ['--probe', 'a/b/c'],
    ['--setting', 'role'],
    ['--setting', 'vouchsafe.dev/role=web'],
    ['-o', 'yaml'],
  ]) {
    test(`exit code 2: ${words.join(' ')}`, async () => {
      assert.equal((await run(['check', ...words])).code, 2);
    });
  }
});
