/**
 * The clouds' own SDKs with what Vouchsafe gives to a pod: admission makes the variables, the agent the files, and the SDKs, as
 * they come, exchange the JWT-SVID for temporary credentials at stand-ins of the clouds' token services.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { installCloudSdks } from '../../.tools/cloud-sdks.ts';
import { inject, readPod } from '../../src/admission/index.ts';
import { parseInstallation } from '../../src/config/installation/index.ts';
import { createTestCa } from '../../src/dev/ca/index.ts';
import { startWorkloadApi, type DevWorkloadApi } from '../../src/dev/workload-api/index.ts';
import { checkTemplate } from '../../src/template/index.ts';
import { AgentBench } from '../helpers/agent-process.ts';
import {
  startCloudTokenServices,
  type CloudTokenServices,
  type Federation,
} from '../helpers/cloud-token-services.ts';

const SDKS = installCloudSdks();
const ISSUER = 'https://oidc.example.org';
const SUBJECT = 'spiffe://example.org/ns/shop/sa/web';
const ROLE = 'arn:aws:iam::123456789012:role/shop-web';
const PROVIDER = 'projects/123/locations/global/workloadIdentityPools/spire/providers/spire';
const ACCOUNT = 'shop-web@project.iam.gserviceaccount.com';
const AZURE = {
  clientId: '00000000-0000-0000-0000-000000000001',
  tenantId: '00000000-0000-0000-0000-000000000002',
};

const ANNOTATIONS = {
  'jwt-svid-aws': 'sts.amazonaws.com',
  'aws-role-arn': ROLE,
  'aws-region': 'eu-central-1',
  'aws-role-session-name': 'web@shop',
  'jwt-svid-azure': 'api://AzureADTokenExchange',
  'azure-client-id': AZURE.clientId,
  'azure-tenant-id': AZURE.tenantId,
  'jwt-svid-gcp': `//iam.googleapis.com/${PROVIDER}`,
  'gcp-workload-identity-provider': PROVIDER,
};

let bench: AgentBench;
let api: DevWorkloadApi;
let services: CloudTokenServices;

before(async () => {
  bench = await AgentBench.create();
  api = await startWorkloadApi({
    identities: [{ spiffeId: SUBJECT }],
    jwtIssuer: ISSUER,
    jwtTtlMs: 8000,
  });
  const federation: Federation = {
    // As an OIDC provider publishes them: `use` is SPIFFE's own there.
    jwks: () => ({ keys: api.jwks().keys.map(({ use: _, ...key }) => key) }),
    issuer: ISSUER,
    subject: SUBJECT,
    aws: { audience: 'sts.amazonaws.com', roleArn: ROLE },
    azure: AZURE,
    gcp: { provider: PROVIDER, serviceAccount: ACCOUNT },
  };
  const ca = createTestCa();
  await writeFile(join(bench.directory, 'ca.pem'), ca.caPem);
  services = await startCloudTokenServices(ca, federation);
});

after(async () => {
  await services[Symbol.asyncDispose]();
  await api[Symbol.asyncDispose]();
  await bench[Symbol.asyncDispose]();
});

type Variables = Readonly<Record<string, string>>;

/** Admits a pod and starts its agent; gives the variables of its application. The files are where they say. */
async function startPod(annotations: Variables, bench: AgentBench): Promise<Variables> {
  const named = { inject: 'true', 'mount-path': bench.output, ...annotations };
  const result = inject({
    pod: readPod({
      metadata: {
        annotations: Object.fromEntries(
          Object.entries(named).map(([name, value]) => [`vouchsafe.dev/${name}`, value]),
        ),
      },
      spec: { containers: [{ name: 'web' }] },
    }),
    namespace: 'shop',
    installation: parseInstallation({ spiffe: { socket: api.address } }),
    checkTemplate,
  });
  assert.equal(result.outcome, 'injected', result.message);
  // Everything as it is but what only a pod has: directories of its volumes, its port, and a kubelet that runs the hook.
  const {
    stateDirectory: _,
    listen: __,
    startGate: ___,
    output,
    ...config
  } = result.agentConfig ?? {};
  await bench.start({ ...config, output: { ...output, directory: bench.output } });
  const variables = Object.fromEntries(
    result.pod.spec.containers[0]?.env?.map(({ name, value }) => [name, String(value)]) ?? [],
  );
  const files = Object.values(variables).filter((value) => value.startsWith(bench.output));
  for (const path of files) await bench.until(path.slice(bench.output.length + 1), () => true);
  return variables;
}

interface Exchanged {
  readonly id?: string;
  readonly token: string;
  readonly error: string;
}

/** Runs an SDK in a process of its own with these variables. */
async function exchange(cloud: 'aws' | 'azure' | 'gcp', variables: Variables): Promise<Exchanged> {
  const env = {
    ...variables,
    HOME: bench.directory,
    // Without it, Google's library asks another API for the project's ID.
    GOOGLE_CLOUD_PROJECT: 'project',
    NODE_EXTRA_CA_CERTS: join(bench.directory, 'ca.pem'),
    // The SDKs for Azure and Google Cloud know proxies, the one for AWS other addresses.
    HTTPS_PROXY: services.proxy,
    AWS_ENDPOINT_URL_STS: services.url,
  };
  const args = [join(SDKS, 'exchange.mjs'), cloud];
  return new Promise((resolve) => {
    execFile(process.execPath, args, { env, timeout: 60_000 }, (_, stdout, stderr) => {
      const given = stdout === '' ? { token: '' } : (JSON.parse(stdout) as { token: string });
      resolve({ ...given, error: stderr });
    });
  });
}

suite('SDKs of clouds', () => {
  let variables: Variables;
  before(async () => {
    variables = await startPod(ANNOTATIONS, bench);
  });

  test('AWS: AssumeRoleWithWebIdentity with the variables and the file of the pod', async () => {
    const { id, token, error } = await exchange('aws', variables);
    const last = services.exchanges.at(-1);
    assert.deepEqual([id, token], ['ASIAEXAMPLE', last?.issued], error);
    assert.equal(last?.service, 'aws');
    assert.equal(last.request['RoleSessionName'], 'web@shop');
    assert.equal(last.claims.sub, SUBJECT);
  });

  test('Entra ID: a client assertion, found by DefaultAzureCredential', async () => {
    const { token, error } = await exchange('azure', variables);
    const last = services.exchanges.at(-1);
    assert.deepEqual([last?.service, token], ['azure', last?.issued], error);
  });

  test('Google Cloud: the application default credentials are the external_account file', async () => {
    const { id, token, error } = await exchange('gcp', variables);
    const last = services.exchanges.at(-1);
    assert.deepEqual([last?.service, token], ['gcp', last?.issued], error);
    assert.equal(id, 'IdentityPoolClient');
  });

  test('Google Cloud: the federated token is exchanged for one of a service account', async () => {
    await using other = await AgentBench.create();
    const impersonating = await startPod({ ...ANNOTATIONS, 'gcp-service-account': ACCOUNT }, other);
    const { token, error } = await exchange('gcp', impersonating);
    const last = services.exchanges.at(-1);
    assert.deepEqual([last?.service, token], ['gcp impersonation', last?.issued], error);
  });

  test('the next exchange has the next token: one behind the end of the first is accepted', async () => {
    const path = variables['AWS_WEB_IDENTITY_TOKEN_FILE'] ?? '';
    const first = await readFile(path, 'utf8');
    await bench.until('aws', (text) => text !== first);
    const { error } = await exchange('aws', variables);
    assert.equal(error, '');
    const [before_, last] = services.exchanges.filter(({ service }) => service === 'aws').slice(-2);
    assert.ok(Number(last?.claims.exp) > Number(before_?.claims.exp));
  });

  test('rejected: a token for another cloud', async () => {
    const wrong = join(bench.output, 'azure');
    const aws = await exchange('aws', { ...variables, AWS_WEB_IDENTITY_TOKEN_FILE: wrong });
    assert.match(aws.error, /unexpected "aud" claim value/);
    const other = join(bench.output, 'aws');
    const azure = await exchange('azure', { ...variables, AZURE_FEDERATED_TOKEN_FILE: other });
    assert.match(azure.error, /unexpected "aud" claim value/);
  });

  test('rejected: an expired token', async () => {
    services.aheadMs = 3_600_000;
    try {
      for (const cloud of ['aws', 'azure', 'gcp'] as const) {
        assert.match(
          (await exchange(cloud, variables)).error,
          /"exp" claim timestamp check failed/,
        );
      }
    } finally {
      services.aheadMs = 0;
    }
  });

  test('rejected: a token that nobody the cloud knows has signed', async () => {
    const [head = '', claims = ''] = (await readFile(join(bench.output, 'aws'), 'utf8')).split('.');
    const forged = join(bench.directory, 'forged');
    await writeFile(forged, `${head}.${claims}.${'A'.repeat(86)}`);
    const { error } = await exchange('aws', { ...variables, AWS_WEB_IDENTITY_TOKEN_FILE: forged });
    assert.match(error, /signature verification failed/);
  });
});
