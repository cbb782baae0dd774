/**
 * A value as JSON bytes, which processes pass on without parsing it.
 */
import { parseExactJson } from './exact-json.ts';

/** JSON up to this length takes at most two milliseconds to parse, including numbers with their source. */
export const MAX_SHORT_BYTES = 4096;

/** JSON in UTF-8 that this project wrote. Equal values from one source have equal bytes. */
export class JsonText {
  /** A public field, so that `isDeepStrictEqual` compares it. */
  readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  static of(value: unknown): JsonText {
    return new JsonText(Buffer.from(JSON.stringify(value ?? null)));
  }

  get text(): string {
    return Buffer.from(this.bytes.buffer, this.bytes.byteOffset, this.bytes.byteLength).toString();
  }

  /** The parsed value if parsing is cheap; undefined over 4 KiB. */
  parseIfShort(): unknown {
    return this.bytes.byteLength > MAX_SHORT_BYTES ? undefined : this.parse();
  }

  /** The parsed value. The caller limits the cost. */
  parse(): unknown {
    return parseExactJson(this.text);
  }
}
