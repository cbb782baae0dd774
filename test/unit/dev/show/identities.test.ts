import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { suite, test } from 'node:test';
import { VouchsafeError } from '../../../../src/core/index.ts';
import {
  connectIdentities,
  type Identities,
  type Workload,
} from '../../../../src/dev/show/identities.ts';
import { startWorkloadApi } from '../../../../src/dev/workload-api/index.ts';
import { systemClock } from '../../../../src/platform/index.ts';
import { eventually } from '../../../helpers/agent-process.ts';
import { constantRandom } from '../../../helpers/random.ts';

const WEB = 'spiffe://example.org/ns/default/sa/web';
const ADMIN = 'spiffe://example.org/ns/default/sa/admin';
const WORKLOAD: Workload = {
  namespace: 'default',
  serviceAccount: 'web',
  spiffeId: undefined,
  hint: undefined,
  audience: 'vault',
  byTokenFile: false,
};

function connect(socket: string, workload: Partial<Workload> = {}): Promise<Identities> {
  return connectIdentities(
    { ...WORKLOAD, ...workload },
    { socket, oidcPort: 0, clock: systemClock, random: constantRandom() },
    AbortSignal.timeout(10_000),
  );
}

async function keyIds({ oidc }: Identities): Promise<readonly (string | undefined)[]> {
  const answer = (await (await fetch(`${oidc.url}/keys`)).json()) as { keys: { kid?: string }[] }; // a JWKS
  return answer.keys.map(({ kid }) => kid).sort();
}

suite('a Workload API that is already there', () => {
  test('shows the identity of the pod, chosen as the agent does', async () => {
    await using api = await startWorkloadApi({
      identities: [{ spiffeId: WEB }, { spiffeId: ADMIN, hint: 'admin' }],
    });
    for (const [workload, subject] of [
      [{}, WEB],
      [{ spiffeId: ADMIN }, ADMIN],
      [{ hint: 'admin' }, ADMIN],
    ] as const) {
      await using identities = await connect(api.address, workload);
      assert.equal(identities.subject, subject);
      assert.equal(
        new X509Certificate(identities.bundlePem).fingerprint256,
        new X509Certificate(api.bundlePem()).fingerprint256,
      );
    }
  });

  test('an identity that it does not have is rejected with those that it has', async () => {
    await using api = await startWorkloadApi({ identities: [{ spiffeId: WEB }] });
    await assert.rejects(connect(api.address, { hint: 'admin' }), (error: Error) => {
      assert.ok(error instanceof VouchsafeError && error.code === 'ERR_SPIFFE_NO_MATCH');
      assert.match(error.message, /"admin".*sa\/web/);
      return true;
    });
  });

  test('its keys are followed, those of other trust domains left out', async () => {
    await using api = await startWorkloadApi({ identities: [{ spiffeId: WEB }] });
    api.federate('partner.example');
    await using identities = await connect(api.address);
    const published = (): readonly (string | undefined)[] =>
      api
        .jwks()
        .keys.map(({ kid }) => kid)
        .sort();
    assert.deepEqual(await keyIds(identities), published());
    for (const disturb of [(): void => undefined, (): void => api.dropStreams()]) {
      disturb();
      api.rotateJwtKey();
      await eventually(
        async () => (String(await keyIds(identities)) === String(published()) ? true : undefined),
        'the new key was never served',
      );
    }
  });
});
