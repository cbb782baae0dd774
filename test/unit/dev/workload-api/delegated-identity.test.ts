import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import {
  startDelegatedIdentity,
  type DevDelegatedIdentity,
} from '../../../../src/dev/workload-api/index.ts';
import {
  DELEGATED_IDENTITY_API,
  DELEGATED_MESSAGES,
  parseWorkloadApiAddress,
  type DelegatedMethod,
} from '../../../../src/spiffe/index.ts';
import { createTransport, type Transport } from '../../../../src/spiffe/transport.ts';
import { FakeClock } from '../../../helpers/fake-clock.ts';
import { pod } from '../../../helpers/pods.ts';

const DRIVER = 'spiffe://example.org/driver';
const never = new AbortController().signal;

interface Setup {
  readonly server: DevDelegatedIdentity;
  readonly client: Transport<DelegatedMethod>;
  readonly clock: FakeClock;
}

async function setup(t: TestContext): Promise<Setup> {
  const clock = new FakeClock();
  const server = await startDelegatedIdentity({
    clock,
    pods: [pod('web')],
    authorizedDelegates: [DRIVER],
    caller: () => DRIVER,
  });
  const address = parseWorkloadApiAddress(server.address);
  const client = createTransport(address, DELEGATED_IDENTITY_API, { clock });
  t.after(async () => {
    client.close();
    await server.close();
    assert.equal(clock.sleeping, 0);
  });
  return { server, client, clock };
}

const { FetchJWTSVIDsRequest, SubscribeToX509SVIDsRequest } = DELEGATED_MESSAGES;

test('a request for JWT-SVIDs wants audience and selectors', async (t) => {
  const { client } = await setup(t);
  const selectors = [{ type: 'k8s', value: 'pod-uid:uid-of-web' }];
  for (const [request, message] of [
    [FetchJWTSVIDsRequest.encode({ selectors }), /audience must be specified/],
    [FetchJWTSVIDsRequest.encode({ audience: ['vault'] }), /must provide either selectors/],
  ] as const) {
    await assert.rejects(client.unary('FetchJWTSVIDs', request, never), {
      code: 'ERR_SPIFFE_REJECTED',
      message,
    });
  }
});

test('a stream of X.509-SVIDs wants selectors', async (t) => {
  const { client } = await setup(t);
  const request = SubscribeToX509SVIDsRequest.encode({});
  await assert.rejects(client.stream('SubscribeToX509SVIDs', request, never).next(), {
    code: 'ERR_SPIFFE_REJECTED',
  });
});

test('the keys of JWT-SVIDs are streamed', async (t) => {
  const { client } = await setup(t);
  const stream = client.stream('SubscribeToJWTBundles', new Uint8Array(), never);
  const { value } = await stream.next();
  const { bundles } = DELEGATED_MESSAGES.SubscribeToJWTBundlesResponse.decode(value);
  assert.deepEqual([...bundles.keys()], ['spiffe://example.org']);
});

test('SVIDs of pods rotate by themselves at half of their life', async (t) => {
  const { client, clock } = await setup(t);
  const selectors = [{ type: 'k8s', value: 'pod-uid:uid-of-web' }];
  const request = SubscribeToX509SVIDsRequest.encode({ selectors });
  const stream = client.stream('SubscribeToX509SVIDs', request, never);
  const before = await stream.next();
  await clock.advance(1_800_000);
  const after = await stream.next();
  assert.notDeepEqual(Buffer.from(before.value), Buffer.from(after.value));
});
