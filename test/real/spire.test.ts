/** The agent with the real SPIRE, which attests it by its user, and with the real Vault. */
import assert from 'node:assert/strict';
import { X509Certificate, createPrivateKey, createPublicKey } from 'node:crypto';
import { readFile, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { createRemoteJWKSet, decodeJwt, decodeProtectedHeader, jwtVerify } from 'jose';
import { AgentBench, eventually, type RunningAgent } from '../helpers/agent-process.ts';
import { Hunt } from '../helpers/hunt.ts';
import { startRealVault, type RealVault } from '../helpers/real-vault.ts';
import { startSpire, type Entry, type Spire } from '../helpers/spire.ts';
import { spireVersion } from '../helpers/spire-process.ts';

const APP = 'spiffe://example.org/ns/default/sa/app';
const ADMIN = 'spiffe://example.org/ns/default/sa/admin';
const X509_FILES = ['svid.pem', 'svid_key.pem', 'bundle.pem'] as const;
const JWT_FILE = { name: 'token', jwtSvid: ['cloud'] };
const SECRET_FILE = { name: 'password', secret: 'secret/app#password', refresh: '1s' };

test('which SPIRE this is run against', async (t) => {
  t.diagnostic(`SPIRE ${await spireVersion()}`);
});

/** Everything that no agent may show. */
const hunt = new Hunt();

suite('the agent with SPIRE', () => {
  let spiffe: Spire;
  let vault: RealVault;

  before(async () => {
    spiffe = await startSpire();
    vault = await startRealVault(['-dev-tls']); // as login by certificate needs it
    await vault.write('secret/data/app', { data: { password: 'planted' } });
    await vault.write('sys/policies/acl/app', {
      policy: 'path "secret/data/app" { capabilities = ["read"] }',
    });
    await vault.write('sys/auth/jwt', { type: 'jwt' });
    await vault.write('auth/jwt/config', { jwks_url: spiffe.jwksUrl });
    for (const [role, subject] of Object.entries({ app: APP, admin: ADMIN })) {
      await vault.write(`auth/jwt/role/${role}`, {
        role_type: 'jwt',
        user_claim: 'sub',
        bound_audiences: 'vault',
        bound_subject: subject,
        token_policies: 'app',
        token_ttl: '1h',
      });
    }
  });

  after(async () => {
    await vault[Symbol.asyncDispose]();
    await spiffe[Symbol.asyncDispose]();
  });

  /** Registers for as long as a test runs. */
  async function registered(...entries: readonly Entry[]): Promise<AsyncDisposable> {
    for (const entry of entries) await spiffe.register(entry);
    for (const { spiffeId } of entries) await spiffe.untilServed(spiffeId);
    return {
      async [Symbol.asyncDispose]() {
        for (const { spiffeId } of entries) await spiffe.deregister(spiffeId);
      },
    };
  }

  /** A document for the servers of this suite, with a port for its status. */
  function document(more: object): object {
    return {
      spiffe: { socket: spiffe.socket },
      vault: { address: vault.address, caFile: vault.caFile },
      auth: { role: 'app' },
      listen: '127.0.0.1:0',
      ...more,
    };
  }

  /** Waits for a set of X.509 files that fits together, is not `known`, and comes from the provider. */
  async function x509Set(bench: AgentBench, known?: string): Promise<string> {
    await bench.until('svid.pem', (text) => text !== known);
    const set = await realpath(join(bench.output, '..data')); // one delivery, whatever comes next
    const [svid, key, bundle] = await Promise.all(
      X509_FILES.map((file) => readFile(join(set, file), 'utf8')),
    );
    assert.ok(svid !== undefined && key !== undefined && bundle !== undefined);
    hunt.plant(key.split('\n')[1] ?? '');
    const leaf = new X509Certificate(svid);
    assert.equal(leaf.subjectAltName, `URI:${APP}`);
    assert.ok(leaf.checkPrivateKey(createPrivateKey(key)));
    assert.ok(leaf.validToDate.getTime() > Date.now(), 'an SVID that is valid');
    assert.ok(certificatesOf(bundle).some((authority) => leaf.verify(authority.publicKey)));
    assert.deepEqual(rawOf(bundle), rawOf(await spiffe.authorities()));
    return svid;
  }

  test('logs in by JWT-SVID and reads', async () => {
    await using _ = await registered({ spiffeId: APP });
    await using bench = await AgentBench.create();
    const before = await vault.count('auth/jwt/login');
    const agent = await bench.start(document({ files: [SECRET_FILE] }), ['--once']);
    assert.equal(await agent.exit(), 0, agent.output);
    assert.equal(await bench.file('password'), 'planted');
    assert.equal(await vault.count('auth/jwt/login'), before + 1);
    hunt.plant('planted');
    hunt.assertNone({ output: agent.output });
  });

  test('logs in by X.509-SVID, and again with each new one', async () => {
    await vault.write('sys/auth/cert', { type: 'cert' });
    await vault.write('auth/cert/certs/app', {
      certificate: await spiffe.authorities(),
      allowed_uri_sans: APP,
      token_policies: 'app',
      token_ttl: '1h',
    });
    await using _ = await registered({ spiffeId: APP, dnsNames: ['app.example.org'] });
    await using bench = await AgentBench.create();
    const agent = await bench.start(
      document({ auth: { method: 'cert', role: 'app' }, files: [SECRET_FILE] }),
    );
    await bench.until('password', (text) => text === 'planted');
    await eventually(
      async () => ((await statusOf(agent)).logins > 1 ? true : undefined),
      'no new login followed the new certificate',
    );
    await recovered(agent);
  });

  test('uses the identity that is asked for, by SPIFFE ID or by hint', async () => {
    await using _ = await registered(
      { spiffeId: APP, hint: 'internal' },
      { spiffeId: ADMIN, hint: 'admin' },
    );
    for (const [role, selection] of [
      ['app', { spiffeId: APP }],
      ['admin', { spiffeId: ADMIN }],
      ['app', { hint: 'internal' }],
      ['admin', { hint: 'admin' }],
    ] as const) {
      await using bench = await AgentBench.create();
      const agent = await bench.start(
        document({
          spiffe: { socket: spiffe.socket, ...selection },
          auth: { role },
          files: [SECRET_FILE],
          x509Svid: true,
        }),
        ['--once'],
      );
      assert.equal(await agent.exit(), 0, agent.output);
      const { subjectAltName } = new X509Certificate(await bench.file('svid.pem'));
      assert.equal(subjectAltName, `URI:${role === 'app' ? APP : ADMIN}`);
    }
  });

  test('keeps the files of the X.509-SVID fresh', async () => {
    await using _ = await registered({ spiffeId: APP });
    await using bench = await AgentBench.create();
    const agent = await bench.start(document({ files: [SECRET_FILE], x509Svid: true }));
    let known: string | undefined;
    for (let rotation = 0; rotation < 3; rotation += 1) known = await x509Set(bench, known);
    assert.equal((await recovered(agent)).logins, 1, 'no rotation is a reason to log in');
  });

  test('a new X.509 authority is in the bundle before it signs, the old one until it is revoked', async () => {
    await using _ = await registered({ spiffeId: APP });
    await using bench = await AgentBench.create();
    const agent = await bench.start(document({ files: [SECRET_FILE], x509Svid: true }));
    await x509Set(bench);
    const [old = ''] = certificatesOf(await bench.file('bundle.pem')).map(({ publicKey }) =>
      publicKey.export({ format: 'pem', type: 'spki' }),
    );
    const authority = await spiffe.prepareX509Authority();
    await bench.until('bundle.pem', (text) => certificatesOf(text).length === 2);
    await spiffe.activateX509Authority(authority);
    await bench.until(
      'svid.pem',
      (text) => !new X509Certificate(text).verify(createPublicKey(old)),
    );
    await spiffe.revokeOldX509Authority();
    await bench.until('bundle.pem', (text) => certificatesOf(text).length === 1);
    await x509Set(bench);
    assert.equal((await recovered(agent)).logins, 1);
    assert.doesNotMatch(agent.output, /"level":"(warn|error)"/);
  });

  test('keeps the file of a JWT-SVID fresh', async () => {
    await using _ = await registered({ spiffeId: APP });
    await using bench = await AgentBench.create();
    const agent = await bench.start(document({ files: [JWT_FILE] }));
    const keys = createRemoteJWKSet(new URL(spiffe.jwksUrl));
    let known = '';
    for (let rotation = 0; rotation < 3; rotation += 1) {
      if (known !== '') await alive(known);
      known = hunt.plant(await bench.until('token', (token) => token !== known));
      const { payload } = await jwtVerify(known, keys, { audience: 'cloud', subject: APP });
      assert.ok(payload.exp !== undefined);
    }
    hunt.assertNone({ output: agent.output });

    /** Fails when a token is still in the file at its end. */
    async function alive(token: string): Promise<void> {
      await eventually(async () => {
        const expiresAtMs = Number(decodeJwt(token).exp) * 1000;
        assert.ok(Date.now() < expiresAtMs, 'replaced while it was good');
        return (await bench.file('token')) === token ? undefined : true;
      }, 'the token was never replaced');
    }
  });

  test('goes on when JWT-SVIDs are signed with a new key', async () => {
    await using _ = await registered({ spiffeId: APP });
    await using bench = await AgentBench.create();
    await bench.start(document({ files: [JWT_FILE] }));
    const old = decodeProtectedHeader(await bench.until('token', () => true)).kid;
    await spiffe.rotateJwtKey();
    await bench.until('token', (token) => decodeProtectedHeader(token).kid !== old);
    await using other = await AgentBench.create();
    const agent = await other.start(document({ files: [SECRET_FILE] }), ['--once']);
    assert.equal(await agent.exit(), 0, agent.output);
  });

  test('waits for its entry, says so, and goes on by itself', async () => {
    await using bench = await AgentBench.create();
    const agent = await bench.start(document({ files: [SECRET_FILE, JWT_FILE], x509Svid: true }));
    const waiting = await eventually(async () => {
      const status = await statusOf(agent);
      return status.errors.length > 0 ? status : undefined;
    }, 'the status never had a reason');
    assert.equal(waiting.phase, 'starting');
    assert.match(waiting.errors[0]?.message ?? '', /registration entry.*no identity issued/);
    assert.ok(waiting.errors.every(({ code }) => code === 'ERR_SPIFFE_DENIED'));
    await using _ = await registered({ spiffeId: APP });
    await x509Set(bench);
    assert.equal(await bench.file('password'), 'planted');
    await recovered(agent);
  });

  test('gives up at the deadline with the reason, where it has no entry', async () => {
    await using bench = await AgentBench.create();
    const agent = await bench.start(document({ files: [SECRET_FILE], initDeadline: '8s' }));
    assert.equal(await agent.exit(), 17, agent.output);
    assert.match(await agent.terminationMessage(), /ERR_SPIFFE_DENIED.*registration entry/s);
  });

  test('goes on when the Workload API restarts in the middle of its stream', async () => {
    await using _ = await registered({ spiffeId: APP });
    await using bench = await AgentBench.create();
    const files = [SECRET_FILE, JWT_FILE];
    const agent = await bench.start(document({ files, x509Svid: true }));
    const token = await bench.until('token', () => true);
    const svid = await x509Set(bench);
    await spiffe.restart();
    await x509Set(bench, svid);
    await bench.until('token', (text) => text !== token);
    await vault.write('secret/data/app', { data: { password: 'planted-next' } });
    await bench.until('password', (text) => text === 'planted-next');
    await vault.write('secret/data/app', { data: { password: 'planted' } });
    assert.equal((await recovered(agent)).logins, 1);
  });

  test('keeps the files and reports why, while the SPIRE server is away', async () => {
    await using _ = await registered({ spiffeId: APP });
    await using bench = await AgentBench.create();
    const files = [SECRET_FILE, JWT_FILE];
    const agent = await bench.start(document({ files, x509Svid: true }));
    await x509Set(bench);
    await bench.until('token', () => true);
    await spiffe.stop('spire-server');
    try {
      const waiting = await eventually(async () => {
        const status = await statusOf(agent);
        return status.errors.length > 0 ? status : undefined;
      }, 'the status never had a reason');
      assert.equal(waiting.phase, 'degraded');
      assert.ok(waiting.errors.every(({ code }) => code === 'ERR_SPIFFE_UNAVAILABLE'));
      assert.equal((await agent.get('/readyz')).status, 200);
      await vault.write('secret/data/app', { data: { password: 'planted-next' } });
      await bench.until('password', (text) => text === 'planted-next'); // its token is good
      await vault.write('secret/data/app', { data: { password: 'planted' } });
    } finally {
      await spiffe.resume('spire-server');
    }
    const [svid, token] = [await bench.file('svid.pem'), await bench.file('token')];
    await x509Set(bench, svid);
    await bench.until('token', (text) => text !== token);
    assert.equal((await recovered(agent)).logins, 1);
  });

  test('keeps the files and reports why, when its entry is deleted', async () => {
    await using bench = await AgentBench.create();
    let agent: RunningAgent;
    let svid: string;
    {
      await using _ = await registered({ spiffeId: APP });
      agent = await bench.start(document({ files: [SECRET_FILE, JWT_FILE], x509Svid: true }));
      svid = await x509Set(bench);
    }
    const denied = await eventually(async () => {
      const status = await statusOf(agent);
      return status.errors.some(({ code }) => code === 'ERR_SPIFFE_DENIED') ? status : undefined;
    }, 'the status never said that the entry is gone');
    assert.equal(denied.phase, 'degraded');
    svid = await bench.file('svid.pem'); // the last one
    assert.equal(await bench.file('password'), 'planted');
    assert.notEqual(await bench.file('token'), '');
    assert.match(agent.output, /ERR_SPIFFE_DENIED.*x509-svid was not refreshed/);
    await vault.write('secret/data/app', { data: { password: 'planted-next' } });
    await bench.until('password', (text) => text === 'planted-next'); // its token is still good
    await vault.write('secret/data/app', { data: { password: 'planted' } });
    await using _ = await registered({ spiffeId: APP });
    await x509Set(bench, svid);
    await recovered(agent);
  });
});

interface Status {
  readonly phase: string;
  readonly logins: number;
  readonly errors: readonly { readonly code: string; readonly message: string }[];
}

async function statusOf(agent: RunningAgent): Promise<Status> {
  return JSON.parse((await agent.get('/status')).body) as Status; // see AgentStatus
}

/** Waits until nothing fails any more; what the agent has shown until then is searched for secrets. */
async function recovered(agent: RunningAgent): Promise<Status> {
  const recovery = await eventually(async () => {
    const status = await statusOf(agent);
    return status.phase === 'ready' ? status : undefined;
  }, 'the agent did not recover');
  const [{ body: status }, { body: metrics }] = [
    await agent.get('/status'),
    await agent.get('/metrics'),
  ];
  hunt.assertNone({ output: agent.output, status, metrics });
  return recovery;
}

function certificatesOf(pem: string): readonly X509Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return blocks.map((block) => new X509Certificate(block));
}

function rawOf(pem: string): readonly string[] {
  return certificatesOf(pem)
    .map(({ fingerprint256 }) => fingerprint256)
    .sort();
}
