/** What webhook and driver may not do, asked of the real API server: an attacker who takes them over may do no more. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { RELEASE } from './parts/release.ts';
import { api, kubectl } from './parts/suite.ts';

const NAME = `${RELEASE}-webhook`;
const CONFIGURATION = `/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/${NAME}`;
const KIND = 'mutatingwebhookconfigurations.admissionregistration.k8s.io';

const account = (name: string): string => `--as=system:serviceaccount:${RELEASE}:${name}`;
const WEBHOOK = account(NAME);
const DRIVER = account(`${RELEASE}-csi`);

/** `get secrets/name`, as `kubectl auth can-i` has it, in a namespace or for the whole cluster. */
async function may(who: string, what: string, where: string): Promise<boolean> {
  const scope = where === '' ? '--all-namespaces' : `--namespace=${where}`;
  try {
    await kubectl(who, 'auth', 'can-i', ...what.split(' '), scope);
    return true;
  } catch (error) {
    assert.match((error as { stdout?: string }).stdout ?? '', /^no\b/); // a failure of kubectl has another text
    return false;
  }
}

interface Rights {
  readonly who: string;
  readonly granted: readonly (readonly [what: string, where: string])[];
  readonly refused: readonly (readonly [what: string, where: string])[];
}

const RIGHTS: Readonly<Record<string, Rights>> = {
  webhook: {
    who: WEBHOOK,
    granted: [
      ['list namespaces', ''],
      ['list nodes', ''],
      ['create events.events.k8s.io', ''],
      [`patch ${KIND}/${NAME}`, ''],
      [`patch secrets/${NAME}-tls`, RELEASE],
      [`update leases.coordination.k8s.io/${NAME}`, RELEASE],
    ],
    refused: [
      ['get secrets', ''],
      ['list secrets', RELEASE],
      ['get secrets/another', RELEASE],
      [`update secrets/${NAME}-tls`, RELEASE],
      [`delete secrets/${NAME}-tls`, RELEASE],
      [`patch leases.coordination.k8s.io/${NAME}`, RELEASE],
      ['update leases.coordination.k8s.io/another', RELEASE],
      [`patch ${KIND}`, ''],
      [`update ${KIND}/${NAME}`, ''],
      [`delete ${KIND}/${NAME}`, ''],
      [`create ${KIND}`, ''],
      ['patch validatingadmissionpolicies.admissionregistration.k8s.io', ''],
      ['get nodes', ''],
      ['watch nodes', ''],
      ['get pods', ''],
      ['create pods', RELEASE],
      ['create pods --subresource=exec', RELEASE],
      ['create serviceaccounts --subresource=token', RELEASE],
      ['get configmaps', RELEASE],
      ['patch namespaces', ''],
      ['patch deployments.apps', RELEASE],
      ['impersonate users', ''],
      ['escalate clusterroles.rbac.authorization.k8s.io', ''],
      ['bind clusterroles.rbac.authorization.k8s.io', ''],
    ],
  },
  driver: {
    who: DRIVER,
    granted: [['list namespaces', '']],
    refused: [
      ['get secrets', ''],
      ['list pods', ''],
      ['create pods', ''],
      ['create pods --subresource=exec', ''],
      ['create serviceaccounts --subresource=token', ''],
      ['create events.events.k8s.io', ''],
      ['patch namespaces', ''],
      ['get nodes', ''],
      ['list nodes', ''],
      ['patch nodes', ''],
      [`get ${KIND}`, ''],
      ['impersonate users', ''],
    ],
  },
};

for (const [name, { who, granted, refused }] of Object.entries(RIGHTS)) {
  suite(`rights of the ${name}`, () => {
    for (const [what, where] of granted) {
      test(`it may ${what} ${where}`.trim(), async () => {
        assert.equal(await may(who, what, where), true);
      });
    }
    for (const [what, where] of refused) {
      test(`it may not ${what} ${where}`.trim(), async () => {
        assert.equal(await may(who, what, where), false);
      });
    }
  });
}

interface Webhook {
  readonly clientConfig: { readonly caBundle?: string };
}

suite('what the webhook may change of its registration', () => {
  /** A JSON patch of the registration by the webhook itself; nothing of it stays. */
  const patch = (...operations: readonly object[]): Promise<string> =>
    kubectl(
      ...[WEBHOOK, 'patch', KIND, NAME, '--type=json', '--dry-run=server'],
      `--patch=${JSON.stringify(operations)}`,
    );

  const bundle = async (index: number): Promise<object> => {
    const { webhooks } = await api.get<{ readonly webhooks: readonly Webhook[] }>(CONFIGURATION);
    const pem = Buffer.from(webhooks[index]?.clientConfig.caBundle ?? '', 'base64').toString();
    const value = Buffer.from(`${pem}\n`).toString('base64');
    return { op: 'add', path: `/webhooks/${index}/clientConfig/caBundle`, value };
  };

  test('the bundle of each webhook in it', async () => {
    await patch(await bundle(0), await bundle(1));
  });

  const REFUSED: Readonly<Record<string, object>> = {
    'what it is called for': { op: 'replace', path: '/webhooks/0/rules/0/resources', value: ['*'] },
    'whom it is called for': { op: 'remove', path: '/webhooks/0/namespaceSelector' },
    'whether it is needed': { op: 'replace', path: '/webhooks/0/failurePolicy', value: 'Ignore' },
    'how long it may take': { op: 'replace', path: '/webhooks/0/timeoutSeconds', value: 29 },
    'which service is called': {
      op: 'replace',
      path: '/webhooks/0/clientConfig/service/namespace',
      value: 'default',
    },
    'that a URL is called': {
      op: 'replace',
      path: '/webhooks/0/clientConfig',
      value: { url: 'https://a.example' },
    },
    'that there is a webhook': { op: 'remove', path: '/webhooks/1' },
    'that there is any': { op: 'replace', path: '/webhooks', value: [] },
    'the name of a webhook': { op: 'replace', path: '/webhooks/1/name', value: 'a.b.example' },
    'a label': { op: 'add', path: '/metadata/labels/a', value: 'b' },
    'all labels': { op: 'remove', path: '/metadata/labels' },
    'an annotation': { op: 'add', path: '/metadata/annotations', value: { a: 'b' } },
    'a finalizer': { op: 'add', path: '/metadata/finalizers', value: ['a.example/b'] },
  };

  for (const [what, operation] of Object.entries(REFUSED)) {
    test(`rejected: ${what}, alone and beside a bundle`, async () => {
      const isDenied =
        /ValidatingAdmissionPolicy 'vouchsafe-ca-bundle'.*may change only the caBundle/s;
      await assert.rejects(patch(operation), isDenied);
      await assert.rejects(patch(await bundle(0), operation), isDenied);
    });
  }
});
