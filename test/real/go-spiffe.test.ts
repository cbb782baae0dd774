/**
 * The development Workload API seen by go-spiffe, the reference client: what it accepts, Vouchsafe's own client may
 * be tested with.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { suite, test, type TestContext } from 'node:test';
import { startWorkloadApi, type DevWorkloadApi } from '../../src/dev/workload-api/index.ts';

/** What test/servers/cmd/spiffecheck prints. */
interface Report {
  readonly identities: readonly (readonly [spiffeId: string, hint: string])[];
  readonly x509: { readonly serial: string; readonly verified: string; readonly peer: string };
  readonly jwt: {
    readonly id: string;
    readonly audience: readonly string[];
    readonly validLocally: string;
    readonly validByApi: string;
    readonly refusedLocally: string;
    readonly refusedByApi: string;
  };
  readonly x509Bundles: Readonly<Record<string, readonly string[]>>;
  readonly jwtBundles: Readonly<Record<string, readonly string[]>>;
}

interface Check {
  /** The next report. */
  report(): Promise<Report>;
  /** Waits for the end. */
  end(): Promise<{ readonly code: number | null; readonly stderr: string }>;
}

/** Starts the command; it gives up by itself after half a minute. The binary comes from `npm run test:real`. */
function startCheck(t: TestContext, ...flags: readonly string[]): Check {
  const binary = process.env['VOUCHSAFE_TEST_SPIFFECHECK'];
  if (binary === undefined) throw new Error('run this suite with: npm run test:real');
  const child = spawn(binary, flags, { stdio: ['ignore', 'pipe', 'pipe'] });
  const stderr = text(child.stderr);
  const ended = once(child, 'close');
  t.after(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  return {
    async report() {
      const line = await lines.next();
      if (line.done === true) throw new Error(`no report: ${await stderr}`);
      return JSON.parse(line.value) as Report; // our own command prints nothing else
    },
    async end() {
      await ended;
      return { code: child.exitCode, stderr: await stderr };
    },
  };
}

const WEB = 'spiffe://example.org/ns/default/sa/web';
const ADMIN = 'spiffe://example.org/ns/default/sa/admin';
const IDENTITIES = [{ spiffeId: WEB, hint: 'internal' }, { spiffeId: ADMIN }];

function fingerprint(pem: string): string {
  return createHash('sha256').update(new X509Certificate(pem).raw).digest('hex');
}

function keyIds(api: Pick<DevWorkloadApi, 'jwks'>): readonly (string | undefined)[] {
  return api
    .jwks()
    .keys.map((key) => key.kid)
    .sort();
}

suite('go-spiffe with the development Workload API', () => {
  for (const [transport, address] of [
    ['a Unix socket', undefined],
    ['TCP', 'tcp://127.0.0.1:0'],
  ] as const) {
    test(`SVIDs, bundles, validation and rotation over ${transport}`, async (t) => {
      await using api = await startWorkloadApi({
        identities: IDENTITIES,
        ...(address === undefined ? {} : { address }),
      });
      const federated = api.federate('partner.example');
      const check = startCheck(t, '-address', api.address, '-audience', 'TESTING', '-rotation');

      const before = await check.report();
      assert.deepEqual(before.identities, [
        [WEB, 'internal'],
        [ADMIN, ''],
      ]);
      assert.equal(before.x509.verified, WEB);
      assert.equal(before.x509.peer, WEB);
      assert.deepEqual(before.x509Bundles, {
        'example.org': [fingerprint(api.bundlePem())],
        'partner.example': [fingerprint(federated.bundlePem)],
      });
      const { refusedLocally, refusedByApi, ...jwt } = before.jwt;
      assert.deepEqual(jwt, {
        id: WEB,
        audience: ['TESTING'],
        validLocally: WEB,
        validByApi: WEB,
      });
      assert.match(refusedLocally, /expected audience/);
      assert.match(refusedByApi, /InvalidArgument.*"aud"/);
      const oldKeys = keyIds(api);
      assert.deepEqual(before.jwtBundles, {
        'example.org': oldKeys,
        'partner.example': keyIds(federated),
      });

      api.rotateX509();
      api.rotateJwtKey();
      const after = await check.report();
      assert.notEqual(after.x509.serial, before.x509.serial);
      assert.equal(after.x509.peer, WEB);
      // The new JWT-SVID is signed with a key that go-spiffe can have from the stream alone.
      assert.equal(after.jwt.validLocally, WEB);
      assert.equal(keyIds(api).length, oldKeys.length + 1);
      assert.deepEqual(after.jwtBundles['example.org'], keyIds(api));
      assert.deepEqual(await check.end(), { code: 0, stderr: '' });
    });
  }

  test('streams that the API ended are opened again, and show what changed meanwhile', async (t) => {
    await using api = await startWorkloadApi({ identities: IDENTITIES });
    const check = startCheck(t, '-address', api.address, '-rotation');
    const before = await check.report();
    api.dropStreams();
    api.rotateX509();
    api.rotateJwtKey();
    const after = await check.report();
    assert.notEqual(after.x509.serial, before.x509.serial);
    assert.deepEqual(after.jwtBundles, { 'example.org': keyIds(api) });
    assert.equal((await check.end()).code, 0);
  });

  test('a caller without registration entry gets that as the reason', async (t) => {
    await using api = await startWorkloadApi();
    const { code, stderr } = await startCheck(t, '-address', api.address).end();
    assert.equal(code, 1);
    assert.match(stderr, /PermissionDenied.*no identity issued/);
  });

  test('a JWT-SVID without audience is rejected', async (t) => {
    await using api = await startWorkloadApi({ identities: IDENTITIES });
    const { code, stderr } = await startCheck(t, '-address', api.address, '-audience', '').end();
    assert.equal(code, 1);
    assert.match(stderr, /InvalidArgument.*audience/);
  });
});
