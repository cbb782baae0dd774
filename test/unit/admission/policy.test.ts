import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { InjectionResult } from '../../../src/admission/index.ts';
import { parseInstallation } from '../../../src/config/installation/index.ts';
import { explainProblems } from '../../../src/core/index.ts';
import { configIn, injectPod, podWith, problemsOf, type Given } from './harness.ts';

const POLICIES = [
  {
    name: 'team-a',
    namespaces: ['team-a', 'team-a-*'],
    roles: ['a-*', 'shared'],
    connections: ['prod'],
    authMounts: ['jwt'],
    paths: ['kvv2/team-a/*', 'kvv2/common', '*/creds/team-a-*'],
  },
  { name: 'deployer', namespaces: ['*'], serviceAccounts: ['deployer'], paths: ['kvv2/deploy/*'] },
  { name: 'nothing', namespaces: ['closed'], roles: [] },
];

const OK: Given = { role: 'a-web', 'auth-method': 'jwt', 'secret-app': 'kvv2/team-a/app' };

function decide(
  annotations: Given,
  { namespace = 'team-a', account }: { namespace?: string; account?: string } = {},
): InjectionResult {
  const installation = parseInstallation({
    vault: {
      default: 'prod',
      connections: { prod: { address: 'https://v' }, test: { address: 'https://t' } },
      policies: POLICIES,
    },
  });
  const spec = account === undefined ? {} : { serviceAccountName: account };
  return injectPod(podWith(annotations, spec), { namespace, installation });
}

test('without policies everything is allowed', () => {
  assert.equal(injectPod(podWith({ role: 'anything' })).outcome, 'injected');
});

test('a pod that keeps to its policy is injected', () => {
  assert.equal(decide(OK).outcome, 'injected');
  assert.equal(decide({ ...OK, role: 'shared' }, { namespace: 'team-a-test' }).outcome, 'injected');
  assert.equal(decide({ ...OK, 'secret-db': 'database/creds/team-a-web' }).outcome, 'injected');
  assert.equal(decide({ ...OK, 'secret-x': '/v1/kvv2//team-a/x/' }).outcome, 'injected');
});

test('a request that would take long to compare with the policies is denied before', () => {
  const stars = `${'*a'.repeat(200)}*`;
  const policies = Array.from({ length: 20 }, (_, index) => ({
    name: `p${index}`,
    namespaces: ['*'],
    paths: Array.from({ length: 200 }, (__, path) => `kvv2/${path}${stars}`),
  }));
  const installation = parseInstallation({ vault: { policies } });
  const files = Array.from({ length: 200 }, (_, index) => [`secret-f${index}`, 'kvv2/app']);
  const pod = podWith({ role: 'web', ...(Object.fromEntries(files) as Given) });
  assert.match(
    problemsOf(injectPod(pod, { installation })).join(),
    /^inject: requests too many paths and audiences \(201\) for the number of policies of this service account \(20\): request fewer,/,
  );
});

test('one policy that allows everything is sufficient', () => {
  const deploy: Given = { role: 'any', 'secret-app': 'kvv2/deploy/key' };
  assert.equal(decide(deploy, { account: 'deployer' }).outcome, 'injected');
  assert.equal(
    decide({ 'secret-app': 'kvv2/deploy/key' }, { account: 'deployer' }).outcome,
    'injected',
  );
});

const REFUSED: Readonly<Record<string, readonly [Given, string]>> = {
  'another role': [{ ...OK, role: 'b' }, 'role: policy "team-a" does not allow this role'],
  'another connection': [
    { ...OK, vault: 'test' },
    'vault: policy "team-a" does not allow this connection',
  ],
  'another mount': [
    { ...OK, 'auth-mount': 'other' },
    'auth-mount: policy "team-a" does not allow this auth mount',
  ],
  'the mount of another method': [
    { ...OK, 'auth-method': 'kubernetes' },
    'auth-mount: policy "team-a" does not allow this auth mount',
  ],
  'a path of another team': [
    { ...OK, 'secret-app': 'kvv2/team-b/app' },
    'secret-app: kvv2/team-b/app: policy "team-a" does not allow this path',
  ],
  'a path with only the same prefix': [
    { ...OK, 'secret-app': 'kvv2/common/app' },
    'secret-app: kvv2/common/app: policy "team-a" does not allow this path',
  ],
  'an optional secret of another team': [
    { ...OK, 'secret-opt': 'kvv2/team-b/opt', 'optional-opt': 'true' },
    'secret-opt: kvv2/team-b/opt: policy "team-a" does not allow this path',
  ],
  'an optional literal in a template': [
    { ...OK, 'template-t': '{{#if (optionalSecret "kvv2/team-b/app")}}x{{/if}}' },
    'template-t: kvv2/team-b/app: policy "team-a" does not allow this path',
  ],
  'a literal in a template': [
    { ...OK, 'template-t': '{{#with (secret "kvv2/team-b/app")}}{{password}}{{/with}}' },
    'template-t: kvv2/team-b/app: policy "team-a" does not allow this path',
  ],
};

for (const [name, [annotations, problem]] of Object.entries(REFUSED)) {
  test(`denied: ${name}`, () => {
    const result = decide(annotations);
    assert.deepEqual([result.outcome, result.reason], ['denied', 'forbidden']);
    assert.deepEqual(problemsOf(result), [problem]);
  });
}

test('denied: no role, if the policy has roles', () => {
  const { role: _, ...rest } = OK;
  assert.deepEqual(problemsOf(decide(rest)), ['role: policy "team-a" does not allow this role']);
});

test('denied: a namespace that no policy applies to', () => {
  assert.deepEqual(problemsOf(decide(OK, { namespace: 'team-b' })), [
    'inject: no policy applies to service account default of namespace team-b',
  ]);
});

test('denied: what two policies allow only together; both are named', () => {
  const mixed = { ...OK, role: 'b', 'secret-app': 'kvv2/team-a/app' };
  const problems = problemsOf(decide(mixed, { account: 'deployer' }));
  assert.deepEqual(problems, [
    'role: policy "team-a" does not allow this role',
    'secret-app: kvv2/team-a/app: policy "deployer" does not allow this path',
  ]);
});

test('denied: an empty list allows nothing', () => {
  const result = decide(OK, { namespace: 'closed' });
  const problems = problemsOf(result);
  assert.equal(result.problems[0]?.help, 'it allows no roles');
  assert.deepEqual(problems, ['role: policy "nothing" does not allow this role']);
});

test('defaults of the namespace are checked as well', () => {
  const installation = parseInstallation({
    vault: { policies: [{ name: 'p', namespaces: ['*'], roles: ['a'] }] },
  });
  const result = injectPod(podWith(), {
    installation,
    namespaceAnnotations: { 'vouchsafe.dev/role': 'b' },
  });
  assert.equal(result.reason, 'forbidden');
});

test('a pod that requests nothing of Vault needs no policy', () => {
  const pod = podWith({ 'x509-svid': 'true' });
  delete (pod.metadata.annotations as Record<string, string>)['vouchsafe.dev/secret-app']; // the helper's own
  const installation = parseInstallation({ vault: { policies: [{ name: 'p', namespaces: [] }] } });
  assert.equal(injectPod(pod, { installation }).outcome, 'injected');
});

test('many stars in a glob take no time', () => {
  const role = 'a'.repeat(500);
  const installation = parseInstallation({
    vault: { policies: [{ name: 'p', namespaces: ['*'], roles: [`${'*a'.repeat(250)}b`] }] },
  });
  assert.equal(injectPod(podWith({ role }), { installation }).reason, 'forbidden');
});

test('what an installation has and allows is only in help, not in messages', () => {
  const planted = ['planted-role', 'planted-connection', 'planted-mount', 'planted/path'];
  const installation = parseInstallation({
    vault: {
      default: 'planted-connection',
      connections: { 'planted-connection': { address: 'https://v' } },
      policies: [
        {
          name: 'p',
          namespaces: ['*'],
          roles: ['planted-role'],
          connections: ['planted-connection'],
          authMounts: ['planted-mount'],
          paths: ['planted/path'],
        },
      ],
    },
    csi: { enabled: true, tokenAudiences: ['planted-audience'] },
  });
  const asked: readonly Given[] = [
    { role: 'other' },
    { 'auth-mount': 'other' },
    { vault: 'other' },
    { vault: 'https://other.example' },
    { 'template-t': '{{secret "other/path"}}' },
    { mode: 'csi', identity: 'service-account', audience: 'other' },
  ];
  const helped = asked.map((annotations) => {
    const { outcome, message, warnings, problems } = injectPod(podWith(annotations), {
      installation,
    });
    assert.equal(outcome, 'denied');
    assert.doesNotMatch(JSON.stringify([message, warnings]), /planted/);
    return explainProblems(problems);
  });
  for (const one of [...planted, 'planted-audience']) assert.ok(helped.join().includes(one), one);
});

const AUDIENCES = [
  { name: 'cloud', namespaces: ['shop'], audiences: ['api://*'], operations: ['read'] },
];

function decideAudience(annotations: Given, namespace = 'shop'): InjectionResult {
  const installation = parseInstallation({ vault: { policies: AUDIENCES } });
  const pod = podWith(annotations);
  delete (pod.metadata.annotations as Record<string, string>)['vouchsafe.dev/secret-app']; // the helper's own
  return injectPod(pod, { namespace, installation });
}

test('policies apply to audiences of JWT-SVIDs in files, even without Vault', () => {
  assert.equal(decideAudience({ 'jwt-svid-token': 'api://x' }).outcome, 'injected');
  assert.deepEqual(problemsOf(decideAudience({ 'jwt-svid-token': 'vault' })), [
    'jwt-svid-token: jwt-svid for vault: policy "cloud" does not allow this audience',
  ]);
  assert.deepEqual(problemsOf(decideAudience({ 'template-t': '{{jwtSvid "vault"}}' })), [
    'template-t: jwt-svid for vault: policy "cloud" does not allow this audience',
  ]);
  assert.deepEqual(problemsOf(decideAudience({ 'jwt-svid-token': 'api://x' }, 'other')), [
    'inject: no policy applies to service account default of namespace other',
  ]);
});

test('a write and a list are denied if a policy allows only reads', () => {
  for (const template of ['{{secret "transit/sign/k" input="x"}}', '{{secrets "kvv2/"}}']) {
    assert.match(
      problemsOf(decideAudience({ 'template-t': template })).join(),
      /does not allow to/,
    );
  }
  assert.equal(decideAudience({ 'template-t': '{{secret "kvv2/app#x"}}' }).outcome, 'injected');
});

test('paths of Vault itself must be written out if paths are limited', () => {
  const paths = ['*/lookup-self', 'kvv2/*'];
  const installation = parseInstallation({
    vault: { policies: [{ name: 'p', namespaces: ['*'], paths }] },
  });
  const asked = podWith({ 'template-t': '{{secret "auth/token/lookup-self#id"}}' });
  assert.equal(injectPod(asked, { installation }).reason, 'forbidden');
});

test('the agent is granted exactly what the policies that allow its login allow', () => {
  const { pod } = decide(OK);
  assert.deepEqual(configIn(pod).grants, [
    {
      policy: 'team-a',
      paths: ['kvv2/team-a/*', 'kvv2/common', '*/creds/team-a-*'],
      operations: ['read', 'list', 'write'],
      audiences: ['*'],
    },
  ]);
  const free = parseInstallation({ vault: { policies: [{ name: 'p', namespaces: ['*'] }] } });
  assert.equal(configIn(injectPod(podWith(), { installation: free }).pod).grants, undefined);
});

test('policies that do not fit into a pod deny it, with the reason', () => {
  const paths = Array.from({ length: 250 }, (_, index) => `kvv2/${'x'.repeat(480)}/${index}/*`);
  const policy = { name: 'p', namespaces: ['*'], paths: [...paths, 'kvv2/app'] };
  const installation = parseInstallation({ vault: { policies: [policy] } });
  const result = injectPod(podWith(), { installation });
  assert.equal(result.reason, 'forbidden');
  assert.match(result.message, /they must have fewer paths/);
});
