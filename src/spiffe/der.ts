/**
 * A minimal DER parser for certificates.
 *
 * @see https://www.itu.int/rec/T-REC-X.690 section 8 and 10
 */

const SEQUENCE = 0x30;
/** Tag of a BOOLEAN. */
export const BOOLEAN = 0x01;
/** The `[3]` that holds the extensions of a certificate (RFC 5280, 4.1). */
const EXTENSIONS = 0xa3;

/** One element. */
export interface DerElement {
  readonly tag: number;
  readonly content: Uint8Array;
  /** Tag, length and content. */
  readonly whole: Uint8Array;
}

/** An extension of a certificate. */
export interface Extension {
  readonly isCritical: boolean;
  /** Content of the octet string. */
  readonly value: Uint8Array;
}

/** Consecutive elements. Throws an `Error` for bytes that are not DER or for more than `max` elements. */
export function readElements(bytes: Uint8Array, max: number): readonly DerElement[] {
  const elements: DerElement[] = [];
  for (let rest = bytes; rest.length > 0;) {
    if (elements.length === max) throw new Error(`more than ${max} elements`);
    const element = readElement(rest);
    elements.push(element);
    rest = rest.subarray(element.whole.length);
  }
  return elements;
}

/** The extensions of a certificate by object identifier (its content octets in hex). */
export function readExtensions(certificate: Uint8Array): ReadonlyMap<string, Extension> {
  const [tbs] = inside(single(certificate));
  const wrapper = tbs === undefined ? undefined : inside(tbs).find((e) => e.tag === EXTENSIONS);
  if (wrapper === undefined) return new Map();
  return new Map(inside(single(wrapper.content)).map(readExtension));
}

/** The only element in these bytes, which must be a SEQUENCE. */
export function single(bytes: Uint8Array): DerElement {
  const [element] = readElements(bytes, 1);
  if (element?.tag !== SEQUENCE) throw new Error('not a sequence');
  return element;
}

function readExtension(element: DerElement): [string, Extension] {
  const [id, ...rest] = inside(element);
  const value = rest.at(-1);
  if (id === undefined || value === undefined) throw new Error('not an extension');
  const isCritical = rest[0]?.tag === BOOLEAN && rest[0].content[0] !== 0;
  return [Buffer.from(id.content).toString('hex'), { isCritical, value: value.content }];
}

function inside(element: DerElement): readonly DerElement[] {
  return readElements(element.content, 64);
}

function readElement(bytes: Uint8Array): DerElement {
  const [tag, first] = bytes;
  if (tag === undefined || first === undefined || (tag & 0x1f) === 0x1f) throw new Error('not DER');
  const lengthBytes = first < 0x80 ? 0 : first & 0x7f;
  // Indefinite lengths (0x80) are not DER; four bytes of length suffice for any message.
  if (first === 0x80 || lengthBytes > 4) throw new Error('not DER');
  const start = 2 + lengthBytes;
  let length = lengthBytes === 0 ? first : 0;
  for (const byte of bytes.subarray(2, start)) length = length * 256 + byte;
  if (bytes.length < start + length) throw new Error('truncated');
  return {
    tag,
    content: bytes.subarray(start, start + length),
    whole: bytes.subarray(0, start + length),
  };
}
