import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseInstallation } from '../../../src/config/installation/index.ts';
import { checkTemplate } from '../../../src/template/index.ts';
import { planVolume, type Pod } from '../../../src/admission/index.ts';
import { configIn, containerOf, injectPod, podWith, type Given } from './harness.ts';

const PROVIDER = 'projects/123/locations/global/workloadIdentityPools/spire/providers/spire';
const AWS = {
  'jwt-svid-aws': 'sts.amazonaws.com',
  'aws-role-arn': 'arn:aws:iam::123456789012:role/app',
};
const GCP = {
  'jwt-svid-gcp': `//iam.googleapis.com/${PROVIDER}`,
  'gcp-workload-identity-provider': PROVIDER,
};
const WITH_DRIVER = parseInstallation({
  csi: { enabled: true, identity: { kind: 'delegated', socket: '/run/spire/admin/api.sock' } },
});

/** A pod with these settings and no secret. */
function cloudPod(annotations: Given): Pod {
  const pod = podWith(annotations);
  const { 'vouchsafe.dev/secret-app': _, ...rest } = pod.metadata.annotations ?? {};
  return { ...pod, metadata: { ...pod.metadata, annotations: rest } };
}

function variablesOf(pod: Pod): Record<string, unknown> {
  return Object.fromEntries(
    containerOf(pod, 'web').env?.map(({ name, value }) => [name, value]) ?? [],
  );
}

test('AWS: SDKs find role, token file and region', () => {
  const { pod } = injectPod(
    cloudPod({ ...AWS, 'aws-region': 'eu-central-1', 'aws-role-session-name': 'web@shop' }),
  );
  assert.deepEqual(variablesOf(pod), {
    AWS_ROLE_ARN: 'arn:aws:iam::123456789012:role/app',
    AWS_WEB_IDENTITY_TOKEN_FILE: '/vault/secrets/aws',
    AWS_REGION: 'eu-central-1',
    AWS_DEFAULT_REGION: 'eu-central-1',
    AWS_ROLE_SESSION_NAME: 'web@shop',
  });
});

test('AWS: region and session are the business of the SDK unless they are set', () => {
  const { pod } = injectPod(cloudPod({ ...AWS, 'file-aws': 'aws/token', 'mount-path': '/creds' }));
  assert.deepEqual(variablesOf(pod), {
    AWS_ROLE_ARN: 'arn:aws:iam::123456789012:role/app',
    AWS_WEB_IDENTITY_TOKEN_FILE: '/creds/aws/token',
  });
});

test('AWS: another audience of the identity provider', () => {
  const given = { ...AWS, 'jwt-svid-aws': 'spire', 'aws-audience': 'spire' };
  assert.ok('AWS_ROLE_ARN' in variablesOf(injectPod(cloudPod(given)).pod));
});

test('a role of the namespace takes effect only in pods with a token for it', () => {
  const namespaceAnnotations = { 'vouchsafe.dev/aws-role-arn': AWS['aws-role-arn'] };
  const without = injectPod(podWith({}), { namespaceAnnotations });
  assert.deepEqual(variablesOf(without.pod), {});
  const pod = cloudPod({ 'jwt-svid-aws': 'sts.amazonaws.com' });
  assert.ok('AWS_ROLE_ARN' in variablesOf(injectPod(pod, { namespaceAnnotations }).pod));
});

/** What the agent would write into the credential file. */
function credentialsIn(pod: Pod): unknown {
  const file = configIn(pod).files.find(({ name }) => name === 'gcp-credentials');
  assert.ok(file?.source.kind === 'template');
  const text = file.source.text;
  assert.deepEqual(checkTemplate(text, 'x').problems, []);
  return JSON.parse(text);
}

test("GCP: the libraries' credential file names provider and token, and holds no secret", () => {
  const { pod } = injectPod(cloudPod({ ...GCP, 'file-gcp': 'gcp/token' }));
  assert.deepEqual(variablesOf(pod), {
    GOOGLE_APPLICATION_CREDENTIALS: '/vault/secrets/gcp-credentials.json',
  });
  assert.deepEqual(credentialsIn(pod), {
    type: 'external_account',
    audience: `//iam.googleapis.com/${PROVIDER}`,
    subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
    token_url: 'https://sts.googleapis.com/v1/token',
    credential_source: { file: '/vault/secrets/gcp/token' },
  });
});

test('GCP: a service account to impersonate', () => {
  const account = 'app@project.iam.gserviceaccount.com';
  const { pod } = injectPod(cloudPod({ ...GCP, 'gcp-service-account': account }));
  const { service_account_impersonation_url: url } = credentialsIn(pod) as Record<string, unknown>;
  assert.equal(
    url,
    `https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/${account}:generateAccessToken`,
  );
});

test('GCP: the audience with https:, and one that the provider lists', () => {
  for (const given of [
    { 'jwt-svid-gcp': `https://iam.googleapis.com/${PROVIDER}` },
    { 'jwt-svid-gcp': 'spire', 'gcp-audience': 'spire' },
  ]) {
    const { pod } = injectPod(cloudPod({ ...GCP, ...given }));
    assert.ok('GOOGLE_APPLICATION_CREDENTIALS' in variablesOf(pod));
  }
});

test('GCP: path and mode of the credential file, and what follows a change of it', () => {
  const { pod } = injectPod(
    cloudPod({
      ...GCP,
      'file-gcp-credentials': 'google/adc.json',
      'file-mode-gcp-credentials': '0444',
      'on-change-gcp-credentials': 'http:POST http://127.0.0.1:8080/reload',
    }),
  );
  const file = configIn(pod).files.find(({ name }) => name === 'gcp-credentials');
  assert.deepEqual([file?.path, file?.mode, file?.onChange.length], ['google/adc.json', 0o444, 1]);
  assert.equal(
    variablesOf(pod)['GOOGLE_APPLICATION_CREDENTIALS'],
    '/vault/secrets/google/adc.json',
  );
});

test('GCP: a path that looks like an expression is text', () => {
  const { pod } = injectPod(cloudPod({ ...GCP, 'mount-path': '/a{{secret "kvv2/x"}}/{{{b' }));
  const { credential_source: source } = credentialsIn(pod) as Record<string, unknown>;
  assert.deepEqual(source, { file: '/a{{secret "kvv2/x"}}/{{{b/gcp' });
});

test('tokens for clouds need no Vault, nor does a template without an expression', () => {
  const { pod } = injectPod(cloudPod({ ...AWS, ...GCP, 'template-note': 'a fixed text }}' }));
  const config = configIn(pod);
  assert.equal(config.vault, undefined);
  assert.notEqual(config.spiffe, undefined);
});

test('all clouds at once', () => {
  const azure = {
    'jwt-svid-azure': 'api://AzureADTokenExchange',
    'azure-client-id': 'c',
    'azure-tenant-id': 't',
  };
  const names = Object.keys(variablesOf(injectPod(cloudPod({ ...AWS, ...GCP, ...azure })).pod));
  assert.deepEqual(
    names.map((name) => name.split('_')[0]),
    ['AZURE', 'AZURE', 'AZURE', 'AZURE', 'AWS', 'AWS', 'GOOGLE'],
  );
});

function attributesOf(pod: Pod): Record<string, string> {
  const volume = pod.spec.volumes?.find(({ name }) => name === 'vouchsafe-secrets');
  return (volume?.['csi'] as { volumeAttributes: Record<string, string> }).volumeAttributes;
}

function planOf(attributes: Given, of: Given = {}): ReturnType<typeof planVolume> {
  return planVolume({
    attributes,
    namespaceAnnotations: of,
    installation: WITH_DRIVER,
    pod: { namespace: 'shop', serviceAccount: 'web' },
    hasGroup: false,
    checkTemplate,
  });
}

function fileIn(plan: ReturnType<typeof planVolume>): unknown {
  assert.ok(plan.kind === 'planned', JSON.stringify(plan));
  const file = plan.config.files.find(({ name }) => name === 'gcp-credentials');
  assert.ok(file?.source.kind === 'template');
  return (JSON.parse(file.source.text) as Record<string, unknown>)['credential_source'];
}

test('csi: the driver writes the credential file with the path that the containers see', () => {
  const { pod } = injectPod(cloudPod({ ...GCP, ...AWS, mode: 'csi', 'mount-path': '/creds' }), {
    installation: WITH_DRIVER,
  });
  assert.equal(variablesOf(pod)['GOOGLE_APPLICATION_CREDENTIALS'], '/creds/gcp-credentials.json');
  assert.equal(variablesOf(pod)['AWS_WEB_IDENTITY_TOKEN_FILE'], '/creds/aws');
  const attributes = attributesOf(pod);
  assert.deepEqual(Object.keys(attributes), [
    'gcp-workload-identity-provider',
    'jwt-svid-aws',
    'jwt-svid-gcp',
    'mount-path',
  ]);
  assert.deepEqual(fileIn(planOf(attributes)), { file: '/creds/gcp' });
});

test('csi: the mount path of the namespace is that of the driver as well', () => {
  const of = { 'vouchsafe.dev/mount-path': '/creds' };
  const { pod } = injectPod(cloudPod({ ...GCP, mode: 'csi' }), {
    installation: WITH_DRIVER,
    namespaceAnnotations: of,
  });
  assert.equal(variablesOf(pod)['GOOGLE_APPLICATION_CREDENTIALS'], '/creds/gcp-credentials.json');
  assert.equal(attributesOf(pod)['mount-path'], undefined);
  assert.deepEqual(fileIn(planOf(attributesOf(pod), of)), { file: '/creds/gcp' });
});

test('a volume without a credential file has no mount-path, and no variables', () => {
  for (const [attributes, path] of [
    [{ 'jwt-svid-a': 'b', 'mount-path': '/x' }, 'mount-path'],
    [AWS, 'aws-role-arn'],
  ] as const) {
    const plan = planOf(attributes);
    assert.ok(plan.kind === 'refused');
    assert.deepEqual(
      plan.problems.map((one) => one.path),
      [`vouchsafe.dev/${path}`],
    );
  }
});
