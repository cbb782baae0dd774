import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import {
  ATTRIBUTES,
  CANNOT_MOUNT,
  CsiWorld,
  SHORT_CALLS,
  type PublishChange,
} from '../../helpers/csi-world.ts';

const INFO = 'csi.storage.k8s.io/';
const STATUS = { INVALID_ARGUMENT: 3, PERMISSION_DENIED: 7, FAILED_PRECONDITION: 9 } as const;

const BAD_REQUESTS: Readonly<Record<string, readonly [PublishChange, RegExp]>> = {
  'volume not read-only': [{ readonly: false }, /readOnly: true/],
  'not an inline volume': [{ context: { [`${INFO}ephemeral`]: undefined } }, /ephemeral/],
  'no pod information': [{ context: { [`${INFO}pod.uid`]: undefined } }, /podInfoOnMount: true/],
  'a target of another pod': [{ context: { [`${INFO}pod.uid`]: 'another' } }, /podInfoOnMount/],
  'a relative target': [{ target: 'pods/x' }, /not a normalized absolute path/],
  'a target with ..': [{ target: '/var/lib/../etc' }, /not a normalized absolute path/],
  'an invalid group': [{ group: 'staff' }, /volume_mount_group/],
  'a mount option': [
    { mountFlags: ['exec'] },
    /only supported mount option is the SELinux context/,
  ],
  'several mount options': [{ mountFlags: ['context="a"', 'exec'] }, /only supported mount option/],
  'an unknown attribute': [
    { attributes: { ...ATTRIBUTES, roel: 'web' } },
    /roel.*did you mean vouchsafe.dev\/role/,
  ],
  'a key that looks like the kubelet’s': [
    { attributes: { ...ATTRIBUTES, 'csi.storage.k8s.io': 'x' } },
    /csi\.storage\.k8s\.io/,
  ],
  'a template with an error': [
    { attributes: { ...ATTRIBUTES, 'template-x': '{{#if}}' } },
    /template-x/,
  ],
  'a setting of a container': [{ attributes: { ...ATTRIBUTES, cpu: '1' } }, /cpu/],
  'nothing to deliver': [{ attributes: { role: 'web' } }, /nothing to deliver/],
};

suite('what the CSI driver rejects', { skip: CANNOT_MOUNT }, () => {
  test('bad requests: each error says what to change, and nothing is left', async (t) => {
    await using world = await CsiWorld.start();
    const { kubelet } = await world.driver();
    for (const [name, [change, says]] of Object.entries(BAD_REQUESTS)) {
      await t.test(name, async () => {
        const { code, details } = await world.rejected(kubelet, await world.pod(), change);
        assert.equal(code, STATUS.INVALID_ARGUMENT, details);
        assert.match(details, says);
      });
    }
    assert.deepEqual(await world.mounts(), []);
    assert.equal(world.logins, 0);
    await world.forgotten();
  });

  test('what the policies of the installation do not allow is forbidden', async () => {
    await using world = await CsiWorld.start();
    const connections = { default: { address: world.vault.address } };
    const everything = { connections: ['*'], roles: ['*'], authMounts: ['*'], paths: ['*'] };
    const policies = [
      { name: 'shop', namespaces: ['shop'], serviceAccounts: ['other'], ...everything },
    ];
    const installation = world.installation({ vault: { connections, policies } });
    const { kubelet } = await world.driver({}, installation);
    const { code, details } = await world.rejected(kubelet, await world.pod());
    assert.equal(code, STATUS.PERMISSION_DENIED, details);
    assert.match(details, /no policy applies to service account web of namespace shop/);
  });

  test('more secrets than a volume may have, computed by its template: none beyond the limit is requested', async () => {
    await using world = await CsiWorld.start();
    const installation = world.installation({
      csi: { enabled: true, driverName: 'csi.test', maxDependencies: 3 },
    });
    const { kubelet } = await world.driver({ waits: SHORT_CALLS }, installation);
    const template =
      '{{#each (split "a,b,c,d,e" ",")}}{{secret (concat "kvv2/none-" this)}}{{/each}}';
    const change = { attributes: { ...ATTRIBUTES, 'template-x': template } };
    const { details } = await world.rejected(kubelet, await world.pod(), change);
    assert.match(details, /more than 3 secrets in one pod/);
  });

  test('a pod that forges attributes to get another’s identity', async (t) => {
    await using world = await CsiWorld.start();
    const { kubelet } = await world.driver();
    const own = await world.pod('own', { serviceAccount: 'poor' });
    const rich = await world.pod('rich');
    const stolen = await world.tokens(rich);
    // The kubelet writes its own keys over those of the author, but not all of them in every cluster.
    await t.test('tokens of another pod, where the kubelet sends none', async () => {
      const attributes = { ...ATTRIBUTES, [`${INFO}serviceAccount.tokens`]: stolen };
      const { code, details } = await world.rejected(kubelet, own, { attributes, tokens: null });
      assert.equal(code, STATUS.FAILED_PRECONDITION, details);
      assert.match(details, /ERR_CSI_TOKEN.*do not belong to this pod/);
    });
    await t.test('tokens of another pod, where the kubelet sends its own in secrets', async () => {
      const attributes = { ...ATTRIBUTES, [`${INFO}serviceAccount.tokens`]: stolen };
      const pod = await world.pod('same-account');
      await world.publish(kubelet, pod, { attributes, tokensIn: 'secrets' });
      assert.equal(await world.file(pod, 'user'), 'user-1:end');
      await world.unpublish(kubelet, pod);
    });
    await t.test('tokens of another pod of the same service account', async () => {
      const pod = await world.pod('sibling');
      const { details } = await world.rejected(kubelet, pod, { tokens: stolen });
      assert.match(details, /do not belong to this pod/);
    });
    await t.test('keys of the kubelet that it does not know are without effect', async () => {
      const attributes = { ...ATTRIBUTES, [`${INFO}pod.namespace.real`]: 'kube-system' };
      const pod = await world.pod('curious');
      await world.publish(kubelet, pod, { attributes });
      assert.equal(await world.file(pod, 'user'), 'user-1:end');
    });
    await t.test('the account of the token decides at Vault', async () => {
      const { details } = await world.rejected(kubelet, own, {
        tokens: await world.tokens({ ...own, serviceAccount: 'web' }),
      });
      assert.match(details, /do not belong to this pod and service account poor/);
    });
  });

  test('tokens: none, for another audience, or invalid: the error says what to change', async (t) => {
    await using world = await CsiWorld.start();
    const { kubelet } = await world.driver();
    const pod = await world.pod();
    const cases: Readonly<Record<string, readonly [string | null, RegExp]>> = {
      none: [null, /no service-account token for audience "vault", and none at all.*tokenRequests/],
      'another audience': [
        await world.tokens(pod, 'other'),
        /for audience "vault", only for "other".*tokenRequests/,
      ],
      'invalid JSON': ['{"vault": "eyJ', /are not valid JSON/],
      'no token': ['{"vault": {}}', /have an unexpected format/],
      'not a JWT': [
        '{"vault": {"token": "x", "expirationTimestamp": "2030-01-01T00:00:00Z"}}',
        /not JWTs/,
      ],
      'too long': ['x'.repeat(300_000), /too long/],
    };
    for (const [name, [tokens, says]] of Object.entries(cases)) {
      await t.test(name, async () => {
        const { code, details } = await world.rejected(kubelet, pod, { tokens });
        assert.equal(code, STATUS.FAILED_PRECONDITION, details);
        assert.match(details, says);
      });
    }
    assert.equal(world.logins, 0);
    assert.deepEqual(await world.mounts(), []);
  });

  test('token for another audience than that of Vault’s role: the pod waits, its events say why', async () => {
    await using world = await CsiWorld.start();
    const csi = { enabled: true, driverName: 'csi.vouchsafe.test', tokenAudiences: ['other'] };
    const { kubelet } = await world.driver({ waits: SHORT_CALLS }, world.installation({ csi }));
    const pod = await world.pod();
    const attributes = { ...ATTRIBUTES, audience: 'other' };
    const tokens = await world.tokens(pod, 'other');
    const says = /ERR_CSI_PENDING.*ERR_VAULT_LOGIN_REFUSED/;
    await world.rejectedWith(says, kubelet, pod, { attributes, tokens });
  });

  test('published again with invalid tokens or pod information: the files stay, and the log says so', async () => {
    await using world = await CsiWorld.start();
    const driver = await world.driver();
    const { kubelet, logger } = driver;
    const pod = await world.pod();
    await world.publish(kubelet, pod);
    await world.publish(kubelet, pod, { tokens: 'invalid JSON' });
    await world.publish(kubelet, pod, { context: { [`${INFO}pod.uid`]: undefined } });
    assert.equal(await world.file(pod, 'user'), 'user-1:end');
    assert.equal(
      logger.lines.filter(({ message }) => message === 'volume not published').length,
      2,
    );
    assert.match(
      (await driver.get('/metrics')).body,
      /publishes_total\{result="ERR_CSI_TOKEN"\} 1/,
    );
  });
});
