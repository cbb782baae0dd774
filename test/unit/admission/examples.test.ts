import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { readPod } from '../../../src/admission/index.ts';
import { parseAgentConfig } from '../../../src/config/agent/index.ts';
import { parseInstallation } from '../../../src/config/installation/index.ts';
import { parseDocumentText } from '../../../src/config/schema/index.ts';
import { configIn, containerOf, injectPod } from './harness.ts';

const EXAMPLES = new URL('../../../manifests/examples/', import.meta.url);
const GOLDEN = new URL('../../testdata/admission/', import.meta.url);

const manifests = readdirSync(EXAMPLES).filter(
  (name) => name.endsWith('.yaml') && !name.endsWith('.values.yaml'),
);

function podOf(name: string): unknown {
  const documents = [...parseAllDocuments(readFileSync(new URL(name, EXAMPLES), 'utf8'))];
  const values = documents.map((document): unknown => document.toJS());
  return values.find(
    (value) =>
      typeof value === 'object' && value !== null && 'kind' in value && value.kind === 'Pod',
  );
}

async function injectExample(name: string): Promise<ReturnType<typeof injectPod>> {
  const file = new URL(name.replace('.yaml', '.values.yaml'), EXAMPLES);
  const values = existsSync(file) ? await parseDocumentText(readFileSync(file, 'utf8')) : {};
  return injectPod(readPod(podOf(name)), { installation: parseInstallation(values) });
}

for (const name of manifests) {
  test(`${name} is injected as in its golden file, without a warning`, async () => {
    const result = await injectExample(name);
    assert.deepEqual([result.outcome, result.warnings], ['injected', []], result.message);
    const text = `${JSON.stringify(result.pod, null, 2)}\n`;
    const golden = new URL(name.replace('.yaml', '.json'), GOLDEN);
    if (process.env['UPDATE_GOLDEN'] === '1') {
      mkdirSync(GOLDEN, { recursive: true });
      writeFileSync(golden, text);
    }
    assert.equal(text, readFileSync(golden, 'utf8'), 'run with UPDATE_GOLDEN=1 if this is meant');
  });
}

test('system 1 logs in for TESTING with the default role of the mount', async () => {
  const { auth, spiffe } = configIn((await injectExample('01-spire-oidc.yaml')).pod);
  assert.deepEqual([auth?.audience, auth?.role], ['TESTING', undefined]);
  assert.equal(spiffe?.socket, 'unix:///run/spire/sockets/agent.sock');
});

test('system 2 needs no Workload API', async () => {
  const { auth, spiffe, vault } = configIn((await injectExample('02-service-account.yaml')).pod);
  assert.equal(vault?.address, 'http://vault:8200');
  assert.equal(auth?.tokenFile, '/run/vouchsafe/token/token');
  assert.equal(spiffe, undefined);
});

test('system 3 keeps the file names that the service expects', () => {
  const directory = new URL('03-outside-cluster/', EXAMPLES);
  for (const name of ['agent.json', 'agent-with-secrets.json']) {
    const document: unknown = JSON.parse(readFileSync(new URL(name, directory), 'utf8'));
    const { files } = parseAgentConfig(document);
    const key = files.find((file) => file.name === 'svid_key');
    assert.deepEqual([key?.path, key?.mode], ['svid.0.key', 0o600]);
  }
});

test('system 4 leaves users to the platform and configures the Azure SDK', async () => {
  const { pod } = await injectExample('04-federation-azure.yaml');
  assert.equal(containerOf(pod, 'vouchsafe-agent').securityContext?.runAsUser, undefined);
  const env = containerOf(pod, 'client').env?.map(({ name }) => name);
  assert.ok(env?.includes('AZURE_FEDERATED_TOKEN_FILE'));
});

test('system 5 uses mount, role and identity of its predecessor', async () => {
  const { auth, spiffe } = configIn((await injectExample('05-vault-agent-spiffe.yaml')).pod);
  assert.deepEqual([auth?.mount, auth?.role, auth?.audience], ['jwt', 'my-spiffe-role', 'vault']);
  assert.equal(spiffe?.spiffeId, 'spiffe://example.org/your-workload');
});
