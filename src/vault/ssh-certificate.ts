/**
 * Reads the dates of an OpenSSH certificate.
 *
 * @see https://github.com/openssh/openssh-portable/blob/master/PROTOCOL.certkeys
 */

/** The longest certificate that is read, in characters. */
const MAX_CHARS = 64 * 1024;

const LINE =
  /^\s*([\w-]+-cert-v01@openssh\.com)[ \t]+([A-Za-z0-9+/]{1,65536}={0,2})(?:[ \t\r\n]|$)/;

/** How many fields the public key of each type has. */
const KEY_FIELDS: Readonly<Record<string, number>> = {
  'ssh-rsa': 2,
  'ssh-dss': 4,
  'ssh-ed25519': 1,
  'ecdsa-sha2-nistp256': 2,
  'ecdsa-sha2-nistp384': 2,
  'ecdsa-sha2-nistp521': 2,
  'sk-ssh-ed25519': 2,
  'sk-ecdsa-sha2-nistp256': 3,
};

/** Values of `valid before` from here on mean that the certificate does not expire. */
const FOREVER = 2n ** 53n;

/** Start and end of a certificate, in milliseconds since the epoch. */
export interface SshCertificateLife {
  readonly fromMs: number;
  /** Infinity: it does not expire. */
  readonly toMs: number;
}

/** The life of a certificate in the format of `authorized_keys`; undefined for any other text. */
export function sshCertificateLife(text: string): SshCertificateLife | undefined {
  if (text.length > MAX_CHARS) return undefined;
  const [, type = '', base64 = ''] = LINE.exec(text) ?? [];
  const keyFields = KEY_FIELDS[type.replace('-cert-v01@openssh.com', '')];
  if (keyFields === undefined) return undefined;
  const bytes = Buffer.from(base64, 'base64');
  // The type, a nonce and the public key; then a serial number and a kind, a key ID and the principals.
  const afterKey = skipStrings(bytes, 0, 2 + keyFields);
  const at = afterKey === undefined ? undefined : skipStrings(bytes, afterKey + 8 + 4, 2);
  if (at === undefined || at + 16 > bytes.length) return undefined;
  const from = bytes.readBigUInt64BE(at);
  const to = bytes.readBigUInt64BE(at + 8);
  return {
    fromMs: Number(from) * 1000,
    toMs: to >= FOREVER ? Infinity : Number(to) * 1000,
  };
}

/** The place behind a number of strings, each preceded by its length; undefined if the bytes end before. */
function skipStrings(bytes: Buffer, start: number, count: number): number | undefined {
  let at = start;
  for (let index = 0; index < count; index += 1) {
    if (at + 4 > bytes.length) return undefined;
    at += 4 + bytes.readUInt32BE(at);
  }
  return at <= bytes.length ? at : undefined;
}
