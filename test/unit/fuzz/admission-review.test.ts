/**
 * Bodies of AdmissionReviews in hostile hands, over the real server: always an answer, the UID of what could be
 * read, nothing of the request in answers and logs that does not belong there, and a server that goes on.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { connect } from 'node:tls';
import { Agent } from 'node:https';
import fc from 'fast-check';
import { parseInstallation } from '../../../src/config/installation/index.ts';
import { checkTemplate } from '../../../src/template/index.ts';
import {
  holdsAsync,
  hostileText,
  hostileValue,
  mutated,
  mutatedBytes,
  mutatedText,
} from '../../helpers/arbitraries.ts';
import { MUTATE, reviewBody, startWebhook, type Reply } from '../webhook/harness.ts';

const MAX_BODY_BYTES = 262_144;
const INSTALLATION = parseInstallation({ webhook: { maxBodyBytes: MAX_BODY_BYTES } });
/** Stands in the pod where secrets are put by mistake. */
const PLANTED = 'hunter2';
const REVIEW = reviewBody({
  'vouchsafe.dev/template-app': `{{#if ${PLANTED}}}{{password}}{{/if}}`,
  'example.org/token': PLANTED,
});

const STATUSES = new Set([200, 400, 413, 415]);

interface Answer {
  readonly response: {
    readonly uid: string;
    readonly allowed: boolean;
    readonly patch?: string;
    readonly status?: { readonly code: number; readonly message: string };
  };
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

/** The UID that an answer must repeat: undefined where the body is no review. */
function uidOf(body: string | Buffer): unknown {
  try {
    const review: unknown = JSON.parse(body.toString());
    return isRecord(review) && isRecord(review['request']) ? review['request']['uid'] : undefined;
  } catch {
    return undefined;
  }
}

function assertAnswer(reply: Reply, body: string | Buffer): void {
  assert.ok(STATUSES.has(reply.status), `${reply.status} ${reply.body}`);
  assert.doesNotMatch(reply.body, /\.ts:\d|node:internal|TypeError|RangeError|ERR_BUG/);
  if (reply.status !== 200) {
    const refusal: unknown = JSON.parse(reply.body);
    assert.ok(isRecord(refusal));
    assert.match(String(refusal['code']), /^ERR_ADMISSION_(MALFORMED|TOO_LARGE)$/);
    return;
  }
  const { response } = JSON.parse(reply.body) as Answer; // the webhook's own
  assert.equal(response.uid, uidOf(body));
  assert.equal(typeof response.allowed, 'boolean');
  assert.ok(response.allowed || (response.status?.code ?? 0) >= 400);
  if (response.patch !== undefined) JSON.parse(Buffer.from(response.patch, 'base64').toString());
}

test('whatever stands in a body, it is answered and not repeated', async (t) => {
  const webhook = await startWebhook(t, { installation: INSTALLATION, checkTemplate });
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  t.after(() => agent.destroy());
  const bodies: fc.Arbitrary<string | Buffer> = fc.oneof(
    { weight: 5, arbitrary: mutated(JSON.parse(REVIEW)).map((value) => JSON.stringify(value)) },
    { weight: 2, arbitrary: mutatedText(REVIEW) },
    { weight: 2, arbitrary: mutatedBytes(Buffer.from(REVIEW)).map((one) => Buffer.from(one)) },
    { weight: 1, arbitrary: hostileValue.map((value) => JSON.stringify(value)) },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 300 }).map((one) => Buffer.from(one)) },
    {
      weight: 1,
      arbitrary: fc
        .tuple(fc.constantFrom('[', '{"a":', '"', '0', '{"kind":'), fc.nat(MAX_BODY_BYTES * 2))
        .map(([unit, length]) => unit.repeat(length / unit.length)),
    },
  );
  await holdsAsync(bodies, 250, async (body) => {
    const reply = await webhook.send({ ...MUTATE, agent }, body);
    assertAnswer(reply, body);
  });
  for (const { message, fields } of webhook.logger.lines) {
    // Names are shown, and a mutation may have put anything there.
    const { uid: _uid, namespace: _namespace, name: _name, owner: _owner, ...rest } = fields;
    const text = message + JSON.stringify(rest); // as a line is written
    assert.ok(!text.includes(PLANTED), text);
    assert.doesNotMatch(text, /ERR_BUG/);
  }
});

test('fields that the log shows are short texts, whatever was sent', async (t) => {
  const webhook = await startWebhook(t, { installation: INSTALLATION, checkTemplate });
  const odd = fc.oneof(hostileText, hostileValue, fc.constant({ toString: 1, valueOf: PLANTED }));
  const reviews = fc
    .record({ uid: odd, namespace: odd, name: odd, ownerKind: odd, ownerName: odd })
    .chain((given) =>
      fc
        .subarray(Object.keys(given) as (keyof typeof given)[], { minLength: 1, maxLength: 2 }) // its own keys
        .map((keys) => ({ given, keys })),
    )
    .map(({ given, keys }) => {
      const review = JSON.parse(REVIEW) as {
        request: Record<string, unknown> & {
          object: { metadata: Record<string, unknown> & { ownerReferences: object[] } };
        };
      }; // made above
      const { request } = review;
      const { metadata } = request.object;
      const [owner = {}] = metadata.ownerReferences;
      if (keys.includes('uid')) request['uid'] = given.uid;
      if (keys.includes('namespace')) request['namespace'] = given.namespace;
      if (keys.includes('name')) metadata['name'] = given.name;
      if (keys.includes('ownerKind')) Object.assign(owner, { kind: given.ownerKind });
      if (keys.includes('ownerName')) Object.assign(owner, { name: given.ownerName });
      return JSON.stringify(review);
    });
  await holdsAsync(reviews, 80, async (body) => {
    const from = webhook.logger.lines.length;
    assertAnswer(await webhook.send(MUTATE, body), body);
    for (const { fields } of webhook.logger.lines.slice(from)) {
      for (const name of ['uid', 'namespace', 'name', 'owner']) {
        const field = fields[name];
        assert.ok(field === undefined || typeof field === 'string', `${name} is ${typeof field}`);
        assert.ok((field ?? '').length <= 600, `${name} is ${(field ?? '').length} long`);
      }
    }
  });
});

test('requests that are not valid HTTP end, and the next review is answered', async (t) => {
  const webhook = await startWebhook(t, { installation: INSTALLATION, checkTemplate });
  const head = `POST /mutate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n`;
  const requests = fc.oneof(
    mutatedText(
      `${head}Content-Length: ${Buffer.byteLength(REVIEW)}\r\nConnection: close\r\n\r\n${REVIEW}`,
      `${head}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\n{"a":\r\n2\r\n1}\r\n0\r\n\r\n`,
      `${head}Transfer-Encoding: chunked\r\n\r\n5\r\n{"a":\r\n`,
      `${head}Content-Length: 500\r\n\r\n{"kind":`,
      `${head}Expect: 100-continue\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}`,
    ),
    fc
      .tuple(fc.nat(5000), hostileText)
      .map(([count, text]) => `${head}${'X-A: b\r\n'.repeat(count)}X-B: ${text}\r\n\r\n`),
    fc.uint8Array({ maxLength: 100 }).map((bytes) => Buffer.from(bytes).toString('latin1')),
  );
  await holdsAsync(requests, 40, async (text) => {
    const socket = connect({
      port: webhook.port,
      host: '127.0.0.1',
      servername: 'localhost',
      ca: webhook.files.ca.caPem,
    });
    const received: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => received.push(chunk));
    socket.on('error', () => undefined); // the server may reset what it does not understand
    await once(socket, 'secureConnect');
    const closed = new Promise((resolve) => socket.once('close', resolve)); // also after an error
    socket.end(text);
    await closed;
    const answer = Buffer.concat(received).toString();
    assert.ok(answer === '' || answer.startsWith('HTTP/1.1 '), answer.slice(0, 100));
    assert.doesNotMatch(answer, /\.ts:\d|node:internal|internal error/);
  });
  assert.equal((await webhook.send(MUTATE, REVIEW)).status, 200);
  assert.ok(!JSON.stringify(webhook.logger.lines).includes(PLANTED));
});
