import assert from 'node:assert/strict';
import { connect, createSecureContext, type TLSSocket } from 'node:tls';
import { once } from 'node:events';
import { test, type TestContext } from 'node:test';
import { Client, credentials, Metadata } from '@grpc/grpc-js';
import {
  createTrustDomain,
  startBroker,
  type DevBroker,
  type TrustDomain,
} from '../../../../src/dev/workload-api/index.ts';
import {
  BROKER_MESSAGES,
  KUBERNETES_OBJECT_REFERENCE,
  type BrokerMethod,
} from '../../../../src/spiffe/index.ts';
import { pod } from '../../../helpers/pods.ts';

const DRIVER = 'spiffe://example.org/driver';
const WEB = pod('web');
const asIs = (bytes: Uint8Array): Buffer => Buffer.from(bytes);

interface Setup {
  readonly domain: TrustDomain;
  readonly server: DevBroker;
  readonly client: Client;
  readonly call: (request: Uint8Array, metadata?: Metadata) => Promise<Uint8Array>;
}

/** A client that keeps to nothing but TLS. */
async function setup(t: TestContext): Promise<Setup> {
  const domain = createTrustDomain('example.org');
  const server = await startBroker({ domain, pods: [WEB], brokers: [DRIVER] });
  const { certPem, keyPem } = domain.mintX509Svid({ spiffeId: DRIVER }, 60_000);
  const context = createSecureContext({ cert: certPem, key: keyPem, ca: domain.bundlePem });
  const secure = credentials.createFromSecureContext(context, {
    checkServerIdentity: () => undefined,
  });
  const client = new Client(server.address.replace('unix://', 'unix:'), secure);
  t.after(async () => {
    client.close();
    await server.close();
  });
  return {
    domain,
    server,
    client,
    call: (request, metadata = header('true')) => unary(client, 'FetchJWTSVID', request, metadata),
  };
}

function unary(
  client: Client,
  method: BrokerMethod,
  request: Uint8Array,
  metadata: Metadata,
): Promise<Uint8Array> {
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
  const path = `/spiffe.broker.API/${method}`;
  client.makeUnaryRequest(path, asIs, asIs, request, metadata, (error, answer) => {
    if (answer === undefined) reject(error ?? new Error('no answer'));
    else resolve(answer);
  });
  return promise;
}

function header(...values: readonly string[]): Metadata {
  const metadata = new Metadata();
  for (const value of values) metadata.add('broker.spiffe.io', value);
  return metadata;
}

type Reference = Parameters<typeof BROKER_MESSAGES.KubernetesObjectReference.encode>[0];

const PODS = { plural: 'pods', group: 'core' };
const KEY = { namespace: 'shop', name: 'web' };

function request(reference: Reference, typeUrl = KUBERNETES_OBJECT_REFERENCE): Uint8Array {
  const value = BROKER_MESSAGES.KubernetesObjectReference.encode(reference);
  return BROKER_MESSAGES.FetchJWTSVIDRequest.encode({
    audience: ['vault'],
    reference: { reference: { typeUrl, value } },
  });
}

for (const [what, reference] of [
  ['UID', { type: PODS, uid: WEB.uid }],
  ['name', { type: PODS, key: KEY }],
  ['UID and name', { type: PODS, uid: WEB.uid, key: KEY }],
] as const) {
  test(`a pod is found by ${what}`, async (t) => {
    const { call } = await setup(t);
    const { svids } = BROKER_MESSAGES.FetchJWTSVIDResponse.decode(await call(request(reference)));
    assert.deepEqual(
      svids.map(({ spiffeId }) => spiffeId),
      ['spiffe://example.org/web'],
    );
  });
}

test('a pod that nothing is issued for gets no JWT-SVIDs, but a stream', async (t) => {
  const { client, call, server } = await setup(t);
  server.setPods([pod('web', { identities: [] })]);
  const message = request({ type: PODS, uid: WEB.uid }); // the fields that both requests have are the same
  await assert.rejects(call(message), { code: 7, details: 'no identity issued' });
  const path = '/spiffe.broker.API/SubscribeToX509SVID';
  const stream = client.makeServerStreamRequest(path, asIs, asIs, message, header('true'));
  stream.on('error', () => undefined);
  const countOf = async (): Promise<number> => {
    const [answer] = (await once(stream, 'data')) as [Uint8Array]; // what `data` carries
    return BROKER_MESSAGES.SubscribeToX509SVIDResponse.decode(answer).svids.length;
  };
  assert.equal(await countOf(), 0);
  server.setPods([WEB]);
  assert.equal(await countOf(), 1);
  stream.cancel();
});

test('the keys of JWT-SVIDs are streamed', async (t) => {
  const { client } = await setup(t);
  const message = request({ type: PODS, uid: WEB.uid }); // the fields that both requests have are the same
  const path = '/spiffe.broker.API/SubscribeToJWTBundles';
  const call = client.makeServerStreamRequest(path, asIs, asIs, message, header('true'));
  call.on('error', () => undefined);
  const [answer] = (await once(call, 'data')) as [Uint8Array]; // what `data` carries
  const { bundles } = BROKER_MESSAGES.SubscribeToJWTBundlesResponse.decode(answer);
  assert.deepEqual([...bundles.keys()], ['spiffe://example.org']);
  call.cancel();
});

for (const [what, values] of [
  ['missing', []],
  ['another text', ['TRUE']],
  ['given twice', ['true', 'true']],
] as const) {
  test(`a security header that is ${what} is rejected`, async (t) => {
    const { call } = await setup(t);
    const message = request({ type: PODS, uid: WEB.uid });
    await assert.rejects(call(message, header(...values)), {
      code: 3,
      details: 'security header missing from request',
    });
  });
}

for (const [what, message, expected] of [
  ['nothing', new Uint8Array(), { code: 3, details: 'audience must be specified' }],
  [
    'no reference',
    BROKER_MESSAGES.FetchJWTSVIDRequest.encode({ audience: ['vault'] }),
    { code: 3, details: 'workload reference must be provided' },
  ],
  [
    'a reference to a process',
    request({}, 'type.googleapis.com/spiffe.broker.WorkloadPIDReference'),
    { code: 3, details: /unsupported reference type/ },
  ],
  ['no type', request({ uid: WEB.uid }), { code: 3, details: /missing type/ }],
  [
    'an object that is no pod',
    request({ type: { plural: 'deployments', group: 'apps' }, key: KEY }),
    { code: 3, details: /only pods/ },
  ],
  ['neither key nor UID', request({ type: PODS }), { code: 3, details: /missing key and UID/ }],
  [
    'a key without namespace',
    request({ type: PODS, key: { namespace: '', name: 'web' } }),
    { code: 3, details: /missing name or namespace/ },
  ],
  [
    'a key that belongs to another UID',
    request({ type: PODS, key: KEY, uid: 'other' }),
    { code: 5, details: /not found/ },
  ],
  ['what is no message', Buffer.of(0x0a, 0xff), { code: 13, details: 'internal error' }],
] as const) {
  test(`a request with ${what} is rejected`, async (t) => {
    const { call } = await setup(t);
    await assert.rejects(call(message), expected);
  });
}

for (const [what, mint] of [
  ['without a certificate', () => ({})],
  [
    'of another authority',
    () => createTrustDomain('example.org').mintX509Svid({ spiffeId: DRIVER }, 60_000),
  ],
  [
    'with another SPIFFE ID',
    (domain: TrustDomain) => domain.mintX509Svid({ spiffeId: `${DRIVER}/x` }, 60_000),
  ],
] as const) {
  test(`a client ${what} is hung up on`, async (t) => {
    const { domain, server } = await setup(t);
    const { certPem, keyPem }: { certPem?: string; keyPem?: string } = mint(domain);
    const socket = connect({
      path: server.address.replace('unix://', ''),
      ALPNProtocols: ['h2'],
      ca: domain.bundlePem,
      checkServerIdentity: () => undefined,
      ...(certPem === undefined ? {} : { cert: certPem, key: keyPem }),
    });
    const closed = Promise.withResolvers<undefined>();
    socket.on('error', () => undefined).on('close', () => closed.resolve(undefined));
    socket.resume();
    await closed.promise;
  });
}

test('a certificate that was renewed is seen by new connections', async (t) => {
  const { domain, server } = await setup(t);
  const { certPem, keyPem } = domain.mintX509Svid({ spiffeId: DRIVER }, 60_000);
  const seen: Buffer[] = [];
  for (const renew of [false, true]) {
    if (renew) server.renewCertificate();
    const socket: TLSSocket = connect({
      path: server.address.replace('unix://', ''),
      ALPNProtocols: ['h2'],
      ca: domain.bundlePem,
      cert: certPem,
      key: keyPem,
      checkServerIdentity: () => undefined,
    });
    await once(socket, 'secureConnect');
    seen.push(socket.getPeerCertificate().raw);
    socket.destroy();
  }
  assert.notDeepEqual(seen[0], seen[1]);
});
