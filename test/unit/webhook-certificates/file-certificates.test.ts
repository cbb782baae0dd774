import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { Secret, VouchsafeError } from '../../../src/core/index.ts';
import { createTestCa } from '../../../src/dev/ca/index.ts';
import { parseServingCertificate } from '../../../src/webhook-certificates/index.ts';
import { FakeClock, settle } from '../../helpers/fake-clock.ts';
import { recordingLogger, type RecordingLogger } from '../../helpers/recorder.ts';
import { until } from '../../helpers/until.ts';
import { certificateFiles, type CertificateFiles } from '../webhook/harness.ts';

interface Running extends CertificateFiles {
  readonly logger: RecordingLogger;
  readonly fakeClock: FakeClock;
}

function start(t: TestContext, isEmpty = false): Running {
  const [logger, fakeClock] = [recordingLogger(), new FakeClock()];
  const files = certificateFiles(t, {
    logger,
    clock: fakeClock,
    isEmpty,
  });
  const stopping = new AbortController();
  const ended = files.source.run(stopping.signal);
  t.after(async () => {
    stopping.abort();
    await ended;
    assert.equal(fakeClock.sleeping, 0);
  });
  return { ...files, logger, fakeClock };
}

const messages = ({ logger }: Running): string[] => logger.lines.map(({ message }) => message);

test('missing files are waited for, and reported once', async (t) => {
  const running = start(t, true);
  running.change({});
  await until(() => running.logger.lines.length > 0);
  for (let minute = 0; minute < 3; minute += 1) await running.fakeClock.advance(60_000);
  assert.deepEqual(messages(running), ['serving certificate is invalid']);
  assert.equal(running.source.current, undefined);
  const { certPem, keyPem } = running.ca.issue();
  running.change({ cert: certPem, key: keyPem, ca: running.ca.caPem });
  const first = await running.source.first(AbortSignal.timeout(5000));
  assert.equal(first.serverName, 'localhost');
});

test('broken files keep the old certificate and are reported once', async (t) => {
  const running = start(t);
  const good = await running.source.first(AbortSignal.timeout(5000));
  running.change({ cert: 'hunter2' });
  await until(() => running.logger.lines.length === 2);
  running.change({ cert: 'hunter2' });
  await settle();
  assert.equal(running.source.current, good);
  assert.equal(running.logger.lines.length, 2);
  assert.doesNotMatch(running.logger.text(), /hunter2|PRIVATE KEY/);
});

test('half of a rotation is not served', async (t) => {
  const running = start(t);
  const good = await running.source.first(AbortSignal.timeout(5000));
  const next = running.ca.issue();
  running.change({ cert: next.certPem });
  await until(() => running.logger.lines.length === 2);
  assert.equal(running.source.current, good);
  running.change({ key: next.keyPem });
  await until(() => running.source.current !== good);
  const rotated = await running.source.first(AbortSignal.timeout(5000));
  assert.equal(rotated.certificatePem, next.certPem);
});

test('files are read again even without a watch event', async (t) => {
  const running = start(t);
  const good = await running.source.first(AbortSignal.timeout(5000));
  const next = running.ca.issue();
  writeFileSync(`${running.directory}/tls.crt`, next.certPem);
  writeFileSync(`${running.directory}/tls.key`, next.keyPem);
  await running.fakeClock.advance(60_000);
  await until(() => running.source.current !== good);
});

test('validity and DNS name are read from the certificate', () => {
  const ca = createTestCa();
  const { certPem, keyPem } = ca.issue({ dnsNames: ['vouchsafe.vouchsafe.svc'], ttlMs: 60_000 });
  const certificate = parseServingCertificate(certPem, new Secret(keyPem), ca.caPem);
  assert.equal(certificate.serverName, 'vouchsafe.vouchsafe.svc');
  assert.ok(certificate.expiresAtMs > certificate.notBeforeMs);
  assert.doesNotMatch(JSON.stringify(certificate), /PRIVATE/);
});

for (const name of ['key of another certificate', 'no certificate', 'no key', 'no CA'] as const) {
  test(`rejected: ${name}`, () => {
    const ca = createTestCa();
    const { certPem, keyPem } = ca.issue();
    const cert = name === 'no certificate' ? 'x' : certPem;
    const other = name === 'key of another certificate' ? ca.issue().keyPem : keyPem;
    const key = name === 'no key' ? 'hunter2' : other;
    assert.throws(
      () => parseServingCertificate(cert, new Secret(key), name === 'no CA' ? 'x' : ca.caPem),
      (error) =>
        error instanceof VouchsafeError &&
        error.code === 'ERR_SERVER_CERTIFICATE' &&
        !error.message.includes('hunter2'),
    );
  });
}
