import assert from 'node:assert/strict';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { suite, test, type TestContext } from 'node:test';
import { VouchsafeError } from '../../../src/core/index.ts';
import type { ResponseBudget } from '../../../src/vault/index.ts';
import { inOrder, startScripted } from '../../helpers/scripted-http.ts';
import { until } from '../../helpers/until.ts';
import { Transport } from '../../../src/vault/transport.ts';
import { answer, makeClient, NEVER, refused, TOKEN } from './harness.ts';

const MIB = 2 ** 20;
const WRITE = { kind: 'write', path: 'transit/random', params: {} } as const;
const FULL = { code: 'ERR_OUTPUT_FULL', message: /transit\/random/ };

/** Room for so many bytes. */
class Budget implements ResponseBudget {
  readonly #total: number;
  held = 0;
  most = 0;

  constructor(total: number) {
    this.#total = total;
  }

  reserve(bytes: number, path: string): void {
    if (this.held + bytes > this.#total) throw new VouchsafeError('ERR_OUTPUT_FULL', path);
    this.held += bytes;
    this.most = Math.max(this.most, this.held);
  }

  release(bytes: number): void {
    this.held -= bytes;
  }
}

/** A server that answers by hand; `closed` resolves when the client has left. */
async function startServer(
  t: TestContext,
  reply: (response: ServerResponse) => void,
): Promise<{ readonly address: string; readonly closed: Promise<undefined> }> {
  const closed = Promise.withResolvers<undefined>();
  const server = createServer((_, response) => {
    response.once('close', () => closed.resolve(undefined));
    reply(response);
  });
  const listening = Promise.withResolvers<undefined>();
  server.listen(0, '127.0.0.1', () => listening.resolve(undefined));
  await listening.promise;
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo; // a TCP server has one
  return { address: `http://127.0.0.1:${port}`, closed: closed.promise };
}

suite('room for answers of Vault', () => {
  test('an answer that says it is too long is not read: the connection ends before its body', async (t) => {
    const budget = new Budget(MIB);
    const server = await startServer(t, (response) => {
      response.writeHead(200, { 'content-length': String(2 * MIB) }).flushHeaders();
    });
    const { client } = makeClient(t, server.address, { budget });
    await assert.rejects(client.fetch(TOKEN, WRITE, NEVER), FULL);
    await server.closed;
    assert.equal(budget.held, 0);
  });

  test('one that does not say how long it is is read as far as there is room', async (t) => {
    const budget = new Budget(MIB);
    const server = await startServer(t, (response) => {
      const chunk = Buffer.alloc(16 * 1024, 'x');
      const more = (): void => {
        while (!response.destroyed && response.write(chunk));
      };
      response.writeHead(200).on('drain', more);
      more();
    });
    const { client } = makeClient(t, server.address, { budget });
    await assert.rejects(client.fetch(TOKEN, WRITE, NEVER), FULL);
    await server.closed;
    assert.equal(budget.held, 0);
    assert.ok(budget.most > MIB / 2 && budget.most <= MIB, `${budget.most} bytes`);
  });

  test('where there is no room for a short answer nothing is asked for: what is issued in vain would stay', async (t) => {
    const server = await startScripted(t, () => answer({}));
    const { client } = makeClient(t, server.address, { budget: new Budget(100) });
    await assert.rejects(client.fetch(TOKEN, WRITE, NEVER), FULL);
    assert.equal(server.requests.length, 0);
  });

  test('all is given back: after a success, a refusal, a second try and a redirect', async (t) => {
    const budget = new Budget(MIB);
    const large = answer({ text: 'x'.repeat(100_000) });
    const replies = [large, refused(400, 'no'), refused(412), large];
    const server = await startScripted(t, inOrder(...replies));
    const { client, clock } = makeClient(t, server.address, { budget });
    await client.fetch(TOKEN, WRITE, NEVER);
    assert.ok(budget.most > 100_000 && budget.most < 110_000, `${budget.most} bytes, counted once`);
    assert.equal(budget.held, 0);
    await assert.rejects(client.fetch(TOKEN, WRITE, NEVER), { code: 'ERR_VAULT_BAD_REQUEST' });
    assert.equal(budget.held, 0);
    const second = client.fetch(TOKEN, WRITE, NEVER);
    await server.arrived(3);
    await until(() => clock.sleeping > 0);
    await clock.advance(2000);
    await second;
    assert.equal(budget.held, 0);
  });

  test('a login and the like take none; of what nobody looks at no more is kept', async (t) => {
    const server = await startScripted(t, () => ({ status: 200, body: 'x'.repeat(MIB) }));
    const { client, clock } = makeClient(t, server.address, { budget: new Budget(0) });
    await assert.rejects(client.renewToken(TOKEN, NEVER), { code: 'ERR_VAULT_MALFORMED' });
    const random = { next: () => 0 };
    const transport = new Transport({
      ca: () => undefined,
      tlsServerName: undefined,
      timeoutMs: 10_000,
      clock,
      random,
    });
    t.after(() => transport.close());
    const grown: number[] = [];
    const reading = { keptBytes: 100_000, grow: (bytes: number) => void grown.push(bytes) };
    const url = new URL(server.address);
    const { body } = await transport.send({
      method: 'GET',
      url,
      headers: {},
      bodyBounds: reading,
      signal: NEVER,
    });
    assert.equal(body.byteLength, 100_000);
    assert.equal(Math.max(...grown), 100_000);
  });
});
