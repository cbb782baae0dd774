/** HashiCorp's injector in the cluster, as its own manifests install it, for pods that ask for the same as ours. */
import { createTestCa } from '../../../src/dev/ca/index.ts';
import { API_SERVER } from '../../cluster/parts/control-plane.ts';
import { INJECTOR_IMAGE, VAULT_IMAGE } from '../../cluster/parts/images.ts';
import { NODE_ADDRESS } from '../../cluster/parts/network.ts';
import type { List, Pod } from '../../cluster/parts/objects.ts';
import { api, eventually, isReady, vault } from '../../cluster/parts/suite.ts';
import { benchPod, SECRETS, type Tenant } from './pods.ts';
import type { Kind } from './starts.ts';

const NAME = 'vault-agent-injector';
const NAMESPACE = `/api/v1/namespaces/${NAME}`;
const WEBHOOKS = '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations';
const BINDINGS = '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings';
const PREFIX = 'vault.hashicorp.com';
/** Audience of the token that every container has. */
const AUDIENCE = API_SERVER;
const TOKEN_FILE = '/var/run/secrets/kubernetes.io/serviceaccount/token';
const LABELS = { app: NAME };
/** Our webhook must not be asked about the other's pods, nor the other about what is not measured. */
const MEASURED = { 'vouchsafe-bench/incumbent': 'true' };

/** The injector under way. */
export interface Incumbent extends AsyncDisposable {
  /** Pods of a tenant's namespace by this injector. */
  pods(tenant: Tenant): Promise<Kind>;
}

/** Installs it, and waits until it answers. */
export async function startIncumbent(): Promise<Incumbent> {
  const ca = createTestCa();
  const serving = ca.issue({ dnsNames: [`${NAME}.${NAME}.svc`], ips: [] });
  await api.create('/api/v1/namespaces', { metadata: { name: NAME } });
  await api.create(`${NAMESPACE}/secrets`, {
    metadata: { name: NAME },
    stringData: { 'tls.crt': serving.certPem, 'tls.key': serving.keyPem },
  });
  // More than its own chart gives it; what it may do is not what is measured.
  await api.create(BINDINGS, {
    metadata: { name: NAME },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
    subjects: [{ kind: 'ServiceAccount', name: 'default', namespace: NAME }],
  });
  await api.create(`${NAMESPACE}/services`, {
    metadata: { name: NAME },
    spec: { selector: LABELS, ports: [{ port: 443, targetPort: 8443 }] },
  });
  await api.create(`/apis/apps/v1/namespaces/${NAME}/deployments`, deployment());
  await eventually('the injector is ready', async () => {
    const { items } = await api.get<List<Pod>>(`${NAMESPACE}/pods`);
    return items.some(isReady) ? true : undefined;
  });
  await api.create(WEBHOOKS, registration(ca.caPem));
  return {
    pods: kind,
    async [Symbol.asyncDispose]() {
      await api.remove(`${WEBHOOKS}/${NAME}`);
      await api.remove(`${BINDINGS}/${NAME}`);
      await api.remove(NAMESPACE);
    },
  };
}

/** As the injector's own chart has it, with the resources that it asks for by default. */
function deployment(): object {
  const tls = '/etc/webhook/certs';
  const env = {
    AGENT_INJECT_LISTEN: ':8443',
    AGENT_INJECT_VAULT_ADDR: `http://${NODE_ADDRESS}:8200`,
    AGENT_INJECT_VAULT_IMAGE: VAULT_IMAGE,
    AGENT_INJECT_TLS_CERT_FILE: `${tls}/tls.crt`,
    AGENT_INJECT_TLS_KEY_FILE: `${tls}/tls.key`,
  };
  const probe = { path: '/health/ready', port: 8443, scheme: 'HTTPS' };
  return {
    metadata: { name: NAME },
    spec: {
      replicas: 1,
      selector: { matchLabels: LABELS },
      template: {
        metadata: { labels: LABELS },
        spec: {
          containers: [
            {
              name: 'injector',
              image: INJECTOR_IMAGE,
              imagePullPolicy: 'Never',
              args: ['agent-inject'],
              env: [
                ...Object.entries(env).map(([name, value]) => ({ name, value })),
                { name: 'NAMESPACE', valueFrom: { fieldRef: { fieldPath: 'metadata.namespace' } } },
              ],
              resources: { requests: { cpu: '250m' } },
              readinessProbe: { httpGet: probe, periodSeconds: 1 },
              volumeMounts: [{ name: 'tls', mountPath: tls, readOnly: true }],
            },
          ],
          volumes: [{ name: 'tls', secret: { secretName: NAME } }],
        },
      },
    },
  };
}

function registration(caPem: string): object {
  return {
    metadata: { name: NAME },
    webhooks: [
      {
        name: PREFIX,
        sideEffects: 'None',
        admissionReviewVersions: ['v1'],
        failurePolicy: 'Fail',
        objectSelector: { matchLabels: MEASURED },
        clientConfig: {
          service: { namespace: NAME, name: NAME, path: '/mutate' },
          caBundle: Buffer.from(caPem).toString('base64'),
        },
        rules: [
          { operations: ['CREATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['pods'] },
        ],
      },
    ],
  };
}

async function kind({ space }: Tenant): Promise<Kind> {
  await vault.write(`auth/${space.mount}/role/incumbent`, {
    role_type: 'jwt',
    user_claim: 'sub',
    bound_audiences: AUDIENCE,
    bound_subject: `system:serviceaccount:${space.name}:default`,
    token_policies: space.name,
    token_ttl: '1h',
  });
  const settings: Record<string, string> = {
    'agent-inject': 'true',
    role: 'incumbent',
    'auth-type': 'jwt',
    'auth-path': `auth/${space.mount}`,
    'auth-config-path': TOKEN_FILE,
    'auth-config-remove_jwt_after_reading': 'false',
  };
  for (const name of SECRETS) {
    const path = `secret/data/${space.name}/${name}`;
    settings[`agent-inject-secret-${name}`] = path;
    settings[`agent-inject-template-${name}`] =
      `{{ with secret "${path}" }}{{ .Data.data.value }}{{ end }}`;
  }
  const asked = Object.fromEntries(
    Object.entries(settings).map(([name, value]) => [`${PREFIX}/${name}`, value]),
  );
  const made = { name: "HashiCorp's injector", space, asked, labels: MEASURED };
  // It is ready before it has its certificate.
  await eventually('the injector answers', () =>
    api.create(`${space.pods}?dryRun=All`, benchPod('asked', made, 'true')),
  );
  return made;
}
