/**
 * Just enough DER to write a certificate. Ring: dev.
 *
 * @see https://www.itu.int/rec/T-REC-X.690 section 8 and 10
 */

/** Tags used in certificates. */
export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  objectId: 0x06,
  utf8String: 0x0c,
  printableString: 0x13,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** One element: tag, length, and the parts one after the other. */
export function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  return Buffer.concat([Buffer.from([tag]), encodeLength(content.length), content]);
}

/** A SEQUENCE of the parts. */
export function sequence(...parts: readonly Uint8Array[]): Buffer {
  return der(TAG.sequence, ...parts);
}

/** The tag of a context-specific element; `constructed` where it holds further elements. */
export function contextTag(number: number, constructed: boolean): number {
  return (constructed ? 0xa0 : 0x80) | number;
}

/** An OBJECT IDENTIFIER from its dotted form. */
export function objectId(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  return der(TAG.objectId, Buffer.from([first * 40 + second, ...rest.flatMap(base128)]));
}

/** A non-negative INTEGER from its big-endian bytes. */
export function integer(bytes: Uint8Array): Buffer {
  const start = bytes.findIndex((byte) => byte !== 0);
  const digits = start < 0 ? Buffer.from([0]) : bytes.subarray(start);
  const isHigh = ((digits[0] ?? 0) & 0x80) !== 0;
  return der(TAG.integer, ...(isHigh ? [Buffer.from([0])] : []), digits);
}

/** A BIT STRING whose last byte has `unused` bits to spare. */
export function bitString(bytes: Uint8Array, unused = 0): Buffer {
  return der(TAG.bitString, Buffer.from([unused]), bytes);
}

/** The BOOLEAN true; false is a default, and DER leaves defaults out. */
export const TRUE = der(TAG.boolean, Buffer.from([0xff]));

/** A time with whole seconds: UTCTime until 2049, GeneralizedTime from then on (RFC 5280, 4.1.2.5). */
export function time(ms: number): Buffer {
  const digits = new Date(ms)
    .toISOString()
    .replace(/\.\d+Z$/, 'Z')
    .replace(/[-:T]/g, '');
  return new Date(ms).getUTCFullYear() < 2050
    ? der(TAG.utcTime, Buffer.from(digits.slice(2)))
    : der(TAG.generalizedTime, Buffer.from(digits));
}

function encodeLength(length: number): Buffer {
  if (length < 0x80) return Buffer.from([length]);
  const hex = length.toString(16);
  const bytes = Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex');
  return Buffer.concat([Buffer.from([0x80 | bytes.length]), bytes]);
}

/** Seven bits a byte, all but the last marked. */
function base128(value: number): number[] {
  const high = Math.floor(value / 128);
  return [...(high > 0 ? base128(high).map((byte) => byte | 0x80) : []), value % 128];
}
