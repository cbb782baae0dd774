/**
 * Writes DER, as far as PKCS#12 requires it.
 *
 * @see https://www.itu.int/rec/T-REC-X.690 section 10
 */
const INTEGER = 0x02;
const OCTET_STRING = 0x04;
const NULL = 0x05;
const OBJECT_IDENTIFIER = 0x06;
const BMP_STRING = 0x1e;
const SEQUENCE = 0x30;
const SET = 0x31;
const CONTEXT = 0x80;
const CONSTRUCTED = 0x20;

/** A value of any type: its tag, its length and its content. */
function tagged(tag: number, ...content: readonly Uint8Array[]): Buffer {
  const length = content.reduce((sum, part) => sum + part.length, 0);
  return Buffer.concat([Uint8Array.of(tag, ...lengthOctets(length)), ...content]);
}

/** From 128 on the octets of the length are counted in the first one. */
function lengthOctets(length: number): readonly number[] {
  if (length < 0x80) return [length];
  const octets: number[] = [];
  for (let left = length; left > 0; left = Math.floor(left / 256)) octets.unshift(left % 256);
  return [0x80 | octets.length, ...octets];
}

export function sequence(...items: readonly Uint8Array[]): Buffer {
  return tagged(SEQUENCE, ...items);
}

/** The items are sorted, as DER requires. */
export function setOf(...items: readonly Uint8Array[]): Buffer {
  return tagged(SET, ...items.toSorted((a, b) => Buffer.compare(a, b)));
}

/** An integer that is not negative. */
export function integer(value: number): Buffer {
  const octets: number[] = [];
  for (let left = value; left > 0; left = Math.floor(left / 256)) octets.unshift(left % 256);
  // A first octet with the highest bit would be a negative number.
  const isOpen = octets.length === 0 || (octets[0] ?? 0) >= 0x80;
  return tagged(INTEGER, Uint8Array.of(...(isOpen ? [0] : []), ...octets));
}

export function octetString(bytes: Uint8Array): Buffer {
  return tagged(OCTET_STRING, bytes);
}

/** `2.5.29.37.0` */
export function objectIdentifier(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  const octets = [first * 40 + second, ...rest].flatMap(base128);
  return tagged(OBJECT_IDENTIFIER, Uint8Array.from(octets));
}

/** Seven bits in each octet; all but the last have the highest bit. */
function base128(value: number): readonly number[] {
  const octets = [value % 128];
  for (let left = Math.floor(value / 128); left > 0; left = Math.floor(left / 128)) {
    octets.unshift((left % 128) | 0x80);
  }
  return octets;
}

export function nothing(): Buffer {
  return tagged(NULL);
}

export function bmpString(text: string): Buffer {
  return tagged(BMP_STRING, utf16(text));
}

/** Text as UTF-16, the first octet of each unit first. */
export function utf16(text: string): Buffer {
  return Buffer.from(text, 'utf16le').swap16();
}

/** `[0] EXPLICIT` */
export function explicit0(item: Uint8Array): Buffer {
  return tagged(CONTEXT | CONSTRUCTED, item);
}

/** `[0] IMPLICIT OCTET STRING` */
export function implicitOctets0(bytes: Uint8Array): Buffer {
  return tagged(CONTEXT, bytes);
}
