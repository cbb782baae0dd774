import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { sshCertificateLife } from '../../../src/vault/ssh-certificate.ts';

const FROM_MS = Date.UTC(2026, 0, 1);
const TO_MS = Date.UTC(2026, 0, 2);

/** Of `ssh-keygen -s ca -I id -n a,b -V 20260101000000Z:20260102000000Z`. */
const REAL =
  'ssh-ed25519-cert-v01@openssh.com AAAAIHNzaC1lZDI1NTE5LWNlcnQtdjAxQG9wZW5zc2guY29tAAAAIP9GpJZNIL6/TfTAxlPBtWz4R2gcw0xnAmd4JuC1EKO8' +
  'AAAAIOSUtIjIc3/9+eW7VC8K5Km98cSEQ+ULH1xzHCkRtBrmAAAAAAAAAAAAAAABAAAAAmlkAAAACgAAAAFhAAAAAWIAAAAAaVW5AAAAAABpVwqAAAAAAAAAAIIAAAAVcG' +
  'VybWl0LVgxMS1mb3J3YXJkaW5nAAAAAAAAABdwZXJtaXQtYWdlbnQtZm9yd2FyZGluZwAAAAAAAAAWcGVybWl0LXBvcnQtZm9yd2FyZGluZwAAAAAAAAAKcGVybWl0LXB0' +
  'eQAAAAAAAAAOcGVybWl0LXVzZXItcmMAAAAAAAAAAAAAADMAAAALc3NoLWVkMjU1MTkAAAAgcehgESt4t9pwqOtapf9u3aMHss0JalhImMRxcMsdDuIAAABTAAAAC3NzaC' +
  '1lZDI1NTE5AAAAQIt6m2ZiAhwHQy0MPi6Wa6P7eleEuH/UpO4tG+QxjwDEhXZE47cUPk4Y2Z4BWdcBcOYx9yHG1SMnpvz01yBhCQU= root@host\n';

function field(bytes: Uint8Array | string): Buffer {
  const content = Buffer.from(bytes as string);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(content.length);
  return Buffer.concat([length, content]);
}

function u64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(value);
  return bytes;
}

/** A certificate for a key of a number of fields; its signature is left out. */
function sshCertificate(
  key: string,
  keyFields: number,
  [from, to]: readonly [bigint, bigint],
): string {
  const type = `${key}-cert-v01@openssh.com`;
  const fields = Array.from({ length: keyFields }, (_, index) => field(`part ${index}`));
  const kind = Buffer.from([0, 0, 0, 1]);
  const bytes = [field(type), field('nonce'), ...fields, u64(7n), kind, field('id'), field('')];
  return `${type} ${Buffer.concat([...bytes, u64(from), u64(to), field('')]).toString('base64')}`;
}

const SPAN = [BigInt(FROM_MS / 1000), BigInt(TO_MS / 1000)] as const;

test('the dates of a certificate from ssh-keygen', () => {
  assert.deepEqual(sshCertificateLife(REAL), { fromMs: FROM_MS, toMs: TO_MS });
});

for (const [key, keyFields] of [
  ['ssh-rsa', 2],
  ['ssh-dss', 4],
  ['ssh-ed25519', 1],
  ['ecdsa-sha2-nistp256', 2],
  ['ecdsa-sha2-nistp384', 2],
  ['ecdsa-sha2-nistp521', 2],
  ['sk-ssh-ed25519', 2],
  ['sk-ecdsa-sha2-nistp256', 3],
] as const) {
  test(`the dates of a certificate for a key of type ${key}`, () => {
    const text = sshCertificate(key, keyFields, SPAN);
    assert.deepEqual(sshCertificateLife(text), { fromMs: FROM_MS, toMs: TO_MS });
  });
}

test('a certificate that never expires', () => {
  const text = sshCertificate('ssh-ed25519', 1, [0n, 2n ** 64n - 1n]);
  assert.deepEqual(sshCertificateLife(text), { fromMs: 0, toMs: Infinity });
});

for (const [name, text] of [
  ['a public key', 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA== user@host'],
  ['another type of key', sshCertificate('ssh-xmss', 1, SPAN)],
  ['no text', ''],
  ['a certificate that is cut', sshCertificate('ssh-rsa', 2, SPAN).slice(0, 120)],
  ['a name without bytes', 'ssh-rsa-cert-v01@openssh.com'],
  ['a certificate that is too long', `${REAL.trim()}${' '.repeat(70_000)}`],
] as const) {
  test(`not a certificate: ${name}`, () => {
    assert.equal(sshCertificateLife(text), undefined);
  });
}

test('no bytes behind the name of a certificate make it fail', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      const text = `ssh-rsa-cert-v01@openssh.com ${Buffer.from(bytes).toString('base64')}`;
      const life = sshCertificateLife(text);
      assert.ok(life === undefined || !Number.isNaN(life.fromMs + life.toMs));
    }),
  );
});
